"""Training from the beginning into new run folders: settings -> data, model, loop, hooks."""

import math
import shlex
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from energan.core import DivergenceError, RunError
from energan.data import DataSet, open_data
from energan.errors import Interrupted
from energan.experiment.build import Cohort, cohort_of
from energan.experiment.callbacks import (
    MakeCheckpointMetric,
    Say,
    checkpoint_metric_of,
    hooks_of,
    trackers_of,
)
from energan.experiment.callbacks.progress import CohortMean, ProgressBar
from energan.experiment.callbacks.scores import CheckpointMetric
from energan.experiment.compatibility import check_jobs
from energan.experiment.feasibility import check_fits, check_size
from energan.experiment.fitting_batch import tells_fitting_batch
from energan.experiment.folders import absolute_paths, check_free, claim, endings, locked
from energan.experiment.margin import (
    STEPS,
    Estimate,
    EstimateInterrupted,
    estimate,
    wants_estimate,
    with_any_margin,
)
from energan.experiment.remarks import remarks
from energan.experiment.run_records import (
    record_divergence,
    record_end,
    record_start,
    resolved_of,
    write_config,
)
from energan.experiment.settings import Job
from energan.experiment.time_budget import check_minutes, fit_minutes
from energan.io import console
from energan.io.run_folder import RunFolder
from energan.io.signals import interrupted_as
from energan.training import checkpoint_folder
from energan.training.capture import Graphs
from energan.training.device import Device, accelerator_memory_freed, choose, torch_globals_kept
from energan.training.distributed import Distributed, join
from energan.training.hooks import Listener
from energan.training.loop import Hook, Loop, stop_on_signals
from energan.training.member import Member, Members

NOT_BEGUN = (
    "stopped before training began: no run was written; images already decoded stay in the "
    "cache; repeat the command to start again"
)
STOPPING = "stopping after this step and saving a checkpoint; a second signal stops at once"


@tells_fitting_batch
@accelerator_memory_freed()
@torch_globals_kept()
def start(
    jobs: Sequence[Job],
    folders: Sequence[str | Path] | None = None,
    *,
    from_run: str | Path | None = None,
    checkpoint_metric: MakeCheckpointMetric | None = None,
    progress: bool = True,
    hooks: Sequence[Hook] = (),
    listeners: Sequence[Listener] = (),
    minutes: float | None = None,
) -> list[RunFolder]:
    """Train jobs from their beginning into new run folders: one, or several as one program.

    Gives the folders, whose events say how each run ended.

    jobs: differ in values, as the seed, and not in shapes. folders: one for each, made if missing;
    None for the first free runs/RECIPE, or runs/RECIPE-s0, ... of several seeds. from_run: whose
    weights to start from. checkpoint_metric: what makes the figure of `output.keep_best`, if not
    one that every run makes. hooks: of the whole, called before the runs' own at each step; an
    error that one raises ends all. listeners: of the figures that each run logs. minutes: scale the
    jobs so that they train about so long, once the data is open; see `fit_minutes`.

    Started by torchrun, each of its processes calls this with one job, and the first one writes.
    Raises SettingError if the jobs cannot train as one program, RunError if a folder is taken,
    DivergenceError, with the remedy, if every run's losses stop being finite.
    """
    check_jobs(jobs)
    _check_different(jobs, folders)
    trackers_of(jobs[0])  # a package that is missing is told before any work
    engine = choose(jobs[0].settings.engine)
    ranks = join(engine.device)
    source = absolute_paths(jobs[0].settings.data)["source"]
    ranks.first(lambda: check_free(folders or (), source))
    say = console.say if progress and ranks.writes else console.silent
    with interrupted_as(lambda: NOT_BEGUN):
        asked, data, metric = _prepared(jobs, engine, ranks, checkpoint_metric, minutes, say)
    try:
        found = estimates(asked, data, engine, ranks, progress, say)
    except Interrupted as error:
        _keep_unbegun(asked, data, engine, ranks, folders, from_run, error)
        raise
    jobs = with_margins(asked, found)
    cohort = cohort_of(jobs, data, engine, ranks)
    resolved = _resolved(cohort, data, found, from_run)
    for line in [*(own.says() for own in found if own), *remarks(cohort.chosen[0], data, jobs[0])]:
        say(line)
    paths = ranks.choose(lambda: claim(jobs[0].recipe, folders, endings(jobs)))
    runs = [RunFolder(path, ranks.writes) for path in paths]
    with locked(runs, ranks):
        # again: another process may have had the lock
        ranks.first(lambda: check_free(paths, source))
        for own_asked, job, run, own in zip(asked, jobs, runs, resolved, strict=True):
            write_config(run, own_asked, job, data, own)
        train(cohort, data, runs, metric, progress, hooks, listeners)
    return runs


def _prepared(
    jobs: Sequence[Job],
    engine: Device,
    ranks: Distributed,
    checkpoint_metric: MakeCheckpointMetric | None,
    minutes: float | None,
    say: Say,
) -> tuple[list[Job], DataSet, CheckpointMetric | None]:
    """The jobs with their paths and steps, their data, and what scores their checkpoints."""
    if minutes is not None:
        check_minutes(jobs[0], minutes)
    jobs = [job.resolved({"data": absolute_paths(job.settings.data)}) for job in jobs]
    check_size(jobs[0], engine)
    data = open_first(jobs[0], ranks)
    jobs = [with_epochs(job, data, ranks.count) for job in jobs]
    check_fits(jobs[0], data.domain, engine)
    metric = checkpoint_metric_of(jobs[0], data, checkpoint_metric, ranks)
    if minutes is not None:
        jobs = fit_minutes(jobs, minutes, data, engine, ranks, metric, say)
        jobs = [with_epochs(job, data, ranks.count) for job in jobs]
    return list(jobs), data, metric


def fitted(job: Job, minutes: float, checkpoint_metric: MakeCheckpointMetric | None = None) -> Job:
    """The job scaled as `start` scales it for so many minutes, without training it."""
    engine = choose(job.settings.engine)
    ranks = join(engine.device)
    say = console.say if ranks.writes else console.silent
    with interrupted_as(lambda: NOT_BEGUN):
        return _prepared([job], engine, ranks, checkpoint_metric, minutes, say)[0][0]


def _resolved(
    cohort: Cohort,
    data: DataSet,
    found: Sequence[Estimate | None],
    from_run: str | Path | None,
) -> list[dict[str, Any]]:
    """What was resolved of each run, whose first weights its loop gets."""
    members = zip(cohort.loops, cohort.jobs, cohort.chosen, found, strict=True)
    return [
        resolved_of(member, data, chosen, own, from_run or job.origin)
        for member, job, chosen, own in members
    ]


def _keep_unbegun(
    asked: Sequence[Job],
    data: DataSet,
    engine: Device,
    ranks: Distributed,
    folders: Sequence[str | Path] | None,
    from_run: str | Path | None,
    error: Interrupted,
) -> None:
    """Write the runs, whose margins are still to be estimated, so that they can be resumed. Raises
    Interrupted that says so."""
    if ranks.count > 1:  # the others ended with this one
        return
    cohort = cohort_of([with_any_margin(job) for job in asked], data, engine)
    resolved = _resolved(cohort, data, [None] * len(asked), from_run)
    paths = claim(asked[0].recipe, folders, endings(asked))
    runs = [RunFolder(path) for path in paths]
    with locked(runs, ranks):
        check_free(paths, asked[0].settings.data.source)
        for job, run, own in zip(asked, runs, resolved, strict=True):
            write_config(run, job, job, data, own)
            record_start(run, cohort.loop)
            run.append("stopped", step=0, reason=error.signal)
        if len(runs) == 1 and isinstance(error, EstimateInterrupted):
            error.keep(paths[0])
    raise Interrupted(
        "stopped while the margin was being estimated: the settings are saved, and training has "
        f"not begun; continue with: energan resume {shlex.join(map(str, paths))}",
        error.signal,
    ) from None


def _check_different(jobs: Sequence[Job], folders: Sequence[str | Path] | None) -> None:
    """Raise RunError unless each job has a folder of its own."""
    places = endings(jobs) if folders is None else [Path(path).resolve() for path in folders]
    if len(set(places)) != len(jobs):
        raise RunError(f"{len(jobs)} seeds need as many different folders")


def open_first(job: Job, ranks: Distributed) -> DataSet:
    """The job's data; the first rank opens it first, so that what is decoded is decoded once."""
    return ranks.first(lambda: open_data(job.settings.data)) or open_data(job.settings.data)


def with_epochs(job: Job, data: DataSet, ranks: int) -> Job:
    """The job with as many steps as its training.epochs take, unless the user set the steps."""
    training = job.settings.training
    if training.epochs is None or "steps" in job.asked.get("training", {}):
        return job
    steps = math.ceil(training.epochs * len(data) / (training.batch_size * ranks))
    return job.resolved({"training": {"steps": steps}})


def estimates(
    jobs: Sequence[Job],
    data: DataSet,
    engine: Device,
    ranks: Distributed,
    progress: bool,
    say: Say,
    folders: Sequence[RunFolder] = (),
) -> list[Estimate | None]:
    """The margin of each job that asks for one, estimated by the first rank for all.

    folders: of the runs, where they have some, in which an interrupted estimate is kept.
    """
    if len(jobs) > 1 and any(wants_estimate(job) for job in jobs):
        # a long work in vain, if they were no cohort
        cohort_of([with_any_margin(job) for job in jobs[:2]], data, engine)
    here, shown = data.to(engine.device), progress and ranks.writes

    def estimated(job: Job, folder: Path | None) -> Estimate | None:
        if not wants_estimate(job):
            return None
        say(
            "margin: auto; first training the auto-encoder alone to measure the energy of "
            "held-out data (to skip this, set a margin, for example --model.margin 20)"
        )
        steps = min(STEPS, job.settings.training.steps)
        return ranks.choose(lambda: estimate(job, here, engine, steps, progress=shown, run=folder))

    paths: Sequence[Path | None] = [folder.path for folder in folders] or [None] * len(jobs)
    return [estimated(job, path) for job, path in zip(jobs, paths, strict=True)]


def with_margins(jobs: Sequence[Job], found: Sequence[Estimate | None]) -> list[Job]:
    """The jobs with the margins that were estimated for them."""
    return [
        job.resolved({"model": {"margin": own.margin}}) if own else job
        for job, own in zip(jobs, found, strict=True)
    ]


# --- training into run folders --------------------------------------------------------------------


def train(
    cohort: Cohort,
    data: DataSet,
    folders: list[RunFolder],
    metric: CheckpointMetric | None,
    progress: bool,
    hooks: Sequence[Hook],
    listeners: Sequence[Listener] = (),
) -> None:
    """Run the cohort with the hooks of each member; each run's events say how it ended.

    hooks: of the whole loop, called before those of the members. listeners: of the figures of each
    run. Raises DivergenceError if every member diverged, with the remedy.
    """
    with interrupted_as(lambda: _kept(folders)):
        _train(cohort, data, folders, metric, progress, hooks, listeners)


def _kept(folders: Sequence[RunFolder]) -> str:
    """What an interruption leaves of runs that trained, and how to go on."""
    steps = [max(checkpoint_folder.steps_in(folder.checkpoints), default=0) for folder in folders]
    named = shlex.join(str(folder.path) for folder in folders)
    return (
        f"stopped at once: the last checkpoint is of step {min(steps)}; continue with: energan "
        f"resume {named}"
    )


def _train(
    cohort: Cohort,
    data: DataSet,
    folders: list[RunFolder],
    metric: CheckpointMetric | None,
    progress: bool,
    hooks: Sequence[Hook],
    listeners: Sequence[Listener],
) -> None:
    loop, members, jobs = cohort.loop, cohort.members, cohort.jobs
    seeds = list(loop.randomness.seeds)
    names, what = member_names(seeds, folders)
    title = f"training {len(members)} {what}s" if members else "training"
    bar = ProgressBar(title, loop.settings.steps) if progress and loop.ranks.writes else None
    say = bar.display.say if bar is not None else console.silent
    loop.passes.say = say
    if jobs[0].settings.engine.compile == "on" and not isinstance(loop.passes, Graphs):
        say("engine.compile on: only a training on one GPU by CUDA is captured; this one is not")
    shown: list[ProgressBar] = [bar] if bar is not None else []
    leading = [*shown, *hooks]  # the bar starts before others speak
    if not members:
        record_start(folders[0], loop)
        told: list[Listener] = [*shown, *listeners]
        loop.hooks = [*leading, *hooks_of(loop, jobs[0], data, folders[0], metric, say, told)]
        _train_one(loop, jobs[0], folders[0])
        return
    mean = CohortMean(bar, members) if bar is not None else None
    for member, job, folder, name in zip(members, jobs, folders, names, strict=True):
        record_start(folder, loop)
        own = partial(_say_of, name, say)
        told = list(listeners)
        if mean is not None:
            told.insert(0, partial(mean, member))
        member.hooks = hooks_of(member, job, data, folder, metric, own, told)
    loop.hooks = leading
    _train_several(cohort, folders, names, what, say)


def _train_one(loop: Loop, job: Job, folder: RunFolder) -> None:
    """Raises DivergenceError, with the remedy, if it diverged."""
    try:
        with stop_on_signals(loop, STOPPING):
            loop.run()
    except DivergenceError as error:
        raise DivergenceError(record_divergence(folder, job, loop.step, error)) from None
    record_end(folder, job, loop)


def _train_several(
    cohort: Cohort, folders: list[RunFolder], names: Sequence[str], what: str, say: Say
) -> None:
    loop, jobs = cohort.loop, cohort.jobs

    def left(member: Member, error: DivergenceError) -> None:
        folder = folders[member.index]
        own = record_divergence(folder, jobs[member.index], loop.step, error)
        say(f"{names[member.index]} diverged, the others continue: {own}")

    leading = Members(cohort.members, left)
    loop.hooks.append(leading)
    try:
        with stop_on_signals(loop, STOPPING):
            loop.run()
    except DivergenceError:
        if leading.living:
            raise
        raise DivergenceError(
            f"every {what} diverged; {', '.join(str(f.path) for f in folders)} are intact at "
            "their last checkpoints: train again with lower learning rates or "
            "--model.energy-optimiser.clip"
        ) from None
    for member in leading.living:
        record_end(folders[member.index], jobs[member.index], member)


def member_names(seeds: Sequence[int], folders: Sequence[RunFolder]) -> tuple[list[str], str]:
    """What members are called, and what they are: seeds, or runs by their folders if some share
    one."""
    if len(set(seeds)) == len(seeds):
        return [f"seed {seed}" for seed in seeds], "seed"
    return [str(folder.path) for folder in folders], "run"


def _say_of(name: str, say: Say, text: str) -> None:
    say(f"{name}: {text}")
