"""What a person sees of a sweep: counts, the best, the time left, on a terminal and off it."""

import io
import math
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from energan.experiment.settings import load
from energan.io.text import duration, score_text, settings_text, varying
from energan.sweep import display as displays
from energan.sweep.display import Display, Lasting
from energan.sweep.folder import SweepFolder
from energan.sweep.tally import Tally
from energan.sweep.trials import Trial

JOB = load("gan-ring")


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def record_of(trial: str, score: float | None = None, state: str = "done") -> dict[str, Any]:
    scores = {} if score is None else {"swd": {"value": score, "better": "lower"}}
    return {"id": trial, "state": state, "reason": None, "metric": "swd", "scores": scores}


def ended(trial: str, score: float | None = 1.0, state: str = "done", reason: str | None = None):
    return {
        "event": "ended", "trial": trial, "state": state, "reason": reason, "score": score,
        "seconds": 4.0,
    }  # fmt: skip


def progress(trials: list[str], step: int, steps: int = 100) -> dict[str, Any]:
    return {"event": "progress", "trials": trials, "step": step, "steps": steps}


def begun(*trials: str) -> dict[str, Any]:
    return {"event": "begun", "trials": list(trials), "at_once": len(trials)}


@pytest.fixture
def folder(tmp_path: Path) -> SweepFolder:
    made = SweepFolder(tmp_path / "small-grid")
    made.make()
    return made


def tally(folder: SweepFolder, trials: str, seconds: float = 10.0, processes: int = 2) -> Tally:
    clock = Clock()
    made = Tally(folder, list(trials), "lower", dict.fromkeys(trials, seconds), processes, clock)
    made.clock = clock
    return made


def shown(folder: SweepFolder, count: int, **of_console: Any) -> tuple[Display, io.StringIO]:
    out = io.StringIO()
    console = Console(file=out, width=150, **of_console)
    values = [{"nLayerG": 2 + i, "sizes": [128, 64], "lr": 0.001} for i in range(count)]
    trials = [Trial(f"t{i}", v, JOB) for i, v in enumerate(values)]
    seconds = {trial.id: 10.0 for trial in trials}
    return Display(folder, trials, "modified_inception_score", "higher", seconds, 2, console), out


# --- the state of the trials ----------------------------------------------------------------------


def test_each_trial_is_in_one_state(folder: SweepFolder) -> None:
    folder.write(record_of("a", 0.5))
    folder.write(record_of("b", state="failed"))
    found = tally(folder, "abcdefgh")
    assert found.count() == {"done": 1, "failed": 1, "left": 6}
    found.tell(begun("c"), "1")
    found.tell(begun("d", "e"), "2")
    found.tell({"event": "left", "trials": ["f"], "why": "elsewhere"}, "1")
    assert found.count() == {"done": 1, "failed": 1, "running": 3, "elsewhere": 1, "left": 2}
    found.tell(ended("d", 0.3), "2")
    found.tell(ended("e", None, "diverged"), "2")
    assert [row.trials for row in found.running()] == [["c"]]
    assert found.best == ("d", 0.3)
    found.tell({"event": "left", "trials": ["c"], "why": "stopped"}, "1")
    assert found.count() == {"done": 2, "failed": 1, "diverged": 1, "elsewhere": 1, "left": 3}


def test_what_other_machines_end_is_found_once_and_counts_for_the_best(
    folder: SweepFolder,
) -> None:
    found = tally(folder, "abc")
    found.tell({"event": "left", "trials": ["b"], "why": "elsewhere"}, "1")
    found.tell(begun("c"), "1")
    for trial, score in (("a", 0.4), ("b", 0.2), ("c", 0.1), ("of-another-sample", 0.0)):
        folder.write(record_of(trial, score))
    assert [(end.trial, end.score, end.seconds) for end in found.look()] == [
        ("a", 0.4, None),
        ("b", 0.2, None),
    ]
    assert found.look() == []
    assert found.best == ("b", 0.2)
    assert found.tell(ended("c", 0.1), "1") is not None  # it was told here, not found
    assert found.count() == {"done": 3}


def test_a_process_that_died_has_nothing_in_hand_any_more(folder: SweepFolder) -> None:
    found = tally(folder, "abc")
    found.tell(begun("a", "b"), "1")
    found.tell(begun("c"), "1")
    assert [(row.where, row.trials) for row in found.running()] == [("1", ["c"])]
    assert found.count() == {"running": 1, "left": 2}
    found.tell(begun("a"), "node")  # of a machine there may be several at once
    found.tell(begun("b"), "node")
    assert len(found.running()) == 3
    found.tell(begun("a"), "other")
    assert [(row.where, row.trials) for row in found.running()] == [
        ("1", ["c"]),
        ("node", ["b"]),
        ("other", ["a"]),
    ]


@given(st.lists(st.one_of(st.none(), st.floats()), min_size=1, max_size=8), st.booleans())
def test_the_best_is_the_extreme_of_the_finite_scores(
    tmp_path_factory: pytest.TempPathFactory, scores: list[float | None], higher: bool
) -> None:
    folder = SweepFolder(tmp_path_factory.getbasetemp() / "none")
    names = [f"t{i}" for i in range(len(scores))]
    found = Tally(folder, names, "higher" if higher else "lower", {}, 1)
    for name, score in zip(names, scores, strict=True):
        found.tell(ended(name, score), "1")
    finite = [s for s in scores if s is not None and math.isfinite(s)]
    if finite:
        assert found.best is not None
        assert found.best[1] == (max(finite) if higher else min(finite))
    else:
        assert found.best is None


# --- the time left --------------------------------------------------------------------------------


def test_before_anything_is_measured_the_time_left_is_the_expected_one(folder: SweepFolder) -> None:
    assert tally(folder, "abcdef", 10.0, 2).time_left() == pytest.approx(30.0)


@given(st.floats(0.05, 50), st.integers(1, 4), st.floats(1, 1000))
def test_the_time_left_learns_how_much_slower_it_goes(
    tmp_path_factory: pytest.TempPathFactory, factor: float, processes: int, expected: float
) -> None:
    """Trials that take `factor` times as long as expected: after ten rounds it is nearly known."""
    folder = SweepFolder(tmp_path_factory.getbasetemp() / "none")
    names = [f"t{i}" for i in range(20 * processes)]
    found = Tally(folder, names, None, dict.fromkeys(names, expected), processes, clock := Clock())
    for done in range(10):
        now = names[done * processes : (done + 1) * processes]
        for where, name in enumerate(now):
            found.tell(begun(name), str(where + 1))
        clock.now += factor * expected
        for name in now:
            found.tell(ended(name), "1")
    true = 10 * factor * expected
    learnt = (10 * processes * factor + 1) / (10 * processes + 1)  # the expectation counts as one
    assert found.time_left() == pytest.approx(true * learnt / factor)
    assert abs(math.log(learnt / factor)) <= abs(math.log((10 * factor + 1) / 11 / factor)) + 1e-9


def test_what_trains_counts_by_its_steps_and_only_by_those_made_here(folder: SweepFolder) -> None:
    found = tally(folder, "a", 100.0, 1)
    found.tell(begun("a"), "1")
    found.tell(progress(["a"], 50), "1")  # resumed from step 50
    assert found.time_left() == pytest.approx(50.0)
    found.clock.now += 50  # twice as long as expected
    found.tell(progress(["a"], 75), "1")
    # 25 expected seconds of work took 50; the expectation of 100 counts beside it
    assert found.time_left() == pytest.approx(25 * (50 + 100) / (25 + 100))
    found.tell({"event": "scoring", "trials": ["a"]}, "1")
    assert found.running()[0].scoring


def test_the_last_trial_is_not_shared_by_processes_that_have_nothing_to_do(
    folder: SweepFolder,
) -> None:
    found = tally(folder, "ab", 10.0, 8)
    found.tell(begun("a"), "1")
    assert found.time_left() == pytest.approx(10.0)


def test_without_any_expectation_nothing_is_said_before_a_trial_has_ended(
    folder: SweepFolder,
) -> None:
    found = Tally(folder, list("abc"), None, {}, 1, clock := Clock())
    assert found.time_left() is None
    found.tell(begun("a"), "1")
    clock.now += 7
    found.tell(ended("a"), "1")
    assert found.time_left() == pytest.approx(14.0)


# --- on a terminal and elsewhere ------------------------------------------------------------------


def test_a_line_when_a_trial_ends(folder: SweepFolder) -> None:
    display, out = shown(folder, 3)
    with display:
        display.tell(begun("t1"), "1")
        display.tell(ended("t1", 2.13456), "1")
        display.tell(ended("t0", None, "diverged", "a loss\nis not finite"), "2")
        display.tell(ended("t2", math.nan), "2")
    first, second, third = out.getvalue().splitlines()
    assert first.startswith("1/3  small-grid  nLayerG=3  I′ 2.135 (best 2.135)  4 s  ")
    assert first.endswith("left")
    assert "nLayerG=2  diverged: a loss is not finite  4 s" in second
    assert "I′ not finite (best 2.135)" in third
    assert third.endswith("nothing left")


def test_about_once_a_minute_a_line_of_what_runs(
    folder: SweepFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    display, out = shown(folder, 3)
    clock = Clock()
    clock.now = display.tally.begun
    display.tally.clock = clock
    with display:
        display.tell(begun("t0", "t1"), "1")
        display.tell(progress(["t0", "t1"], 120, 1000), "1")
        for _ in range(130 * 2):
            clock.now += 0.5
            display.refresh()
    lines = out.getvalue().splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("0/3  0 done, 2 running, 1 left  1: 2 as one, nLayerG=2 … 120/1000")


def test_records_of_other_machines_get_their_lines(
    folder: SweepFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(displays, "LOOK", 0.0)
    display, out = shown(folder, 2)
    with display:
        display.refresh()
        display.tell({"event": "left", "trials": ["t0"], "why": "elsewhere"}, "1")
        folder.write({**record_of("t1", 1.5), "metric": "swd"})
        display.refresh()
    assert "1/2  small-grid  nLayerG=3  I′ 1.5 (best 1.5)  elsewhere" in out.getvalue()
    assert "waiting for other processes" in out.getvalue()


def test_a_terminal_gets_a_table_that_goes_when_it_ends(folder: SweepFolder) -> None:
    display, out = shown(folder, 12, force_terminal=True, height=14, color_system=None)
    with display:
        for i in range(9):
            display.tell(begun(f"t{i}"), str(i + 1))
            display.tell(progress([f"t{i}"], 40), str(i + 1))
        display.tell(ended("t0", 2.5), "1")
        display.tell(ended("t1", None, "failed", "no room"), "2")
        out.truncate(0)
        display.refresh()
        text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", out.getvalue())
    assert "small-grid  2/12: 1 done, 7 running, 1 failed, 3 left" in text
    assert "best so far: I′ 2.5  nLayerG=2" in text
    assert "40/100" in text
    assert "failed: no room" in text
    assert "… and " in text  # of seven rows not all fit
    assert len(text.splitlines()) <= 14


def test_whoever_reads_may_go_away(folder: SweepFolder) -> None:
    class Gone(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    display, _ = shown(folder, 2)
    display.console = Lasting(file=Gone())
    with display:
        display.tell(ended("t0"), "1")
        display.tell(ended("t1"), "1")
    assert display.tally.count() == {"done": 2}


# --- words ----------------------------------------------------------------------------------------


def test_settings_are_written_by_the_axes_that_vary() -> None:
    a = {"model.margin": 8, "model.encoder": [128, 64], "drop": True}
    b = {**a, "model.encoder": [], "drop": None}
    assert varying([a, b]) == ["model.encoder", "drop"]
    assert varying([a, a]) == list(a)
    assert varying([]) == []
    assert settings_text(a, varying([a, b])) == "encoder=128-64 drop=True"
    assert settings_text(b, list(b)) == "margin=8 encoder=none drop=none"
    both = {"model.energy_optimiser.lr": 1e-4, "model.sampler_optimiser.lr": 0.001}
    assert (
        settings_text(both, list(both))
        == "model.energy_optimiser.lr=0.0001 model.sampler_optimiser.lr=0.001"
    )


def test_numbers_and_times_in_words() -> None:
    assert [score_text(s) for s in (None, math.nan, -math.inf, 2.41234, 0.0)] == [
        "none", "not finite", "not finite", "2.412", "0",
    ]  # fmt: skip
    seconds = (None, math.inf, 0, 99, 101, 2280, 18_720, 293_760)
    assert [duration(s) for s in seconds] == [
        "?", "?", "0 s", "99 s", "2 min", "38 min", "5.2 h", "3.4 days",
    ]  # fmt: skip
