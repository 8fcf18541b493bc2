"""What a person sees of a sweep: counts, the best, the time left, on a terminal and off it."""

import io
import math
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from energan.experiment.settings import load
from energan.io.console import stderr_console
from energan.io.text import duration, score_text, settings_text, varying
from energan.sweeps import display as displays
from energan.sweeps.display import SweepDisplay, SweepProgress
from energan.sweeps.store import SweepFolder
from energan.sweeps.trials import Trial

JOB = load("gan-ring")


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def record_of(
    trial: str,
    score: float | None = 1.0,
    state: str = "done",
    reason: str | None = None,
    better: str = "lower",
) -> dict[str, Any]:
    scores = {} if state != "done" else {"swd": {"value": score, "better": better}}
    return {
        "id": trial, "state": state, "reason": reason, "metric": "swd", "scores": scores,
        "seconds": 3.0, "scoring_seconds": 1.0,
    }  # fmt: skip


def trained(folder: SweepFolder, trial: str, first: int, step: int, *ends: str) -> None:
    """The run of a trial that was begun at one step, and is at another."""
    run = folder.run(trial)
    run.path.mkdir(exist_ok=True)
    run.append("start", step=first)
    run.append("step", step=step)
    for end in ends:
        run.append(end, step=step, reason="SIGTERM")


@pytest.fixture
def folder(tmp_path: Path) -> SweepFolder:
    made = SweepFolder(tmp_path / "small-grid")
    made.make()
    return made


def progress(
    folder: SweepFolder, trials: str, seconds: float = 10.0, processes: int = 2
) -> SweepProgress:
    steps = dict.fromkeys(trials, 100)
    return SweepProgress(folder, steps, dict.fromkeys(trials, seconds), processes, Clock())


def shown(folder: SweepFolder, count: int, **of_console: Any) -> tuple[SweepDisplay, io.StringIO]:
    out = io.StringIO()
    console = Console(file=out, width=150, **of_console)
    values = [{"nLayerG": 2 + i, "sizes": [128, 64], "lr": 0.001} for i in range(count)]
    trials = [Trial(f"t{i}", v, JOB) for i, v in enumerate(values)]
    seconds = {trial.id: 10.0 for trial in trials}
    return SweepDisplay(folder, trials, "modified_inception_score", seconds, 2, console), out


# --- the state of the trials ----------------------------------------------------------------------


def test_each_trial_is_in_one_state(folder: SweepFolder) -> None:
    folder.write(record_of("a", 0.5))
    folder.write(record_of("b", state="failed"))
    found = progress(folder, "abcdefgh")
    assert found.count() == {"done": 1, "failed": 1, "left": 6}
    found.begin("c", "1")
    found.begin("de", "2")
    assert found.count() == {"done": 1, "failed": 1, "running": 3, "left": 3}
    folder.write(record_of("d", 0.3))
    folder.write(record_of("e", state="diverged"))
    assert [end["id"] for end in found.leave("de")] == ["d", "e"]
    assert [row.trials for row in found.running()] == [["c"]]
    assert found.best == record_of("d", 0.3)
    found.leave("c")
    assert found.count() == {"done": 2, "failed": 1, "diverged": 1, "left": 4}


def test_what_ends_is_found_once_and_counts_for_the_best(folder: SweepFolder) -> None:
    """Trials of a cohort end one after the other, and other shards end some too."""
    found = progress(folder, "abc")
    found.begin("bc", "1")
    for trial, score in (("a", 0.4), ("b", 0.2), ("of-another-sample", 0.0)):
        folder.write(record_of(trial, score))
    assert found.look() == [record_of("a", 0.4), record_of("b", 0.2)]
    assert found.look() == []
    assert found.best == record_of("b", 0.2)
    assert [row.trials for row in found.running()] == [["c"]]
    folder.write(record_of("c", 0.1))
    assert [end["id"] for end in found.leave("bc")] == ["c"]
    assert found.count() == {"done": 3}


def test_what_begins_again_elsewhere_is_there_alone(folder: SweepFolder) -> None:
    found = progress(folder, "abc")
    found.begin("c", "1")
    found.begin("a", "node")  # of a machine there may be several at once
    found.begin("b", "node")
    assert len(found.running()) == 3
    found.begin("a", "other")
    assert [(row.where, row.trials) for row in found.running()] == [
        ("1", ["c"]),
        ("node", ["b"]),
        ("other", ["a"]),
    ]


@given(st.lists(st.one_of(st.none(), st.floats()), min_size=1, max_size=8), st.booleans())
def test_the_best_is_the_extreme_of_the_finite_scores(
    tmp_path_factory: pytest.TempPathFactory, scores: list[float | None], higher: bool
) -> None:
    folder = SweepFolder(tmp_path_factory.mktemp("sweep"))
    folder.make()
    names = [f"t{i}" for i in range(len(scores))]
    better = "higher" if higher else "lower"
    found = SweepProgress(folder, dict.fromkeys(names, 1), {}, 1)
    for name, score in zip(names, scores, strict=True):
        folder.write(record_of(name, score, better=better))
    found.look()
    finite = [s for s in scores if s is not None and math.isfinite(s)]
    if finite:
        assert found.best is not None
        best = found.best["scores"]["swd"]["value"]
        assert best == (max(finite) if higher else min(finite))
    else:
        assert found.best is None


# --- the time left --------------------------------------------------------------------------------


def test_before_anything_is_measured_the_time_left_is_the_expected_one(folder: SweepFolder) -> None:
    assert progress(folder, "abcdef", 10.0, 2).time_left() == pytest.approx(30.0)


@settings(max_examples=30, deadline=None)
@given(st.floats(0.05, 50), st.integers(1, 4), st.floats(1, 1000))
def test_the_time_left_learns_how_much_slower_it_goes(
    tmp_path_factory: pytest.TempPathFactory, factor: float, processes: int, expected: float
) -> None:
    """Trials that take `factor` times as long as expected: after ten rounds it is nearly known."""
    folder = SweepFolder(tmp_path_factory.mktemp("sweep"))
    folder.make()
    names = [f"t{i}" for i in range(20 * processes)]
    steps, seconds = dict.fromkeys(names, 1), dict.fromkeys(names, expected)
    found = SweepProgress(folder, steps, seconds, processes, clock := Clock())
    for done in range(10):
        now = names[done * processes : (done + 1) * processes]
        for where, name in enumerate(now):
            found.begin([name], str(where + 1))
        clock.now += factor * expected
        for name in now:
            folder.write(record_of(name))
            assert found.leave([name])
    true = 10 * factor * expected
    learnt = (10 * processes * factor + 1) / (10 * processes + 1)  # the expectation counts as one
    assert found.time_left() == pytest.approx(true * learnt / factor)
    assert abs(math.log(learnt / factor)) <= abs(math.log((10 * factor + 1) / 11 / factor)) + 1e-9


def test_what_trains_counts_by_its_steps_and_only_by_those_made_here(folder: SweepFolder) -> None:
    trained(folder, "a", 0, 50, "stopped")
    found = progress(folder, "a", 100.0, 1)
    found.begin("a", "1")
    assert found.rows["a"].stage == "starting"
    found.look()
    assert (found.rows["a"].first, found.rows["a"].stage) == (50, "50/100")
    assert found.time_left() == pytest.approx(50.0)
    found.clock.now += 50  # type: ignore[attr-defined]  # twice as long as expected
    folder.run("a").append("step", step=75)
    found.look()
    # 25 expected seconds of work took 50; the expectation of 100 counts beside it
    assert found.time_left() == pytest.approx(25 * (50 + 100) / (25 + 100))
    folder.run("a").append("finished", step=100)
    found.look()
    assert found.running()[0].stage == "scoring"


def test_the_last_trial_is_not_shared_by_processes_that_have_nothing_to_do(
    folder: SweepFolder,
) -> None:
    found = progress(folder, "ab", 10.0, 8)
    found.begin("a", "1")
    assert found.time_left() == pytest.approx(10.0)


def test_without_any_expectation_nothing_is_said_before_a_trial_has_ended(
    folder: SweepFolder,
) -> None:
    found = SweepProgress(folder, dict.fromkeys("abc", 1), {}, 1, clock := Clock())
    assert found.time_left() is None
    found.begin("a", "1")
    clock.now += 7
    folder.write(record_of("a"))
    found.leave("a")
    assert found.time_left() == pytest.approx(14.0)


# --- on a terminal and elsewhere ------------------------------------------------------------------


def ended(display: SweepDisplay, folder: SweepFolder, record: dict[str, Any]) -> None:
    display.begin([record["id"]], "1")
    folder.write(record)
    display.leave([record["id"]])


def test_a_line_when_a_trial_ends(folder: SweepFolder) -> None:
    display, out = shown(folder, 3)
    with display:
        ended(display, folder, record_of("t1", 2.13456))
        ended(display, folder, record_of("t0", None, "diverged", "a loss\nis not finite"))
        ended(display, folder, record_of("t2", math.nan))
    first, second, third = out.getvalue().splitlines()
    assert first.startswith("1/3  small-grid  nLayerG=3  I′ 2.135 (best 2.135)  4 s  ")
    assert first.endswith("left")
    assert "nLayerG=2  diverged: a loss is not finite  4 s" in second
    assert "I′ not finite (best 2.135)" in third
    assert third.endswith("nothing left")


def test_about_once_a_minute_a_line_of_what_runs(folder: SweepFolder) -> None:
    display, out = shown(folder, 3)
    clock = Clock()
    clock.now = display.progress.begun
    display.progress.clock = clock
    with display:
        display.begin(["t0", "t1"], "1")
        trained(folder, "t0", 0, 120)
        for _ in range(130 * 2):
            clock.now += 0.5
            display.refresh()
    lines = out.getvalue().splitlines()
    steps = JOB.settings.training.steps
    assert len(lines) == 2
    assert lines[0].startswith(
        f"0/3  0 done, 2 running, 1 left  1: 2 as one, nLayerG=2 … 120/{steps}"
    )


def test_records_of_other_shards_get_their_lines(
    folder: SweepFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(displays, "LOOK", 0.0)
    display, out = shown(folder, 2)
    with display:
        display.refresh()
        folder.write(record_of("t1", 1.5))
        display.refresh()
    assert "1/2  small-grid  nLayerG=3  I′ 1.5 (best 1.5)  4 s" in out.getvalue()


def test_a_terminal_gets_a_table_that_goes_when_it_ends(
    folder: SweepFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(displays, "LOOK", 0.0)
    display, out = shown(folder, 12, force_terminal=True, height=11, color_system=None)
    with display:
        for i in range(9):
            display.begin([f"t{i}"], str(i + 1))
            trained(folder, f"t{i}", 0, 40)
        folder.write(record_of("t0", 2.5))
        folder.write(record_of("t1", None, "failed", "no room"))
        display.leave(["t0"])
        display.leave(["t1"])
        text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", out.getvalue())
        assert "2/12  small-grid  nLayerG=3  failed: no room  4 s" in text  # above the table
        out.truncate(0)
        display.refresh()
        text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", out.getvalue())
    assert "small-grid  2/12: 1 done, 7 running, 1 failed, 3 left" in text
    assert "best so far: I′ 2.5  nLayerG=2" in text
    assert f"40/{JOB.settings.training.steps}" in text
    assert "… and " in text  # of seven rows not all fit
    assert len(text.splitlines()) <= 11


def test_whoever_reads_may_go_away(folder: SweepFolder) -> None:
    class Gone(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    display, _ = shown(folder, 2)
    display.console = stderr_console()
    display.console.file = Gone()
    with display:
        ended(display, folder, record_of("t0"))
        ended(display, folder, record_of("t1"))
    assert display.progress.count() == {"done": 2}


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
