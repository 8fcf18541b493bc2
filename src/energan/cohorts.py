"""The loop of a cohort, the loops of its members, and how they train into run folders."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import cast

import torch

from energan.assembly import build, loop_of
from energan.core import DivergenceError
from energan.data import DataSet
from energan.experiment import silent
from energan.folder import RunFolder
from energan.previews import Judge
from energan.progress import ProgressBar
from energan.settings import Job
from energan.training.engine import Engine
from energan.training.hooks import Figures
from energan.training.loop import Hook, Loop
from energan.training.member import Member, Members
from energan.training.stopping import stopping
from energan.watching import Say, diverged, ended, hooks_of


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


def cohort_of(jobs: Sequence[Job], data: DataSet, engine: Engine) -> Cohort:
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
    judge: Judge | None,
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
        member.hooks = hooks_of(member, job, data, folder, judge, own, listener)
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
