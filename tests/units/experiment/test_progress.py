"""What a person sees of training: lines now and then where there is no terminal, else a bar."""

import io
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from energan.experiment.callbacks.progress import CohortMean, ProgressBar
from energan.experiment.settings import Job, load
from energan.experiment.start import start
from energan.io import console
from energan.training import checkpoint_folder
from energan.training.checkpoint_folder import steps_in


class Clock:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        monkeypatch.setattr(console.time, "perf_counter", lambda: self.now)


def small_job(output: dict[str, int]) -> Job:
    """Twenty steps on points in the plane."""
    output = {"sample_every": 0, "checkpoint_every": 0, "tensorboard": False, **output}
    return load("ebgan-ring").changed({"training": {"steps": 20}, "output": output})


def at(step: int) -> SimpleNamespace:
    return SimpleNamespace(step=step)


def test_lines_come_after_the_first_step_then_seldom_and_once_at_the_end(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock, bar = Clock(monkeypatch), ProgressBar("training", 40)
    bar.start(at(10))
    bar(10, {"sliced_wasserstein": 0.75})
    for step, seconds in ((20, 1.0), (30, 1.0), (40, 1.0)):
        clock.now += seconds
        bar.step(at(step))
        bar(step, {"loss_energy": 1.0, "energy_real": 0.5})
        bar(step, {"sliced_wasserstein": 0.25})
    bar.finish(at(40))
    bar.close()
    assert capsys.readouterr().err.splitlines() == [
        "step 20/40  real energy 0.5  D loss 1  at step 10: SWD 0.75  2 s left",
        "step 40/40  real energy 0.5  D loss 1  SWD 0.25",
    ]


def test_the_error_is_a_percentage(capsys: pytest.CaptureFixture[str]) -> None:
    bar = ProgressBar("training", 40)
    bar.start(at(39))
    bar(40, {"error": 0.034, "held_out_energy": 2.5})
    bar.finish(at(40))
    bar.close()
    assert "held-out energy 2.5  held-out error 3.40 %" in capsys.readouterr().err


@pytest.mark.parametrize(("log_every", "lines"), [(5, [5, 20]), (20, [20]), (100, [20])])
def test_a_training_tells_each_step_once(
    log_every: int, lines: list[int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its first line after some steps, its last with the scores of the last checkpoint."""
    job = small_job({"log_every": log_every})
    done = start([job], [tmp_path / "run"])
    said = capsys.readouterr().err.splitlines()
    told = [line for line in said if line.startswith("step ")]
    assert [int(line.split()[1].split("/")[0]) for line in told] == lines
    last = done[0].read("score")[-1]
    assert last["step"] == 20
    assert f"SWD {last['sliced_wasserstein']:.4g}" in told[-1]
    assert "at step" not in told[-1]


def test_a_training_that_is_stopped_ends_with_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock, bar = Clock(monkeypatch), ProgressBar("training", 40)
    bar.start(at(0))
    for step in (10, 20):
        clock.now += 1.0
        bar(step, {"loss_energy": 1.0})
    bar.finish(at(25))
    bar(25, {"loss_energy": 2.0})
    bar(25, {"sliced_wasserstein": 0.25})
    bar.close()
    assert capsys.readouterr().err.splitlines() == [
        "step 10/40  D loss 1  3 s left",
        "step 25/40  D loss 2  SWD 0.25",
    ]


def test_a_training_that_fails_has_no_last_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock, bar = Clock(monkeypatch), ProgressBar("training", 40)
    bar.start(at(0))
    for step in (10, 20):
        clock.now += 1.0
        bar(step, {"loss_energy": 1.0})
    bar.close()
    assert capsys.readouterr().err.splitlines() == ["step 10/40  D loss 1  3 s left"]


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
    assert "real energy 0.5" in stream.getvalue()


class Gone(io.StringIO):
    """What no one reads any more."""

    tried = 0

    def write(self, text: str) -> int:
        self.tried += 1
        raise BrokenPipeError


def test_training_goes_on_when_the_reader_goes_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To its last step and checkpoint, with the weights of a run that was read to the end."""
    job, gone = small_job({"log_every": 5, "checkpoint_every": 10}), Gone()
    read = start([job], [tmp_path / "read"])[0]
    monkeypatch.setattr("sys.stderr", gone)
    console.say("lost before it begins")
    left = start([job], [tmp_path / "left"])[0]
    assert gone.tried > 1
    assert left.state() == "finished"
    for folder in (read, left):
        assert [e["step"] for e in folder.read("step")] == [5, 10, 15, 20]
        assert steps_in(folder.checkpoints) == [10, 20]
    for name in ("step-000010", "step-000020"):
        ours, theirs = (checkpoint_folder.read(f.checkpoints / name) for f in (left, read))
        for own, other in ((ours.weights, theirs.weights), (ours.state, theirs.state)):
            assert own.keys() == other.keys()
            assert all(torch.equal(value, other[key]) for key, value in own.items())


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
