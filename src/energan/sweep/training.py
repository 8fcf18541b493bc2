"""Training a trial, or several as a cohort, into their run folders, from where they stand."""

import shutil
from collections.abc import Sequence
from contextlib import suppress
from typing import Literal

from energan.core import CheckpointError, DivergenceError, RunError
from energan.evaluation.checkpoint_metric import checkpoint_metric
from energan.experiment.resume import resume
from energan.experiment.settings import Job
from energan.experiment.start import start
from energan.io.run_folder import RunFolder
from energan.sweep.folder import SweepFolder
from energan.sweep.setup import Setup
from energan.sweep.trials import Trial
from energan.sweep.watch import BusyError
from energan.training.checkpoint import listed
from energan.training.loop import Hook


def here(job: Job, setup: Setup) -> Job:
    """The job as this machine trains it: the same result, its own threads, and little written."""
    steps = job.settings.training.steps
    output = {
        "sample_every": steps,  # one grid, of the last step
        "checkpoint_every": setup.save_every,
        "keep": 2,  # members of a cohort save one after the other: the one before is common
        "tensorboard": False,
    }
    return job.resolved({"engine": {"threads": setup.threads}, "output": output})


def train(folder: SweepFolder, trials: Sequence[Trial], setup: Setup, also: Hook) -> None:
    """Train the trials to their end, or until a signal; their events say which.

    also: a hook that leads the others; what it raises comes out.
    """
    standing = {trial.id: _standing(folder.run(trial.id)) for trial in trials}
    left = [trial for trial in trials if standing[trial.id] != "ended"]
    if not left:
        return  # killed before it was scored
    begun = all(standing[trial.id] == "begun" for trial in left)
    runs = [folder.run(trial.id) for trial in left]
    try:
        if len(left) == 1:
            _alone(left[0], runs[0], setup, also, begun)
        elif begun or not any(standing[trial.id] for trial in left):
            _together(left, runs, setup, also, begun)
        else:
            _in_turn(left, runs, setup, also)
    except DivergenceError:
        return  # in the events, with its reason


def _standing(run: RunFolder) -> Literal["ended", "begun", ""]:
    """Whether a run is at its end, or begun so that it can go on."""
    if not run.exists():
        return ""
    match run.state():
        case "finished" if not listed(run.checkpoints):
            return ""  # its record is gone, and the weights that would be scored
        case "finished" | "diverged":
            return "ended"
        case "stopped" | "interrupted":
            return "begun"
    raise BusyError(f"{run.path} is being trained by another process")


def _alone(trial: Trial, run: RunFolder, setup: Setup, also: Hook, begun: bool) -> None:
    if begun:
        try:
            resume(
                [run.path],
                threads=setup.threads,
                checkpoint_metric=checkpoint_metric,
                progress=False,
                hooks=[also],
            )
            return
        except (CheckpointError, RunError):
            pass  # nothing that can be gone on with: from the beginning
    _clear(run)
    start(
        [here(trial.job, setup)],
        [run.path],
        checkpoint_metric=checkpoint_metric,
        progress=False,
        hooks=[also],
    )


def _together(
    trials: Sequence[Trial], runs: Sequence[RunFolder], setup: Setup, also: Hook, begun: bool
) -> None:
    if begun:
        try:
            resume(
                [run.path for run in runs],
                threads=setup.threads,
                checkpoint_metric=checkpoint_metric,
                progress=False,
                hooks=[also],
            )
            return
        except (CheckpointError, RunError):  # killed while they saved: no step that all have
            _in_turn(trials, runs, setup, also)
            return
    for run in runs:
        _clear(run)
    jobs = [here(trial.job, setup) for trial in trials]
    paths = [run.path for run in runs]
    start(jobs, paths, checkpoint_metric=checkpoint_metric, progress=False, hooks=[also])


def _in_turn(trials: Sequence[Trial], runs: Sequence[RunFolder], setup: Setup, also: Hook) -> None:
    """One after the other, each from where it stands, until a signal stops one."""
    for trial, run in zip(trials, runs, strict=True):
        standing = _standing(run)
        if standing != "ended":
            with suppress(DivergenceError):
                _alone(trial, run, setup, also, standing == "begun")
        if run.state() == "stopped":
            return


def _clear(run: RunFolder) -> None:
    if run.path.exists():
        shutil.rmtree(run.path)
