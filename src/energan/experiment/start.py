"""The only assembler: settings -> data, model, loop, hooks, and a run on disk."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from energan import recipes
from energan.core import CheckpointError, DivergenceError, RunError, SettingError
from energan.core.schedules import unfinished
from energan.data import DataSet, open_data
from energan.data.few_label_batches import labelled_events
from energan.experiment.build import build, job_of, loop_of
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
from energan.experiment.folders import check_free, claim, locked, moved, whole_paths
from energan.experiment.margin import STEPS, Estimate, estimate, wants_estimate
from energan.experiment.settings import Job, load
from energan.io.nested import merged
from energan.io.run_folder import RunFolder
from energan.training import checkpoint
from energan.training.device import Device, choose
from energan.training.distributed import Distributed, asked_ranks, join
from energan.training.loop import Hook, Loop
from energan.training.signals import stopping
from energan.version import __version__


def start(
    job: Job,
    out: str | Path | None = None,
    *,
    from_run: str | Path | None = None,
    checkpoint_metric: MakeCheckpointMetric | None = None,
    progress: bool = True,
    also: Sequence[Hook] = (),
) -> RunFolder:
    """Train a job from its beginning into a new run folder. from_run: whose weights to start from.

    checkpoint_metric: what makes the figure of `output.keep_best`, if not one that every run makes.
    also: hooks that lead the run's own.

    Started by torchrun, each of its processes calls this, and the first one writes. Raises RunError
    if `out` already holds a run, DivergenceError, with the remedy, if a loss stops being finite.
    """
    job = job.resolved({"data": whole_paths(job.settings.data)})
    engine = choose(job.settings.engine)
    ranks = join(engine.device)
    if out is not None:
        ranks.first(lambda: check_free(RunFolder(out)))
    data = _open(job, ranks)
    metric = checkpoint_metric_of(job, data, checkpoint_metric, ranks)
    speak = ProgressBar().say if progress and ranks.writes else silent
    found = estimated(job, data, engine, ranks, progress, speak)
    asked, job = job, job.resolved({"model": {"margin": found.margin}}) if found else job
    loop, chosen = _loop(job, data, engine, ranks)
    source = from_run or job.origin
    origin = adopt(loop, RunFolder(source)) if source else None
    resolved = resolved_of(loop, data, chosen, found, origin)
    told = (said_of(chosen), skipped_of(data), unfinished_of(job))
    for line in (found.says() if found else "", *told):
        speak(line) if line else None
    path = ranks.tell(ranks.first(lambda: str(claim(job, out).path)))
    assert path is not None
    folder = RunFolder(path, ranks.writes)
    with locked(folder, ranks):
        ranks.first(lambda: check_free(folder))  # again: another process may have had the lock
        write_beginning(folder, asked, job, data, resolved)
        _train(loop, job, data, folder, progress, metric, also)
    return folder


def estimated(
    job: Job,
    data: DataSet,
    engine: Device,
    ranks: Distributed,
    progress: bool,
    speak: Say,
) -> Estimate | None:
    """The margin, estimated by the first rank for all, where the job asks for that."""
    if not wants_estimate(job):
        return None
    speak(
        "margin: auto; training the auto-encoder alone to see where its energy settles "
        "(--model.margin 20, say, goes without)"
    )
    steps, shown = min(STEPS, job.settings.training.steps), progress and ranks.writes
    here = data.to(engine.device)
    found = ranks.tell(ranks.first(lambda: estimate(job, here, engine, steps, progress=shown)))
    assert found is not None
    return found


def resolved_of(
    loop: Loop,
    data: DataSet,
    chosen: dict[str, str],
    found: Estimate | None,
    origin: dict[str, Any] | None,
) -> dict[str, Any]:
    """What was found rather than asked for, as config.json keeps it."""
    domain = data.domain
    return {
        **loop.engine.describe(),
        "ranks": loop.ranks.count,
        "data": _about(data),
        "domain": {
            "shape": domain.shape, "low": domain.low, "high": domain.high,
            "classes": domain.classes, "condition_shape": domain.condition_shape,
        },
        "parameters": {
            name: sum(p.numel() for p in loop.networks[name].parameters())
            for name in ("energy", "sampler")
        },
        "chosen": chosen,
        "labelled": loop.labelled,
        "margin": found.record() if found else None,
        "from": origin,
    }  # fmt: skip


def write_beginning(
    folder: RunFolder, asked: Job, job: Job, data: DataSet, resolved: dict[str, Any]
) -> None:
    """What a new run's folder says: config.json, and what of the data was left out.

    asked: the job as the user gave it; job: with what was estimated for it.
    """
    origin = resolved["from"]
    folder.write_config(
        {
            "energan": __version__,
            "recipe": job.recipe,
            "model": job.model,
            "hash": hash_of(job, resolved),
            "asked": {**job.asked, **({"from": origin["path"]} if origin else {})},
            "settings": asked.settings.model_dump(mode="json"),
            "resolved": resolved,
        }
    )
    if data.skipped:
        folder.write_lines("skipped.txt", (f"{w}: {reason}" for w, reason in data.skipped))


def resume(
    path: str | Path,
    *,
    steps: int | None = None,
    threads: int | None = None,
    on_divergence: str | None = None,
    data_at: str | Path | None = None,
    checkpoint_metric: MakeCheckpointMetric | None = None,
    progress: bool = True,
    also: Sequence[Hook] = (),
) -> RunFolder:
    """Go on with a run from its newest good checkpoint. steps: train to there instead.

    data_at: where the data is now, if it was moved; it must hold what it held. also: hooks that
    lead the run's own.

    On the same machine with the same threads and ranks the weights end, bit for bit, as those of a
    run that never stopped. With another number of ranks the batch of all of them stays what it was.
    Raises RunError if the run is finished or in use, or its data changed.
    """
    RunFolder(path).read_config()  # a folder that is no run gets no lock file
    job, resolved = job_of(RunFolder(path))
    if threads is None and asked_ranks() == resolved.get("ranks", 1):
        threads = resolved["threads"]  # else the cores are shared anew
    engine = choose(
        job.settings.engine.model_copy(
            update={"precision": resolved["precision"], "threads": threads}
        )
    )
    ranks = join(engine.device)
    folder = RunFolder(path, ranks.writes)
    with locked(folder, ranks):
        changes = changes_of(job, steps, on_divergence, data_at)
        job = job.changed(changes)
        data = _open(job, ranks)
        check_data(folder, job, data, resolved)
        loop, _ = _loop(_share(job, resolved.get("ranks", 1), ranks), data, engine, ranks)
        _restore_newest(loop, folder, resolved["from"])
        if loop.step >= job.settings.training.steps:
            raise RunError(
                f"{folder.path} has all its {loop.step} steps; give --steps to train further"
                if steps is None
                else f"{folder.path} stands at step {loop.step}; --steps must be more"
            )
        write_changes(folder, job, changes, resolved)
        metric = checkpoint_metric_of(job, data, checkpoint_metric, ranks)
        folder.append("resume", step=loop.step)
        _train(loop, job, data, folder, progress, metric, also)
    return folder


def changes_of(
    job: Job, steps: int | None, on_divergence: str | None, data_at: str | Path | None
) -> dict[str, Any]:
    """What a resume changes of the settings."""
    asked = {"steps": steps, "on_divergence": on_divergence}
    changes: dict[str, Any] = {"training": {k: v for k, v in asked.items() if v is not None}}
    if data_at is not None:
        changes["data"] = moved(job.settings.data, str(data_at))
    return changes


def check_data(folder: RunFolder, job: Job, data: DataSet, resolved: dict[str, Any]) -> None:
    """Raise RunError unless the data is what the run was trained on."""
    if data.fingerprint != resolved["data"]["fingerprint"]:
        raise RunError(
            f"the data of {folder.path} changed since it was trained "
            f"({job.settings.data.source}: {len(data)} events now, "
            f"{resolved['data']['events']} then); restore it, or start a new run with --from"
        )


def write_changes(
    folder: RunFolder, job: Job, changes: dict[str, Any], resolved: dict[str, Any]
) -> None:
    """Keep in config.json what a resume changed."""
    if not any(changes.values()):
        return
    config = folder.read_config()
    config["settings"] = merged(config["settings"], changes)
    config["asked"] = merged(config["asked"], changes)
    config["hash"] = hash_of(job, resolved)
    folder.write_config(config)


def _open(job: Job, ranks: Distributed) -> DataSet:
    """The job's data; the first rank opens it first, so that what is decoded is decoded once."""
    return ranks.first(lambda: open_data(job.settings.data)) or open_data(job.settings.data)


def _loop(
    job: Job, data: DataSet, engine: Device, ranks: Distributed
) -> tuple[Loop, dict[str, str]]:
    """The job's loop, and what its model chose from the data."""
    seed = job.settings.seed
    model = build(job, data.domain, seed)
    data, training = data.to(engine.device), job.settings.training
    return loop_of([model], training, data, engine, [seed], (), ranks), model.chosen


def _share(job: Job, before: int, ranks: Distributed) -> Job:
    """The job with each rank's part of the batch that `before` ranks had together.

    Raises SettingError if that batch cannot be shared evenly.
    """
    batch = job.settings.training.batch_size * before
    labelled = getattr(job.settings.model, "labelled", 0) * before
    for size in (batch, labelled):
        if size % ranks.count:
            raise SettingError(
                f"{before} ranks trained on batches of {size} together, which {ranks.count} cannot "
                "share evenly: resume with a number of ranks that divides it"
            )
    parts: dict[str, Any] = {"training": {"batch_size": batch // ranks.count}}
    if labelled:
        parts["model"] = {"labelled": labelled // ranks.count}
    return job.resolved(parts)


def _about(data: DataSet) -> dict[str, Any]:
    return {
        "name": data.name,
        "events": len(data),
        "fingerprint": data.fingerprint,
        "skipped": len(data.skipped),
        "class_names": None if data.class_names is None else list(data.class_names),
        "labelled": labelled_events(data),
    }


def said_of(chosen: dict[str, str]) -> str:
    return "; ".join(f"{name}: {what}" for name, what in chosen.items())


def unfinished_of(job: Job) -> str:
    """What the model's schedules would still change when the run ends, but as the recipe has it."""
    steps = job.settings.training.steps
    found = unfinished(job.settings.model, steps, "model.")
    if job.recipe in recipes.RECIPES:
        own = load(job.recipe).settings
        known = unfinished(own.model, own.training.steps, "model.")
        found = [what for what in found if what not in known]
    if not found:
        return ""
    return (
        f"{steps} steps end before {' and '.join(found)} {'do' if len(found) > 1 else 'does'}; "
        "--scale shortens the schedules with the steps"
    )


def skipped_of(data: DataSet) -> str:
    if not data.skipped:
        return ""
    where, reason = data.skipped[0]
    return (
        f"{len(data.skipped)} of {data.name} cannot be used and are left out (the first: {where}: "
        f"{reason}); skipped.txt in the run lists them"
    )


def silent(text: str) -> None:
    return


def hash_of(job: Job, resolved: dict[str, Any]) -> str:
    origin = resolved["from"]
    return job.hash(
        resolved["data"]["fingerprint"],
        resolved["precision"],
        origin["sha256"] if origin else None,
        resolved.get("ranks", 1),
    )


def _restore_newest(loop: Loop, folder: RunFolder, origin: dict[str, Any] | None) -> None:
    """Put the loop back to the newest good checkpoint, and say which newer ones were refused."""
    if unbegun(folder):
        adopt_again(loop, folder, origin)
        return
    found, refused = loop.ranks.choose(lambda: checkpoint.newest_good(folder.checkpoints))
    checkpoint.restore(found, loop)
    halved = [e["rate_scale"] for e in folder.read("rollback") if e["step"] <= loop.step]
    if halved:  # killed between a rollback and the next checkpoint, which would have it
        loop.rate_scale.clamp_(max=halved[-1])
    loop.ranks.first(lambda: checkpoint.set_aside(folder.checkpoints, loop.step))
    for reason in refused:
        folder.append("refused", step=loop.step, reason=reason)
        if loop.ranks.writes:
            ProgressBar().say(f"{reason}; using {found.name} instead")


def unbegun(folder: RunFolder) -> bool:
    """Whether the run was killed before it wrote its first checkpoint."""
    return not checkpoint.listed(folder.checkpoints) and not folder.read("score")


def adopt_again(loop: Loop, folder: RunFolder, origin: dict[str, Any] | None) -> None:
    """Start a run that was killed before its first checkpoint from the weights it began with.

    Raises RunError if those have changed.
    """
    if origin and adopt(loop, RunFolder(origin["path"]))["sha256"] != origin["sha256"]:
        raise RunError(
            f"{folder.path} was killed before its first checkpoint, and {origin['path']}, "
            "whose weights it started from, has changed since: train again"
        )


def _train(
    loop: Loop,
    job: Job,
    data: DataSet,
    folder: RunFolder,
    progress: bool,
    metric: CheckpointMetric | None,
    also: Sequence[Hook],
) -> None:
    """Run the loop with its hooks; the run's events say how it ended.

    Raises DivergenceError, with the remedy, if it diverged.
    """
    folder.append("start", step=loop.step, torch=str(torch.__version__), **loop.engine.describe())
    bar = ProgressBar() if progress and loop.ranks.writes else None
    say = bar.say if bar is not None else silent
    loop.hooks = [*also, *hooks_of(loop, job, data, folder, metric, say, bar)]
    if bar is not None:
        loop.hooks.insert(0, bar)  # it starts before the others speak
    try:
        with stopping(loop):
            loop.run()
    except DivergenceError as error:
        raise DivergenceError(diverged(folder, job, loop.step, error)) from None
    ended(folder, job, loop)


def adopt(loop: Loop, source: RunFolder) -> dict[str, Any]:
    """Start `loop` from another run's newest raw weights; says which they were."""
    source.read_config()
    path, _ = loop.ranks.choose(lambda: checkpoint.newest_good(source.checkpoints))
    found = checkpoint.read(path)
    try:
        for version in loop.versions():
            checkpoint.load_weights(version, found.weights, path)
    except CheckpointError as error:
        raise SettingError(f"--from {source.path}: {error}") from None
    return {
        "path": str(source.path.resolve()),
        "step": found.meta.step,
        "sha256": found.meta.sha256[checkpoint.WEIGHTS],
    }
