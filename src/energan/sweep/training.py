"""Training a trial, or several as a cohort, into their run folders, from where they stand."""

import shutil
from collections.abc import Sequence
from contextlib import suppress
from typing import Literal

from energan.core import CheckpointError, DivergenceError, RunError
from energan.errors import EnerganError
from energan.evaluation.checkpoint_metric import checkpoint_metric
from energan.experiment.resume import resume
from energan.experiment.settings import Job
from energan.experiment.start import start
from energan.io.run_folder import RunFolder
from energan.sweep.store import SweepFolder, TrialOptions
from energan.sweep.trials import Trial
from energan.training.checkpoint_folder import listed
from energan.training.loop import Hook


class BusyError(EnerganError):
    """Another process trains the trial's run, as `energan resume` does."""


def train(folder: SweepFolder, trials: Sequence[Trial], options: TrialOptions, hook: Hook) -> None:
    """Train the trials to their end, or until a signal; their events say which.

    Several train as one program, if they were begun together or not at all; else in turn, as after
    a kill while they saved. hook: leads the others; what it raises comes out.
    """
    standing = {trial.id: _standing(folder.run(trial.id)) for trial in trials}
    left = [trial for trial in trials if standing[trial.id] != "ended"]  # killed before scoring
    begun = {standing[trial.id] == "begun" for trial in left}
    with suppress(DivergenceError):  # in the events, with its reason
        if len(begun) > 1 or (left and not _together(folder, left, options, hook, *begun)):
            for trial in left:
                train(folder, [trial], options, hook)
                if folder.run(trial.id).state() == "stopped":
                    return


def _together(
    folder: SweepFolder, trials: Sequence[Trial], options: TrialOptions, hook: Hook,
    begun: bool,
) -> bool:  # fmt: skip
    """Train them from the step that all have, or from the beginning. False if several have none
    in common."""
    runs = [folder.run(trial.id) for trial in trials]
    if begun:
        try:
            resume(
                [run.path for run in runs],
                threads=options.threads,
                checkpoint_metric=checkpoint_metric,
                progress=False,
                hooks=[hook],
            )
            return True
        except (CheckpointError, RunError):
            if len(runs) > 1:
                return False
    for run in runs:
        _check_free(run)  # a run that cannot be gone on with may be one that another resumes
        if run.path.exists():
            shutil.rmtree(run.path)
    start(
        [as_trained_here(trial.job, options) for trial in trials],
        [run.path for run in runs],
        checkpoint_metric=checkpoint_metric,
        progress=False,
        hooks=[hook],
    )
    return True


def as_trained_here(job: Job, options: TrialOptions) -> Job:
    """The job with this machine's threads, and little written: the result is the same."""
    steps = job.settings.training.steps
    output = {
        "sample_every": steps,  # one grid, of the last step
        "checkpoint_every": options.save_every,
        "keep": 2,  # members of a cohort save one after the other: the one before is common
        "tensorboard": False,
    }
    return job.resolved({"engine": {"threads": options.threads}, "output": output})


def _check_free(run: RunFolder) -> None:
    if run.locked():
        raise BusyError(f"{run.path} is being trained by another process")


def _standing(run: RunFolder) -> Literal["ended", "begun", ""]:
    """Whether a run is at its end, or begun so that it can go on."""
    _check_free(run)
    try:
        state = run.state() if run.exists() else ""
    except RunError:
        return ""  # damaged
    if state == "finished" and not listed(run.checkpoints):
        return ""  # its record is gone, and the weights that would be scored
    if state in ("finished", "diverged"):
        return "ended"
    return "begun" if state else ""
