"""Several seeds of one job trained as a cohort, each with a run folder of its own.

A folder is what its seed's single run would be: the same settings and hash, weights and losses
equal to it up to rounding, and every command takes it, `resume` too.
"""

from collections.abc import Callable, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch

from energan.assembly import build, loop_of
from energan.claims import check_free, claim_seeds, locked
from energan.core import DivergenceError, SettingError
from energan.data import DataSet, open_data
from energan.experiment import (
    adopt,
    estimated,
    resolved_of,
    said_of,
    silent,
    skipped_of,
    whole_path,
    write_beginning,
)
from energan.folder import RunFolder
from energan.margin import Estimate
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


def check(job: Job) -> None:
    """Raise SettingError if the job cannot train as a cohort, whatever its model is."""
    if asked_ranks() > 1:
        raise SettingError("a cohort trains in one process: start it without torchrun")
    if job.settings.training.on_divergence == "rollback":
        raise SettingError(
            "a member of a cohort cannot go back alone: --on-divergence stop, or train the seeds "
            "apart (--together processes)"
        )


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
    check(job)
    job = job.resolved({"data": {"source": whole_path(job.settings.data.source)}})
    engine = choose(job.settings.engine)
    asked, seeds = jobs_of(job, count), [job.settings.seed + i for i in range(count)]
    for seed in seeds:
        check_free(RunFolder(Path(out) / f"s{seed}")) if out is not None else None
    data = open_data(job.settings.data)
    judge = judge_of(job, data, judging, ALONE)
    cohort_of(asked, data, engine) if _auto(job) is None else None
    speak = ProgressBar().say if progress else silent
    found = [estimated(own, data, engine, ALONE, progress, speak) for own in asked]
    cohort = cohort_of([_with(*pair) for pair in zip(asked, found, strict=True)], data, engine)
    source = from_run or job.origin
    origins = [adopt(member, RunFolder(source)) if source else None for member in cohort.members]
    for line in (*(f.says() for f in found if f), said_of(cohort.chosen[0]), skipped_of(data)):
        speak(line) if line else None
    folders = claim_seeds(job, seeds, out)
    with ExitStack() as stack:
        for i, folder in enumerate(folders):
            stack.enter_context(locked(folder, ALONE))
            check_free(folder)  # again: another process may have had the lock
            resolved = resolved_of(
                cohort.members[i], data, cohort.chosen[i], found[i], origins[i]
            )
            write_beginning(folder, asked[i], cohort.jobs[i], data, resolved)
        return train(cohort, data, folders, judge, progress)
