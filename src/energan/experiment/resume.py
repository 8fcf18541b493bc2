"""Going on with runs from their newest checkpoints: with one, or with several as one program."""

import shlex
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from energan.core import RunError, SettingError
from energan.data import DataSet
from energan.experiment.build import Cohort, cohort_of
from energan.experiment.callbacks import MakeCheckpointMetric, checkpoint_metric_of
from energan.experiment.compatibility import check_together
from energan.experiment.folders import locked, moved_data
from energan.experiment.margin import KEPT, EstimateInterrupted
from energan.experiment.own_code import changed_code
from energan.experiment.run_records import (
    check_hash,
    job_of,
    load_weights,
    write_changes,
    write_margin,
)
from energan.experiment.settings import Job, checked
from energan.experiment.start import estimates, open_first, train, with_margins
from energan.io import console
from energan.io.run_folder import RunFolder
from energan.io.signals import interrupted_as
from energan.io.text import plural
from energan.training import checkpoint, checkpoint_folder
from energan.training.checkpoint_folder import checkpoint_name, newest_good, step_of, steps_in
from energan.training.device import (
    Device,
    EngineSettings,
    accelerator_memory_freed,
    choose,
    torch_globals_kept,
)
from energan.training.distributed import Distributed, asked_ranks, join
from energan.training.loop import Hook
from energan.training.train_state import TrainState

EMULATED = (
    "{} was trained in bf16, which this machine's {} only emulates: it may be a hundred times "
    "slower here; to go on fast, use a machine with bf16 units (a GPU, or a CPU with AMX or "
    "AVX512-BF16)"
)
Opened = tuple[Job, dict[str, Any]]
"""A run's job, and the resolved values in config.json."""


@accelerator_memory_freed()
@torch_globals_kept()
def resume(
    folders: Sequence[str | Path],
    *,
    steps: int | None = None,
    threads: int | None = None,
    device: str | None = None,
    on_divergence: str | None = None,
    data_at: str | Path | None = None,
    checkpoint_metric: MakeCheckpointMetric | None = None,
    progress: bool = True,
    hooks: Sequence[Hook] = (),
) -> list[RunFolder]:
    """Go on with a run from its newest good checkpoint, or with several, which differ in values and
    not in shapes, from the newest step that all have.

    steps: train to there instead. device: train on this one instead. data_at: where the data is
    now, if it was moved; it must hold what it held. hooks: as of `start`. What some of several runs
    had done beyond the step they share is done again.

    On the same machine with the same threads and ranks the weights end, bit for bit, as those of a
    run that never stopped; on a GPU up to rounding. With another number of ranks the batch of all
    of them stays what it was. Raises RunError if the runs are finished, in use, no cohort or
    without a step in common, or if their data or their settings changed; SettingError if they
    cannot train as one program; DivergenceError if every one diverged.
    """
    # a folder that is no run gets no lock file
    opened = [job_of(RunFolder(path)) for path in folders]
    for path, (job, resolved) in zip(folders, opened, strict=True):
        check_hash(RunFolder(path), job, resolved)
    check_alike(folders, opened)
    job, resolved = opened[0]
    asked = {"steps": steps, "on_divergence": on_divergence}
    changes: dict[str, Any] = {"training": {k: v for k, v in asked.items() if v is not None}}
    if data_at is not None:
        changes["data"] = moved_data(job.settings.data, str(data_at))
    jobs = [job.changed(changes) for job, _ in opened]
    if len(jobs) > 1:
        check_together(jobs[0])
    before = resolved.get("ranks", 1)
    engine = _engine_of(job, resolved, threads, device)
    ranks = join(engine.device)
    if progress and ranks.writes and engine.emulates:
        console.warn(EMULATED.format(folders[0], engine.device.type))
    runs = [RunFolder(path, ranks.writes) for path in folders]
    with locked(runs, ranks):
        with interrupted_as(lambda: _as_it_was(folders)):
            data = open_first(jobs[0], ranks)
            _check_data(runs[0], jobs[0], data, resolved)
            jobs = _with_estimates(jobs, runs, data, engine, ranks, progress)
        shared = [_share(job, before, ranks) for job in jobs]
        cohort = cohort_of(shared, data, engine, ranks)
        _restore(cohort, runs, opened)
        _check_steps(cohort, runs, jobs[0], steps)
        metric = checkpoint_metric_of(jobs[0], data, checkpoint_metric, ranks)
        for run, job, (_, resolved) in zip(runs, jobs, opened, strict=True):
            write_changes(run, job, changes, resolved)
            checkpoint_folder.discard(run.checkpoints, cohort.loop.step)
            about = {}
            if code := changed_code(job.model, resolved):
                about["code"] = code.sha256
                console.say(
                    f"warning: the code of the model {job.model} has changed since {run.path} "
                    f"began: training continues with the new code; {run.code} holds the old"
                )
            run.append("resume", step=cohort.loop.step, **about)
        train(cohort, data, runs, metric, progress, hooks)
    return runs


def _engine_of(
    job: Job, resolved: dict[str, Any], threads: int | None, device: str | None
) -> Device:
    """That of the run, but for what was asked for."""
    if threads is None and asked_ranks() == resolved.get("ranks", 1):
        threads = resolved["threads"]  # else the cores are shared anew
    arithmetic = {"precision": resolved["precision"], "threads": threads}
    if device is not None:
        arithmetic["device"] = device
    return choose(checked(EngineSettings, job.settings.engine.model_dump() | arithmetic))


def _as_it_was(folders: Sequence[str | Path]) -> str:
    named = shlex.join(map(str, folders))
    return (
        "stopped before training continued: nothing has changed; continue with: energan resume "
        f"{named}"
    )


def _with_estimates(
    jobs: Sequence[Job],
    folders: Sequence[RunFolder],
    data: DataSet,
    engine: Device,
    ranks: Distributed,
    progress: bool,
) -> list[Job]:
    """The jobs, with the margins of those that were stopped before theirs were estimated."""
    say = console.say if progress and ranks.writes else console.silent
    try:
        found = estimates(jobs, data, engine, ranks, progress, say, folders)
    except EstimateInterrupted as error:
        if len(jobs) == ranks.count == 1:
            error.keep(folders[0].path)
        raise
    jobs = with_margins(jobs, found)
    for job, folder, own in zip(jobs, folders, found, strict=True):
        if own is not None:
            say(own.says())
            write_margin(folder, job, own)
            if ranks.writes:
                shutil.rmtree(folder.path / KEPT, ignore_errors=True)
    return jobs


def check_alike(folders: Sequence[str | Path], opened: Sequence[Opened]) -> None:
    """Raise RunError unless the runs are different ones that trained alike on the same data."""
    if len(opened) == 1:
        return
    paths = [Path(path) for path in folders]
    for i, path in enumerate(paths):
        a, b = _alike(*opened[0]), _alike(*opened[i])
        if differing := [name for name in a if a[name] != b[name]]:
            raise RunError(
                f"{paths[0]} and {path} differ in their {' and '.join(differing)}, so they "
                "cannot train together: resume each by itself"
            )
        if any(path.resolve() == other.resolve() for other in paths[:i]):
            raise RunError(f"{path} is named twice: name different runs")
        if opened[i][1].get("ranks", 1) > 1:
            raise RunError(f"{path} was trained by several ranks: resume it by itself")


def _alike(job: Job, resolved: dict[str, Any]) -> dict[str, Any]:
    """What members share, beside what `cohort_of` looks at."""
    return {
        "model": job.model,
        "settings of training": job.settings.training,
        "data": resolved["data"]["fingerprint"],
        "precision": resolved["precision"],
        "metric of the best checkpoint": job.settings.output.keep_best,
    }


# --- what a resume changes, and what it may not ---------------------------------------------------


def _check_data(folder: RunFolder, job: Job, data: DataSet, resolved: dict[str, Any]) -> None:
    """Raise RunError unless the data is what the run was trained on."""
    if data.fingerprint != resolved["data"]["fingerprint"]:
        raise RunError(
            f"the data of {folder.path} has changed since training ({job.settings.data.source}: "
            f"{plural(len(data), data.domain.noun)} now, {resolved['data']['events']} then); "
            "restore it, or start a new run with --from"
        )


def _check_steps(cohort: Cohort, folders: Sequence[RunFolder], job: Job, steps: int | None) -> None:
    """Raise RunError if there is nothing left to train. steps: as the user gave it."""
    done = cohort.loop.step
    if done < job.settings.training.steps:
        return
    first = folders[0].path
    if cohort.members:
        raise RunError(
            f"{first} and the others have finished their {plural(done, 'step')}; give --steps to "
            "train further"
        )
    if steps is None:
        raise RunError(
            f"{first} has finished its {plural(done, 'step')}; give --steps to train further"
        )
    raise RunError(f"{first} is at step {done}; give more --steps")


def _share(job: Job, before: int, ranks: Distributed) -> Job:
    """The job with each rank's part of the batch that `before` ranks had together.

    Raises SettingError if that batch cannot be shared evenly.
    """
    batch = job.settings.training.batch_size * before
    labelled = getattr(job.settings.model, "labelled", 0) * before
    for size in (batch, labelled):
        if size % ranks.count:
            raise SettingError(
                f"{before} ranks trained on batches of {size} together, and {ranks.count} ranks "
                "cannot share them evenly: resume with a number of ranks that divides it"
            )
    parts: dict[str, Any] = {"training": {"batch_size": batch // ranks.count}}
    if labelled:
        parts["model"] = {"labelled": labelled // ranks.count}
    return job.resolved(parts)


# --- putting the loop back ------------------------------------------------------------------------


def _restore(cohort: Cohort, folders: Sequence[RunFolder], opened: Sequence[Opened]) -> None:
    """Put each run back to the newest good step that all have, and say where that is not its own.

    Raises RunError if they have none in common.
    """
    if not cohort.members:
        _restore_one(cohort.loop, folders[0], opened[0][1]["from"])
        return
    step = common_step(folders)
    if step is None:
        further = any(any(steps_in(f.checkpoints)) for f in folders)
        if further or not any(map(_without_checkpoint, folders)):
            stand = ", ".join(f"{f.path} at {steps_in(f.checkpoints)[-1:]}" for f in folders)
            raise RunError(
                f"the runs have no checkpoint step in common ({stand}): resume each by itself"
            )
        # killed while the first checkpoints were written
        for member, folder, (_, resolved) in zip(cohort.members, folders, opened, strict=True):
            _load_first_weights(member, folder, resolved["from"])
        return
    for member, folder in zip(cohort.members, folders, strict=True):
        checkpoint.restore(folder.checkpoints / checkpoint_name(step), member)
        newest = steps_in(folder.checkpoints)[-1]
        if newest > step:
            console.say(
                f"{folder.path} goes back from step {newest} to {step}, the newest that all runs "
                "have"
            )


def common_step(folders: Sequence[RunFolder]) -> int | None:
    """The newest step of which every run has a checkpoint that verifies; None if there is none."""
    shared = set.intersection(*(set(steps_in(f.checkpoints)) for f in folders))
    for step in sorted(shared, reverse=True):
        found = [newest_good(f.checkpoints, step + 1)[0] for f in folders]
        if all(step_of(path) == step for path in found):
            return step
    return None


def _restore_one(loop: TrainState, folder: RunFolder, origin: dict[str, Any] | None) -> None:
    """Put the loop back to the newest good checkpoint, and say which newer ones were refused."""
    if _without_checkpoint(folder):
        _load_first_weights(loop, folder, origin)
        return
    found, refused = loop.ranks.choose(lambda: newest_good(folder.checkpoints))
    checkpoint.restore(found, loop)
    halved = [e["rate_scale"] for e in folder.read("rollback") if e["step"] <= loop.step]
    if halved:  # killed between a rollback and the next checkpoint, which would have it
        loop.rate_scale.clamp_(max=halved[-1])
    loop.ranks.first(lambda: checkpoint_folder.set_aside(folder.checkpoints, loop.step))
    for reason in refused:
        folder.append("refused", step=loop.step, reason=reason)
        if loop.ranks.writes:
            console.say(f"{reason}; using {found.name} instead")


def _without_checkpoint(folder: RunFolder) -> bool:
    """Whether the run was killed before it wrote its first checkpoint."""
    return not checkpoint_folder.listed(folder.checkpoints) and not folder.read("score")


def _load_first_weights(loop: TrainState, folder: RunFolder, origin: dict[str, Any] | None) -> None:
    """Start a run that was killed before its first checkpoint from the weights it began with.

    Raises RunError if those have changed.
    """
    if origin and load_weights(loop, RunFolder(origin["path"]))["sha256"] != origin["sha256"]:
        raise RunError(
            f"{folder.path} was killed before its first checkpoint, and {origin['path']}, "
            "whose weights it started from, has changed since: train again"
        )
