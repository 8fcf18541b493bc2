"""Several seeds of one job, or several jobs, trained as a cohort into a run folder each.

A folder is what its job's single run would be: the same settings and hash, weights and losses
equal to it up to rounding, and every command takes it, `resume` too.
"""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from energan.assembly import assemble, in_common
from energan.claims import check_free, check_seeds, claim_seeds, locked
from energan.cohorts import Ended, cohort_of, train
from energan.core import RunError, SettingError
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
from energan.progress import ProgressBar
from energan.settings import Job
from energan.training.engine import Engine, choose
from energan.training.loop import Hook, Loop
from energan.training.ranks import ALONE, asked_ranks
from energan.watching import Judging, judge_of

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


def loop_of_seeds(job: Job, count: int, data: DataSet, engine: Engine) -> Loop:
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
    judging: Judging | None = None,
    progress: bool = True,
) -> Ended:
    """Train `count` seeds, the job's and those after it, into OUT/s0, … or runs/RECIPE-s0, …

    from_run, judging: as `experiment.start` takes them. Raises SettingError if the seeds cannot
    train as a cohort, RunError if a folder is taken, DivergenceError if every seed diverged.
    """
    check(job, count)
    asked = jobs_of(job, count)
    seeds = [own.settings.seed for own in asked]
    if out is not None:
        check_seeds(seeds, out)
    return _start(asked, partial(claim_seeds, job, seeds, out), from_run, (), judging, progress)


def start_jobs(
    jobs: Sequence[Job],
    folders: Sequence[RunFolder],
    *,
    also: Sequence[Hook] = (),
    judging: Judging | None = None,
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

    return _start(jobs, claim, None, also, judging, progress)


def _start(
    asked: Sequence[Job],
    claim: Callable[[], list[RunFolder]],
    from_run: str | Path | None,
    also: Sequence[Hook],
    judging: Judging | None,
    progress: bool,
) -> Ended:
    """Train the jobs from their beginning. claim: what gives their folders, asked for late."""
    asked = [job.resolved({"data": whole_paths(job.settings.data)}) for job in asked]
    first = asked[0]
    engine = choose(first.settings.engine)
    data = open_data(first.settings.data)
    judge = judge_of(first, data, judging, ALONE)
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
        return train(cohort, data, folders, judge, progress, also)
