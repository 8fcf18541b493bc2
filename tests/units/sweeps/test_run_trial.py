"""Working on trials: what is trained, recorded and left, whatever goes wrong."""

import json
import shutil
import threading
import time
import weakref
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from energan.core import SettingError
from energan.data import open_data
from energan.experiment.settings import Job
from energan.io.run_folder import RunFolder
from energan.sweeps import Sweep, run_trial
from energan.sweeps.run_trial import Ending
from energan.sweeps.store import SweepFolder, TrialOptions
from energan.sweeps.trials import Trial, trials_of
from energan.training import checkpoint_folder
from energan.training.train_state import TrainState

SMALL = {
    "training.batch_size": 32,
    "model.generator": [16],
    "model.encoder": [16],
    "data.source": "digits",
}
OPTIONS = TrialOptions("s", ("sliced_wasserstein",), samples=64, threads=1)


@pytest.fixture
def folder(tmp_path: Path) -> SweepFolder:
    made = SweepFolder(tmp_path / "sweep")
    made.make()
    return made


def sweep_of(axes: dict[str, Any], **more: Any) -> Sweep:
    return Sweep("s", "", "ebgan-digits", axes, base={**SMALL, **more})


def trials(axes: dict[str, Any], steps: int = 6, **more: Any) -> list[Trial]:
    return list(trials_of(sweep_of(axes, **{"training.steps": steps}, **more)))


def work(
    folder: SweepFolder,
    package: Sequence[Trial],
    options: TrialOptions,
    ending: Ending | None = None,
) -> str | None:
    """As the process does that an executor starts."""
    for trial in package:
        folder.enqueue(trial.record(), options)
    return run_trial.work(folder, [trial.id for trial in package], ending or Ending())


class Stop(Ending):
    """Ctrl-C at a step, outside the loop's own care."""

    def __init__(self, at: int) -> None:
        self.at = at

    def step(self, loop: TrainState) -> None:
        if loop.step >= self.at:
            raise KeyboardInterrupt


def same_weights(one: RunFolder, other: RunFolder) -> bool:
    """Whether the newest checkpoints are equal, bit for bit."""
    ours, theirs = (
        load_file(checkpoint_folder.newest_good(run.checkpoints)[0] / checkpoint_folder.WEIGHTS)
        for run in (one, other)
    )
    assert ours
    return ours.keys() == theirs.keys() and all(torch.equal(ours[k], theirs[k]) for k in ours)


def test_a_trial_is_known_by_what_changes_its_result() -> None:
    first, second = trials({"model.margin": (1, 2)})
    assert first.id != second.id
    assert Trial.of(json.loads(json.dumps(first.record()))) == first
    # another way of writing, and what changes no result, is the same trial
    others = {"training.steps": 6, "output.log_every": 7, "engine.threads": 1}
    again = list(trials_of(sweep_of({"model.margin": (1.0,)}, **others)))
    assert again[0].id == first.id
    other_data = trials({"model.margin": (1,)}, **{"data.size": 16})
    assert other_data[0].id != first.id


def test_a_trial_is_trained_scored_and_kept(folder: SweepFolder) -> None:
    (trial,) = trials({"model.margin": (2,)})
    assert work(folder, [trial], OPTIONS) is None
    record = folder.read(trial.id)
    assert record is not None
    run = folder.run(trial.id)
    assert record["state"] == "done"
    assert (record["values"], record["steps"], record["cohort"]) == ({"model.margin": 2}, 6, 1)
    assert record["hash"] == run.read_config()["hash"]
    stored = json.loads((run.path / "metrics.json").read_text())["evaluations"][0]["metrics"]
    assert record["scores"]["sliced_wasserstein"]["value"] == stored[0]["value"]
    assert record["seconds"] > 0
    assert [p.name for p in run.samples.iterdir()] == ["step-000006.png"]
    assert run.checkpoints.is_dir()  # the best one so far
    assert work(folder, [trial], OPTIONS) is None
    assert len(run.read("start")) == 1  # what is done is left
    assert record["attempts"] == folder.attempts(trial.id) == 1


def test_a_trial_is_what_training_it_by_itself_gives(folder: SweepFolder, tmp_path: Path) -> None:
    from energan.experiment.start import start

    (trial,) = trials({"model.margin": (2,)})
    work(folder, [trial], OPTIONS)
    job = trial.job.resolved({"engine": {"threads": 1}})
    alone = start([job], [tmp_path / "alone"], progress=False)[0]
    assert same_weights(folder.run(trial.id), alone)


def test_what_another_process_works_on_is_waited_for_and_not_done_again(
    folder: SweepFolder,
) -> None:
    (trial,) = trials({"model.margin": (2,)})
    folder.enqueue(trial.record(), OPTIONS)
    words = (folder, [trial.id], Ending())
    both = [threading.Thread(target=run_trial.work, args=words) for _ in range(2)]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join()
    run = folder.run(trial.id)
    assert (len(run.read("start")), len(run.read("finished"))) == (1, 1)
    assert folder.attempts(trial.id) == 1


def test_a_trial_that_fails_or_diverges_is_recorded_and_the_next_goes_on(
    folder: SweepFolder,
) -> None:
    options = TrialOptions("s", ("sliced_wasserstein",), samples=64, threads=1)
    ill = trials({"training.batch_size": (1,)})  # batch norm needs two
    wild = trials(
        {"model.energy_optimiser.lr": (1e30,)}, steps=40, **{"model.energy_optimiser.kind": "sgd"}
    )
    well = trials({"model.margin": (1,)})
    for trial in (*ill, *wild, *well):
        assert work(folder, [trial], options) is None
    states = {record["id"]: record for record in folder.records()}
    assert states[ill[0].id]["state"] == "failed"
    assert "training.batch_size" in states[ill[0].id]["reason"]
    assert states[wild[0].id]["state"] == "diverged"
    assert "not finite" in states[wild[0].id]["reason"]
    assert states[wild[0].id]["scores"] == {}
    assert states[well[0].id]["state"] == "done"
    assert folder.forget(states) == 2
    assert work(folder, ill, options) is None
    again = folder.read(ill[0].id)
    assert again is not None
    assert again["attempts"] == 2


def test_an_error_that_is_no_users_is_recorded_with_its_place(
    folder: SweepFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*args: object, **more: object) -> None:
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr(run_trial, "evaluate", broken)
    (trial,) = trials({"model.margin": (2,)})
    assert work(folder, [trial], OPTIONS) is None
    record = folder.read(trial.id)
    assert record is not None
    assert record["state"] == "failed"
    assert record["reason"].startswith("ZeroDivisionError: by zero (test_run_trial.py:")


def test_one_that_was_stopped_goes_on_where_it_stood(folder: SweepFolder, tmp_path: Path) -> None:
    (trial,) = trials({"model.margin": (2,)}, steps=10)
    options = TrialOptions("s", ("sliced_wasserstein",), samples=64, threads=1, save_every=2)

    assert work(folder, [trial], options, Stop(4)) == "SIGINT"
    assert folder.done() == set()
    assert work(folder, [trial], options) is None
    assert folder.run(trial.id).read("resume")[0]["step"] in (2, 4)  # the newest checkpoint then
    record = folder.read(trial.id)
    assert record is not None
    assert (record["state"], record["steps"], record["attempts"]) == ("done", 10, 2)
    whole = SweepFolder(tmp_path / "whole")
    whole.make()
    work(whole, [trial], options)
    assert same_weights(folder.run(trial.id), whole.run(trial.id))


def test_one_whose_files_are_damaged_begins_anew(folder: SweepFolder) -> None:
    (trial,) = trials({"model.margin": (2,)})
    work(folder, [trial], OPTIONS)
    before = folder.read(trial.id)
    assert before is not None
    (folder.results / f"{trial.id}.json").unlink()
    for path in folder.run(trial.id).checkpoints.iterdir():
        shutil.rmtree(path)
    events = folder.run(trial.id).events
    events.write_text(events.read_text().replace("finished", "stopped"))
    assert work(folder, [trial], OPTIONS) is None
    record = folder.read(trial.id)
    assert record is not None
    assert record["state"] == "done"
    assert record["scores"] == before["scores"]


def test_a_cohort_that_cannot_be_trained_is_trained_one_by_one(
    folder: SweepFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = run_trial.start

    def too_large(jobs: Sequence[Job], *args: Any, **more: Any) -> list[RunFolder]:
        if len(jobs) > 1:
            raise MemoryError("not so much")
        return start(jobs, *args, **more)

    monkeypatch.setattr(run_trial, "start", too_large)
    package = trials({"model.margin": (1, 2)})
    assert work(folder, package, OPTIONS) is None
    assert [record["state"] for record in folder.records()] == ["done", "done"]


def test_a_trial_that_a_resume_by_hand_trains_is_waited_for(
    folder: SweepFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_trial, "WAIT", 0.01)
    (trial,) = trials({"model.margin": (2,)})
    run = folder.run(trial.id)
    run.path.mkdir()
    thread = threading.Thread(target=work, args=(folder, [trial], OPTIONS))
    with run.lock():
        thread.start()
        time.sleep(0.5)
        assert not run.exists()
        assert folder.done() == set()
    thread.join()
    assert folder.done() == {trial.id}


def test_a_resume_by_hand_that_begins_before_training_does_is_waited_for(
    folder: SweepFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    (trial,) = trials({"model.margin": (2,)})
    run, start, by_hand = folder.run(trial.id), run_trial.start, ExitStack()

    def taken(*given: Any, **how: Any) -> list[RunFolder]:
        monkeypatch.setattr(run_trial, "start", start)
        run.path.mkdir()
        by_hand.enter_context(run.lock())
        return start(*given, **how)

    def wait(seconds: float) -> None:
        assert folder.done() == set()
        by_hand.close()

    clock = SimpleNamespace(sleep=wait, time=time.time, perf_counter=time.perf_counter)
    monkeypatch.setattr(run_trial, "start", taken)
    monkeypatch.setattr(run_trial, "time", clock)
    assert work(folder, [trial], OPTIONS) is None
    (record,) = folder.records()
    assert (record["state"], record["attempts"]) == ("done", 2)


def test_a_trial_whose_record_was_removed_is_trained_again(folder: SweepFolder) -> None:
    (trial,) = trials({"model.margin": (2,)})
    options = TrialOptions("s", ("sliced_wasserstein",), samples=64, threads=1, keep="none")
    work(folder, [trial], options)
    before = folder.read(trial.id)
    assert before is not None
    (folder.results / f"{trial.id}.json").unlink()
    work(folder, [trial], options)
    after = folder.read(trial.id)
    assert after is not None
    assert (after["state"], after["scores"]) == ("done", before["scores"])


def test_what_a_cohort_holds_is_free_before_its_trials_are_trained_one_by_one(
    folder: SweepFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The traceback of its error would keep its tensors, so that a trial that fits would not."""
    held: list[weakref.ref[torch.Tensor]] = []
    alive: list[bool] = []

    def too_large(jobs: Sequence[Job], *args: Any, **more: Any) -> None:
        if len(jobs) > 1:
            tensors = torch.zeros(3)
            held.append(weakref.ref(tensors))
            raise torch.OutOfMemoryError("CUDA out of memory")
        alive.append(held[0]() is not None)
        raise SettingError("enough is seen")

    monkeypatch.setattr(run_trial, "start", too_large)
    work(folder, trials({"model.margin": (1, 2)}), OPTIONS)
    assert alive == [False, False]


def test_a_gpu_that_failed_ends_the_process_with_its_first_error(
    folder: SweepFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All that the process does on it afterwards fails too: that is no failure of the trials."""
    calls: list[int] = []

    def broken(jobs: Sequence[Job], *args: object, **more: object) -> None:
        calls.append(len(jobs))
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    monkeypatch.setattr(run_trial, "start", broken)
    with pytest.raises(RuntimeError, match="illegal memory access"):
        work(folder, trials({"model.margin": (1, 2)}), OPTIONS)
    assert (calls, folder.done()) == ([2], set())


@pytest.mark.parametrize(
    "error",
    [
        OSError("disk full"), RuntimeError("CUDA out of memory"),
        RuntimeError("CUDNN_STATUS_ALLOC_FAILED"), RuntimeError("CUDA error: an assert"),
    ],
)  # fmt: skip
def test_what_the_machine_lacks_is_not_the_trials_failure(
    folder: SweepFolder, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def broken(*args: object, **more: object) -> None:
        raise error

    monkeypatch.setattr(run_trial, "start", broken)
    (trial,) = trials({"model.margin": (2,)})
    with pytest.raises(type(error), match=str(error)):
        work(folder, [trial], OPTIONS)
    assert folder.done() == set()


def test_members_that_were_killed_between_their_saves_go_on_by_themselves(
    folder: SweepFolder,
) -> None:
    package = trials({"model.margin": (1, 2)}, steps=10)
    options = TrialOptions("s", ("sliced_wasserstein",), samples=64, threads=1, save_every=2)

    assert work(folder, package, options, Stop(6)) == "SIGINT"
    first, second = (folder.run(trial.id) for trial in package)
    kept = checkpoint_folder.listed(first.checkpoints)
    for path in kept[:-1]:
        shutil.rmtree(path)
    shutil.rmtree(checkpoint_folder.listed(second.checkpoints)[-1])
    stood = [checkpoint_folder.steps_in(r.checkpoints)[-1] for r in (first, second)]
    assert stood[0] != stood[1]
    assert work(folder, package, options) is None
    assert [record["state"] for record in folder.records()] == ["done", "done"]
    assert [run.read("resume")[0]["step"] for run in (first, second)] == stood


def test_what_decides_between_done_and_diverged_is_of_the_id() -> None:
    usual = trials({"model.margin": (1,)})[0]
    for name, value in (("on_divergence", "rollback"), ("guard", False), ("rollbacks", 2)):
        other = trials({"model.margin": (1,)}, **{f"training.{name}": value})[0]
        assert other.id != usual.id
    assert trials({"model.margin": (1,)}, **{"data.held_out": 100})[0].id != usual.id
    assert usual.id == usual.job.hash(
        open_data(usual.job.settings.data).fingerprint, usual.job.settings.engine.precision
    )


def test_the_time_of_a_trial_is_without_that_in_which_it_lay_still() -> None:
    names = ("start", "step", "stopped", "resume", "start", "step", "finished")
    times = (100.0, 103.0, 104.0, 900.0, 902.0, 905.0, 906.0)
    events = [{"event": n, "time": t} for n, t in zip(names, times, strict=True)]
    assert run_trial.seconds_of(events) == 8.0
    assert run_trial.seconds_of([]) == 0.0
