"""Several seeds of one job trained as a cohort, each with a run folder of its own.

A folder is what its seed's single run would be: the same settings and hash, weights and losses
equal to it up to rounding, and every command takes it, `resume` too.
"""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import cast

import torch

from energan.assembly import assemble, build, loop_of
from energan.claims import check_free, check_seeds, claim_seeds, locked
from energan.core import DivergenceError, SettingError
from energan.data import DataSet, open_data
from energan.experiment import (
    adopt,
    estimated,
    resolved_of,
    said_of,
    silent,
    skipped_of,
    unfinished_of,
    write_beginning,
)
from energan.folder import RunFolder
from energan.margin import wants_estimate
from energan.places import whole_paths
from energan.previews import Judge
from energan.progress import ProgressBar
from energan.settings import Job
from energan.training.engine import Engine, choose
from energan.training.hooks import Figures
from energan.training.loop import Loop
from energan.training.member import Member, Members
from energan.training.ranks import ALONE, asked_ranks
from energan.training.stopping import stopping
from energan.watching import Judging, Say, diverged, ended, hooks_of, judge_of


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


def jobs_of(job: Job, count: int) -> list[Job]:
    """The job with its seed and the `count` − 1 after it, each as asked for by itself."""
    first = job.settings.seed
    return [job.changed({"seed": first + i}) if i else job for i in range(count)]


def check(job: Job, count: int) -> None:
    """Raise SettingError if the job cannot train as a cohort of `count`, whatever its model is."""
    if count < 2:
        raise SettingError("a cohort has two seeds at least: train one by itself")
    if asked_ranks() > 1:
        raise SettingError("a cohort trains in one process: start it without torchrun")
    if job.settings.training.on_divergence == "rollback":
        raise SettingError(
            "a member of a cohort cannot go back alone: --on-divergence stop, or train the seeds "
            "apart (--together processes)"
        )


def loop_of_seeds(job: Job, count: int, data: DataSet, engine: Engine) -> Loop:
    """The loop of that many seeds, to see whether there can be one. Raises SettingError if not."""
    if wants_estimate(job):
        job = job.resolved({"model": {"margin": 1.0}})
    seeds = [own.settings.seed for own in jobs_of(job, count)]
    return assemble(job, data.to(engine.device), engine, seeds)


def cohort_of(jobs: Sequence[Job], data: DataSet, engine: Engine) -> Cohort:
    """The jobs, which differ in seeds and a margin at most, as one program.

    Raises SettingError if the model's layers take no member axis.
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


def start(
    job: Job,
    count: int,
    out: str | Path | None = None,
    *,
    from_run: str | Path | None = None,
    judging: Judging | None = None,
    progress: bool = True,
) -> Ended:
    """Train `count` seeds, the job's and those after it, into OUT/s0, … or runs/RECIPE-s0, …

    from_run, judging: as `experiment.start` takes them. Raises SettingError if the seeds cannot
    train as a cohort, RunError if a folder is taken, DivergenceError if every seed diverged.
    """
    check(job, count)
    job = job.resolved({"data": whole_paths(job.settings.data)})
    engine = choose(job.settings.engine)
    asked = jobs_of(job, count)
    seeds = [own.settings.seed for own in asked]
    if out is not None:
        check_seeds(seeds, out)
    data = open_data(job.settings.data)
    judge = judge_of(job, data, judging, ALONE)
    if wants_estimate(job):  # a long work in vain, if they were no cohort
        loop_of_seeds(job, 2, data, engine)
    speak = ProgressBar().say if progress else silent
    found = [estimated(own, data, engine, ALONE, progress, speak) for own in asked]
    jobs = [
        own if f is None else own.resolved({"model": {"margin": f.margin}})
        for own, f in zip(asked, found, strict=True)
    ]
    cohort = cohort_of(jobs, data, engine)
    source = from_run or job.origin
    origins = [adopt(member, RunFolder(source)) if source else None for member in cohort.members]
    told = (said_of(cohort.chosen[0]), skipped_of(data), unfinished_of(job))
    for line in (*(f.says() for f in found if f), *told):
        speak(line) if line else None
    folders = claim_seeds(job, seeds, out)
    with ExitStack() as stack:
        for i, folder in enumerate(folders):
            stack.enter_context(locked(folder, ALONE))
            check_free(folder)  # again: another process may have had the lock
            resolved = resolved_of(cohort.members[i], data, cohort.chosen[i], found[i], origins[i])
            write_beginning(folder, asked[i], cohort.jobs[i], data, resolved)
        return train(cohort, data, folders, judge, progress)


def train(
    cohort: Cohort, data: DataSet, folders: list[RunFolder], judge: Judge | None, progress: bool
) -> Ended:
    """Run the cohort with the hooks of each member; each run's events say how it ended.

    Raises DivergenceError if every member diverged.
    """
    whole, members, jobs = cohort.whole, cohort.members, cohort.jobs
    seeds = list(whole.randomness.seeds)
    bar = ProgressBar(what=f"training {len(members)} seeds") if progress else None
    say = bar.say if bar is not None else silent
    mean = Mean(bar, members) if bar is not None else None
    about = {"torch": str(torch.__version__), **whole.engine.describe(), "cohort": seeds}
    for member, job, folder, seed in zip(members, jobs, folders, seeds, strict=True):
        folder.append("start", step=whole.step, **about)
        own = partial(_named, say, seed)
        listener = partial(mean, member) if mean is not None else None
        member.hooks = hooks_of(member, job, data, folder, judge, own, listener)
    lost: list[RunFolder] = []

    def left(member: Member, error: DivergenceError) -> None:
        folder = folders[member.index]
        lost.append(folder)
        own = diverged(folder, jobs[member.index], whole.step, error)
        say(f"seed {seeds[member.index]} diverged, the others go on: {own}")

    leading = Members(members, left)
    whole.hooks = [*([bar] if bar is not None else []), leading]
    try:
        with stopping(whole):
            whole.run()
    except DivergenceError:
        if leading.living:
            raise
        raise DivergenceError(
            f"every seed diverged; {_named_all(folders)} are intact at their last checkpoints: "
            "train anew with lower learning rates or --model.energy-optimiser.clip"
        ) from None
    for member in leading.living:
        member.stopping = whole.stopping
        ended(folders[member.index], jobs[member.index], member)
    return Ended(folders, lost, whole.stopping)


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


def _named(say: Say, seed: int, text: str) -> None:
    say(f"seed {seed}: {text}")


def _named_all(folders: Sequence[RunFolder]) -> str:
    return ", ".join(str(folder.path) for folder in folders)
