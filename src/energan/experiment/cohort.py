"""The loop of a cohort, the loops of its members, and how they train into run folders."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import cast

import torch

from energan.core import DivergenceError, RunError, SettingError
from energan.data import DataSet, open_data
from energan.experiment.build import assemble, build, in_common, loop_of
from energan.experiment.callbacks import (
    MakeCheckpointMetric,
    Say,
    checkpoint_metric_of,
    diverged,
    ended,
    hooks_of,
)
from energan.experiment.callbacks.progress import ProgressBar
from energan.experiment.callbacks.samples import CheckpointMetric
from energan.experiment.folders import check_free, check_seeds, claim_seeds, locked, whole_paths
from energan.experiment.margin import wants_estimate
from energan.experiment.settings import Job
from energan.experiment.start import (
    adopt,
    estimated,
    resolved_of,
    said_of,
    silent,
    skipped_of,
    unfinished_of,
    write_beginning,
)
from energan.io.run_folder import RunFolder
from energan.training.device import Device, choose
from energan.training.distributed import ALONE, asked_ranks
from energan.training.hooks import Figures
from energan.training.loop import Hook, Loop
from energan.training.member import Member, Members
from energan.training.signals import stopping


@dataclass(frozen=True)
class Ended:
    """How the runs ended. stopped: the signal that stopped them, None if they went to the end."""

    folders: list[RunFolder]
    diverged: list[RunFolder]
    stopped: str | None


@dataclass(frozen=True)
class Cohort:
    """The loop of all members and what each of them is to itself.

    chosen: what each model chose from the data.
    """

    whole: Loop
    members: list[Member]
    jobs: list[Job]
    chosen: list[dict[str, str]]


def cohort_of(jobs: Sequence[Job], data: DataSet, engine: Device) -> Cohort:
    """The jobs, which differ in values and not in shapes, as one program.

    Raises SettingError if they differ in more, or if the model's layers take no member axis.
    """
    seeds = [job.settings.seed for job in jobs]
    built = [build(job, data.domain, seed) for job, seed in zip(jobs, seeds, strict=True)]
    training, here = jobs[0].settings.training, data.to(engine.device)
    whole = loop_of(built, training, here, engine, seeds)
    members = [
        loop_of([own], training, here, engine, [seed], make=partial(Member, whole, i))
        for i, (own, seed) in enumerate(zip(built, seeds, strict=True))
    ]
    return Cohort(whole, cast(list[Member], members), list(jobs), [m.chosen for m in built])


def train(
    cohort: Cohort,
    data: DataSet,
    folders: list[RunFolder],
    metric: CheckpointMetric | None,
    progress: bool,
    also: Sequence[Hook] = (),
) -> Ended:
    """Run the cohort with the hooks of each member; each run's events say how it ended.

    also: hooks of the whole loop, called before all others. Raises DivergenceError if every member
    diverged.
    """
    whole, members, jobs = cohort.whole, cohort.members, cohort.jobs
    seeds = list(whole.randomness.seeds)
    names, what = names_of(seeds, folders)
    bar = ProgressBar(what=f"training {len(members)} {what}s") if progress else None
    say = bar.say if bar is not None else silent
    mean = Mean(bar, members) if bar is not None else None
    about = {"torch": str(torch.__version__), **whole.engine.describe(), "cohort": seeds}
    for member, job, folder, name in zip(members, jobs, folders, names, strict=True):
        folder.append("start", step=whole.step, **about)
        own = partial(_named, say, name)
        listener = partial(mean, member) if mean is not None else None
        member.hooks = hooks_of(member, job, data, folder, metric, own, listener)
    lost: list[RunFolder] = []

    def left(member: Member, error: DivergenceError) -> None:
        folder = folders[member.index]
        lost.append(folder)
        own = diverged(folder, jobs[member.index], whole.step, error)
        say(f"{names[member.index]} diverged, the others go on: {own}")

    leading = Members(members, left)
    whole.hooks = [*also, *([bar] if bar is not None else []), leading]
    try:
        with stopping(whole):
            whole.run()
    except DivergenceError:
        if leading.living:
            raise
        raise DivergenceError(
            f"every {what} diverged; {', '.join(str(f.path) for f in folders)} are intact at their "
            "last checkpoints: train anew with lower learning rates or "
            "--model.energy-optimiser.clip"
        ) from None
    for member in leading.living:
        member.stopping = whole.stopping
        ended(folders[member.index], jobs[member.index], member)
    return Ended(folders, lost, whole.stopping)


def names_of(seeds: Sequence[int], folders: Sequence[RunFolder]) -> tuple[list[str], str]:
    """What members are called, and what they are: seeds, or runs by their folders if some share
    one."""
    if len(set(seeds)) == len(seeds):
        return [f"seed {seed}" for seed in seeds], "seed"
    return [str(folder.path) for folder in folders], "run"


class Mean:
    """What the bar shows of a cohort: the mean of what its members log at the same step, and their
    images per second together."""

    def __init__(self, listener: Callable[[int, Figures], None], members: list[Member]) -> None:
        self.listener, self.members = listener, members
        self._step, self._told = -1, {}  # type: tuple[int, dict[int, Figures]]

    def __call__(self, member: Member, step: int, figures: Figures) -> None:
        if step != self._step:
            self._step, self._told = step, {}
        self._told[member.index] = self._told.get(member.index, {}) | figures
        living = [m.index for m in self.members if m.index not in m.whole.diverged]
        if any(index not in self._told for index in living):
            return
        every = [self._told[index] for index in living]
        common = [name for name in figures if all(name in own for own in every)]
        if not common:
            return
        means = {name: sum(own[name] for own in every) / len(every) for name in common}
        if "images_per_s" in means:
            means["images_per_s"] *= len(every)
        self.listener(step, means)


def _named(say: Say, name: str, text: str) -> None:
    say(f"{name}: {text}")


ANY_MARGIN = {"model": {"margin": 1.0}}
"""In the place of one that is not estimated yet."""


def jobs_of(job: Job, count: int) -> list[Job]:
    """The job with its seed and the `count` − 1 after it, each as asked for by itself."""
    first = job.settings.seed
    return [job.changed({"seed": first + i}) if i else job for i in range(count)]


def check(job: Job, count: int) -> None:
    """Raise SettingError if the job cannot train as a cohort of `count`, whatever its model is."""
    if count < 2:
        raise SettingError("a cohort has two members at least: train one by itself")
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
    check(jobs[0], len(jobs))


def loop_of_seeds(job: Job, count: int, data: DataSet, engine: Device) -> Loop:
    """The loop of that many seeds, to see whether there can be one. Raises SettingError if not."""
    if wants_estimate(job):
        job = job.resolved(ANY_MARGIN)
    seeds = [own.settings.seed for own in jobs_of(job, count)]
    return assemble(job, data.to(engine.device), engine, seeds)


def start(
    job: Job,
    count: int,
    out: str | Path | None = None,
    *,
    from_run: str | Path | None = None,
    checkpoint_metric: MakeCheckpointMetric | None = None,
    progress: bool = True,
) -> Ended:
    """Train `count` seeds, the job's and those after it, into OUT/s0, … or runs/RECIPE-s0, …

    from_run, checkpoint_metric: as `experiment.start` takes them. Raises SettingError if the seeds
    cannot train as a cohort, RunError if a folder is taken, DivergenceError if every seed diverged.
    """
    check(job, count)
    asked = jobs_of(job, count)
    seeds = [own.settings.seed for own in asked]
    if out is not None:
        check_seeds(seeds, out)
    return _start(
        asked, partial(claim_seeds, job, seeds, out), from_run, (), checkpoint_metric, progress
    )


def start_jobs(
    jobs: Sequence[Job],
    folders: Sequence[RunFolder],
    *,
    also: Sequence[Hook] = (),
    checkpoint_metric: MakeCheckpointMetric | None = None,
    progress: bool = False,
) -> Ended:
    """Train jobs that differ in values and not in shapes as one program, into these folders.

    folders: one for each job, made if missing. also: hooks of the whole cohort, called before its
    members' at each step; an error that one raises ends all. Raises SettingError if the jobs cannot
    train as one program, RunError if a folder is taken, DivergenceError if every member diverged.
    """
    check_jobs(jobs)
    if len({folder.path.resolve() for folder in folders}) != len(jobs):
        raise RunError(f"{len(jobs)} members of a cohort need as many different folders")
    for folder in folders:
        check_free(folder)

    def claim() -> list[RunFolder]:
        for folder in folders:
            folder.path.mkdir(parents=True, exist_ok=True)
        return list(folders)

    return _start(jobs, claim, None, also, checkpoint_metric, progress)


def _start(
    asked: Sequence[Job],
    claim: Callable[[], list[RunFolder]],
    from_run: str | Path | None,
    also: Sequence[Hook],
    checkpoint_metric: MakeCheckpointMetric | None,
    progress: bool,
) -> Ended:
    """Train the jobs from their beginning. claim: what gives their folders, asked for late."""
    asked = [job.resolved({"data": whole_paths(job.settings.data)}) for job in asked]
    first = asked[0]
    engine = choose(first.settings.engine)
    data = open_data(first.settings.data)
    metric = checkpoint_metric_of(first, data, checkpoint_metric, ALONE)
    if any(wants_estimate(job) for job in asked):  # a long work in vain, if they were no cohort
        probe = [job.resolved(ANY_MARGIN) if wants_estimate(job) else job for job in asked[:2]]
        cohort_of(probe, data, engine)
    speak = ProgressBar().say if progress else silent
    found = [estimated(own, data, engine, ALONE, progress, speak) for own in asked]
    jobs = [
        own if f is None else own.resolved({"model": {"margin": f.margin}})
        for own, f in zip(asked, found, strict=True)
    ]
    cohort = cohort_of(jobs, data, engine)
    origins = [
        adopt(member, RunFolder(source)) if (source := from_run or job.origin) else None
        for member, job in zip(cohort.members, jobs, strict=True)
    ]
    told = (said_of(cohort.chosen[0]), skipped_of(data), unfinished_of(first))
    for line in (*(f.says() for f in found if f), *told):
        speak(line) if line else None
    folders = claim()
    with ExitStack() as stack:
        for i, folder in enumerate(folders):
            stack.enter_context(locked(folder, ALONE))
            check_free(folder)  # again: another process may have had the lock
            resolved = resolved_of(cohort.members[i], data, cohort.chosen[i], found[i], origins[i])
            write_beginning(folder, asked[i], cohort.jobs[i], data, resolved)
        return train(cohort, data, folders, metric, progress, also)
