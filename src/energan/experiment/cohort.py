"""Runs that train as one program: their loop, what may train together, and how they end.

A single run is a cohort of one. Only there may several ranks share the batch, and only there can
training go back to an earlier checkpoint.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch

from energan.core import DivergenceError, SettingError
from energan.data import DataSet
from energan.experiment.build import assemble, build, calibration_of, in_common, loop_of
from energan.experiment.callbacks import Say, hooks_of
from energan.experiment.callbacks.curves import draw, save_curves
from energan.experiment.callbacks.progress import CohortMean, ProgressBar
from energan.experiment.callbacks.scores import CheckpointMetric
from energan.experiment.margin import wants_estimate
from energan.experiment.settings import Job
from energan.io import console
from energan.io.run_folder import RunFolder
from energan.training import checkpoint_folder
from energan.training.device import Device
from energan.training.distributed import ALONE, Distributed, asked_ranks
from energan.training.loop import Hook, Loop
from energan.training.member import Member, Members
from energan.training.signals import stop_on_signals
from energan.training.train_state import TrainState

ANY_MARGIN = {"model": {"margin": 1.0}}
"""In the place of one that is not estimated yet."""


@dataclass(frozen=True)
class Outcome:
    """How the runs ended. stopped: the signal that stopped them, None if they went to the end."""

    folders: list[RunFolder]
    diverged: list[RunFolder]
    stopped: str | None


@dataclass(frozen=True)
class Cohort:
    """The loop of all, and its members where it has several.

    chosen: what each model chose from the data.
    """

    loop: Loop
    members: list[Member]
    jobs: list[Job]
    chosen: list[dict[str, str]]

    @property
    def loops(self) -> list[TrainState]:
        """The loop that each run is to itself."""
        return [*self.members] or [self.loop]


def cohort_of(
    jobs: Sequence[Job], data: DataSet, engine: Device, ranks: Distributed = ALONE
) -> Cohort:
    """The jobs, which differ in values and not in shapes, as one program.

    Raises SettingError if they differ in more, or if the model's layers take no member axis.
    """
    seeds = [job.settings.seed for job in jobs]
    built = [build(job, data.domain, seed) for job, seed in zip(jobs, seeds, strict=True)]
    training, here = jobs[0].settings.training, data.to(engine.device)
    loop = loop_of(built, training, here, engine, seeds, ranks)
    members = [
        Member(loop, i, own, calibration_of(own, here, engine, [seed]))
        for i, (own, seed) in enumerate(zip(built, seeds, strict=True))
        if len(built) > 1
    ]
    return Cohort(loop, members, list(jobs), [model.chosen for model in built])


# --- what may train together ----------------------------------------------------------------------


def jobs_of(job: Job, count: int) -> list[Job]:
    """The job with its seed and the `count` − 1 after it, each as asked for by itself."""
    first = job.settings.seed
    return [job.changed({"seed": first + i}) if i else job for i in range(count)]


def check_together(job: Job) -> None:
    """Raise SettingError if the job cannot train in a cohort of several, whatever its model is."""
    if asked_ranks() > 1:
        raise SettingError("a cohort trains in one process: start it without torchrun")
    if job.settings.training.on_divergence == "rollback":
        raise SettingError(
            "a member of a cohort cannot go back alone: --on-divergence stop, or train the runs "
            "apart (--together processes)"
        )


def check_jobs(jobs: Sequence[Job]) -> None:
    """Raise SettingError if the jobs' settings alone say that they cannot train as one program."""
    first = in_common(jobs[0])
    for job in jobs[1:]:
        own = in_common(job)
        differing = [name for name in first if first[name] != own[name]]
        if differing:
            raise SettingError(
                f"members of a cohort differ in their {' and '.join(differing)}: train those that "
                "differ as separate runs"
            )
    if len(jobs) > 1:
        check_together(jobs[0])


def loop_of_seeds(job: Job, count: int, data: DataSet, engine: Device) -> Loop:
    """The loop of that many seeds, to see whether there can be one. Raises SettingError if not."""
    if wants_estimate(job):
        job = job.resolved(ANY_MARGIN)
    seeds = [own.settings.seed for own in jobs_of(job, count)]
    return assemble(job, data.to(engine.device), engine, seeds)


# --- training into run folders --------------------------------------------------------------------


def train(
    cohort: Cohort,
    data: DataSet,
    folders: list[RunFolder],
    metric: CheckpointMetric | None,
    progress: bool,
    hooks: Sequence[Hook] = (),
) -> Outcome:
    """Run the cohort with the hooks of each member; each run's events say how it ended.

    hooks: of the whole loop, called before those of the members. Raises DivergenceError if every
    member diverged, with the remedy.
    """
    loop, members, jobs = cohort.loop, cohort.members, cohort.jobs
    seeds = list(loop.randomness.seeds)
    names, what = member_names(seeds, folders)
    title = f"training {len(members)} {what}s" if members else "training"
    bar = ProgressBar(title, loop.settings.steps) if progress and loop.ranks.writes else None
    say = bar.display.say if bar is not None else console.silent
    leading = [*([bar] if bar is not None else []), *hooks]  # the bar starts before others speak
    about = {"torch": str(torch.__version__), **loop.engine.describe()}
    if not members:
        folders[0].append("start", step=loop.step, **about)
        loop.hooks = [*leading, *hooks_of(loop, jobs[0], data, folders[0], metric, say, bar)]
        return _train_one(loop, jobs[0], folders[0])
    mean = CohortMean(bar, members) if bar is not None else None
    for member, job, folder, name in zip(members, jobs, folders, names, strict=True):
        folder.append("start", step=loop.step, **about, cohort=seeds)
        own = partial(_say_of, name, say)
        listener = partial(mean, member) if mean is not None else None
        member.hooks = hooks_of(member, job, data, folder, metric, own, listener)
    loop.hooks = leading
    return _train_several(cohort, folders, names, what, say)


def _train_one(loop: Loop, job: Job, folder: RunFolder) -> Outcome:
    """Raises DivergenceError, with the remedy, if it diverged."""
    try:
        with stop_on_signals(loop):
            loop.run()
    except DivergenceError as error:
        raise DivergenceError(record_divergence(folder, job, loop.step, error)) from None
    record_end(folder, job, loop)
    return Outcome([folder], [], loop.stopping)


def _train_several(
    cohort: Cohort, folders: list[RunFolder], names: Sequence[str], what: str, say: Say
) -> Outcome:
    loop, jobs, lost = cohort.loop, cohort.jobs, list[RunFolder]()

    def left(member: Member, error: DivergenceError) -> None:
        folder = folders[member.index]
        lost.append(folder)
        own = record_divergence(folder, jobs[member.index], loop.step, error)
        say(f"{names[member.index]} diverged, the others go on: {own}")

    leading = Members(cohort.members, left)
    loop.hooks.append(leading)
    try:
        with stop_on_signals(loop):
            loop.run()
    except DivergenceError:
        if leading.living:
            raise
        raise DivergenceError(
            f"every {what} diverged; {', '.join(str(f.path) for f in folders)} are intact at their "
            "last checkpoints: train anew with lower learning rates or "
            "--model.energy-optimiser.clip"
        ) from None
    for member in leading.living:
        record_end(folders[member.index], jobs[member.index], member)
    return Outcome(folders, lost, loop.stopping)


def member_names(seeds: Sequence[int], folders: Sequence[RunFolder]) -> tuple[list[str], str]:
    """What members are called, and what they are: seeds, or runs by their folders if some share
    one."""
    if len(set(seeds)) == len(seeds):
        return [f"seed {seed}" for seed in seeds], "seed"
    return [str(folder.path) for folder in folders], "run"


def _say_of(name: str, say: Say, text: str) -> None:
    say(f"{name}: {text}")


def record_divergence(folder: RunFolder, job: Job, step: int, error: Exception) -> str:
    """Keep that the run diverged; what the user is told, with the remedy."""
    training = job.settings.training
    folder.append("diverged", step=step, reason=str(error))
    if folder.writes:
        save_curves(folder.path / "curves.png", folder.read())
    kept = checkpoint_folder.listed(folder.checkpoints)
    intact = f"{folder.path} is intact at {kept[-1].name}" if kept else "nothing was written"
    remedy = "train anew with lower learning rates or --model.energy-optimiser.clip"
    if training.on_divergence == "rollback":
        remedy = f"it was rolled back {training.rollbacks} times in vain: {remedy}"
    else:
        remedy += (
            ", or let it go back and halve its rates: "
            f"energan resume {folder.path} --on-divergence rollback"
        )
    return f"{error}; {intact}; {remedy}"


def record_end(folder: RunFolder, job: Job, loop: TrainState) -> None:
    """Keep that the run has all its steps, or was told to stop."""
    draw(folder, loop)
    if loop.step >= job.settings.training.steps:
        folder.append("finished", step=loop.step)
    else:
        folder.append("stopped", step=loop.step, reason=loop.stopping)
