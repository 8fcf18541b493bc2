"""What a person sees of training: lines now and then where there is no terminal, else a bar."""

import io
from types import SimpleNamespace

import pytest

from energan.experiment.callbacks.progress import CohortMean, ProgressBar
from energan.io import console
from energan.io.console import ProgressDisplay


class Clock:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        monkeypatch.setattr(console.time, "perf_counter", lambda: self.now)


def at(step: int) -> SimpleNamespace:
    return SimpleNamespace(step=step)


def test_lines_come_at_once_then_seldom_and_at_the_end(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock, bar = Clock(monkeypatch), ProgressBar("training", 40)
    bar.start(at(10))
    for step, seconds in ((20, 1.0), (30, 1.0), (40, 1.0)):
        clock.now += seconds
        bar(step, {"loss_energy": 1.0, "energy_real": 0.5})
        bar(step, {"sliced_wasserstein": 0.25})
    assert capsys.readouterr().err.splitlines() == [
        "step 20/40  U(real) 0.5  L_D 1  2 s left",
        "step 40/40  U(real) 0.5  L_D 1  at step 30: SWD 0.25  0 s left",
        "step 40/40  U(real) 0.5  L_D 1  SWD 0.25  0 s left",
    ]


def test_on_a_terminal_there_is_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    stream = io.StringIO()
    monkeypatch.setattr("sys.stderr", stream)
    bar = ProgressBar("training [both]", 40)
    bar.start(at(0))
    bar.step(at(40))
    bar(40, {"energy_real": 0.5})
    bar.close()
    assert "training [both]" in stream.getvalue()
    assert "40/40" in stream.getvalue()
    assert "U(real) 0.5" in stream.getvalue()


class Gone(io.StringIO):
    def write(self, text: str) -> int:
        raise BrokenPipeError


def test_training_goes_on_when_the_reader_goes_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr", Gone())
    display = ProgressDisplay("training", 10)
    display.say("lost")
    display.say("lost too")
    console.say("lost as well")


def test_a_cohort_shows_the_mean_of_those_that_are_left() -> None:
    whole = SimpleNamespace(diverged={})
    members = [SimpleNamespace(index=i, whole=whole) for i in range(3)]
    shown: list[tuple[int, dict[str, float]]] = []
    mean = CohortMean(lambda *seen: shown.append(seen), members)
    for member in members:
        mean(member, 5, {"energy_real": float(member.index), "images_per_s": 10.0})
    whole.diverged[2] = "gone"
    for member in members[:2]:
        mean(member, 10, {"energy_real": 2.0})
    assert shown == [(5, {"energy_real": 1.0, "images_per_s": 30.0}), (10, {"energy_real": 2.0})]
