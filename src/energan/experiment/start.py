"""Training from the beginning into new run folders: settings -> data, model, loop, hooks."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from energan import recipes
from energan.core import CheckpointError, RunError, SettingError, describe
from energan.core.schedules import unfinished_settings
from energan.data import DataSet, open_data
from energan.data.facts import as_records
from energan.data.few_label_batches import labelled_events
from energan.experiment.callbacks import MakeCheckpointMetric, Say, checkpoint_metric_of
from energan.experiment.cohort import ANY_MARGIN, Outcome, check_jobs, cohort_of, train
from energan.experiment.folders import absolute_paths, check_free, claim, endings, locked
from energan.experiment.margin import STEPS, Estimate, estimate, wants_estimate
from energan.experiment.settings import Job, load, settings_hash
from energan.io import console
from energan.io.nested import merged
from energan.io.run_folder import RunFolder
from energan.training import checkpoint, checkpoint_folder
from energan.training.device import Device, choose
from energan.training.distributed import Distributed, join
from energan.training.loop import Hook
from energan.training.train_state import TrainState
from energan.version import __version__


def start(
    jobs: Sequence[Job],
    folders: Sequence[str | Path] | None = None,
    *,
    from_run: str | Path | None = None,
    checkpoint_metric: MakeCheckpointMetric | None = None,
    progress: bool = True,
    hooks: Sequence[Hook] = (),
) -> Outcome:
    """Train jobs from their beginning into new run folders: one, or several as one program.

    jobs: differ in values, as the seed, and not in shapes. folders: one for each, made if missing;
    None for the first free runs/RECIPE, or runs/RECIPE-s0, ... of several seeds. from_run: whose
    weights to start from. checkpoint_metric: what makes the figure of `output.keep_best`, if not
    one that every run makes. hooks: of the whole, called before the runs' own at each step; an
    error that one raises ends all.

    Started by torchrun, each of its processes calls this with one job, and the first one writes.
    Raises SettingError if the jobs cannot train as one program, RunError if a folder is taken,
    DivergenceError, with the remedy, if every run's losses stop being finite.
    """
    check_jobs(jobs)
    _check_different(jobs, folders)
    asked = [job.resolved({"data": absolute_paths(job.settings.data)}) for job in jobs]
    engine = choose(asked[0].settings.engine)
    ranks = join(engine.device)
    ranks.first(lambda: check_free(folders or ()))
    data = open_first(asked[0], ranks)
    metric = checkpoint_metric_of(asked[0], data, checkpoint_metric, ranks)
    say = console.say if progress and ranks.writes else console.silent
    found = _estimates(asked, data, engine, ranks, progress, say)
    jobs = [
        job.resolved({"model": {"margin": own.margin}}) if own else job
        for job, own in zip(asked, found, strict=True)
    ]
    cohort = cohort_of(jobs, data, engine, ranks)
    resolved = [
        _resolved(member, data, chosen, own, from_run or job.origin)
        for member, job, chosen, own in zip(cohort.loops, jobs, cohort.chosen, found, strict=True)
    ]
    for line in [*(own.says() for own in found if own), *_remarks(cohort.chosen[0], data, jobs[0])]:
        say(line)
    paths = ranks.choose(lambda: claim(jobs[0].recipe, folders, endings(jobs)))
    runs = [RunFolder(path, ranks.writes) for path in paths]
    with locked(runs, ranks):
        ranks.first(lambda: check_free(paths))  # again: another process may have had the lock
        for own_asked, job, run, own in zip(asked, jobs, runs, resolved, strict=True):
            _write_beginning(run, own_asked, job, data, own)
        return train(cohort, data, runs, metric, progress, hooks)


def _check_different(jobs: Sequence[Job], folders: Sequence[str | Path] | None) -> None:
    """Raise RunError unless each job has a folder of its own."""
    places = endings(jobs) if folders is None else [Path(path).resolve() for path in folders]
    if len(set(places)) != len(jobs):
        raise RunError(f"{len(jobs)} members of a cohort need as many different folders")


def open_first(job: Job, ranks: Distributed) -> DataSet:
    """The job's data; the first rank opens it first, so that what is decoded is decoded once."""
    return ranks.first(lambda: open_data(job.settings.data)) or open_data(job.settings.data)


def _estimates(
    jobs: Sequence[Job],
    data: DataSet,
    engine: Device,
    ranks: Distributed,
    progress: bool,
    say: Say,
) -> list[Estimate | None]:
    """The margin of each job that asks for one, estimated by the first rank for all."""
    if len(jobs) > 1 and any(wants_estimate(job) for job in jobs):
        # a long work in vain, if they were no cohort
        probe = [job.resolved(ANY_MARGIN) if wants_estimate(job) else job for job in jobs[:2]]
        cohort_of(probe, data, engine)
    here, shown = data.to(engine.device), progress and ranks.writes

    def estimated(job: Job) -> Estimate | None:
        if not wants_estimate(job):
            return None
        say(
            "margin: auto; training the auto-encoder alone to see where its energy settles "
            "(--model.margin 20, say, goes without)"
        )
        steps = min(STEPS, job.settings.training.steps)
        return ranks.choose(lambda: estimate(job, here, engine, steps, progress=shown))

    return [estimated(job) for job in jobs]


def _resolved(
    loop: TrainState,
    data: DataSet,
    chosen: dict[str, str],
    found: Estimate | None,
    source: str | Path | None,
) -> dict[str, Any]:
    """What was found rather than asked for, as config.json keeps it.

    source: the run whose weights the loop starts from; it gets them here.
    """
    domain = data.domain
    return {
        **loop.engine.describe(),
        "ranks": loop.ranks.count,
        "data": {
            "name": data.name,
            "events": len(data),
            "fingerprint": data.fingerprint,
            "skipped": len(data.skipped),
            "facts": as_records(data.facts),
            "class_names": None if data.class_names is None else list(data.class_names),
            "labelled": labelled_events(data),
        },
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
        "from": load_weights(loop, RunFolder(source)) if source else None,
    }  # fmt: skip


def load_weights(loop: TrainState, source: RunFolder) -> dict[str, Any]:
    """Start `loop` from another run's newest raw weights; says which they were."""
    source.read_config()
    path, _ = loop.ranks.choose(lambda: checkpoint_folder.newest_good(source.checkpoints))
    found = checkpoint_folder.read(path)
    try:
        for version in loop.versions():
            checkpoint.load_weights(version, found.weights, path)
    except CheckpointError as error:
        raise SettingError(f"--from {source.path}: {error}") from None
    return {
        "path": str(source.path.resolve()),
        "step": found.meta.step,
        "sha256": found.meta.sha256[checkpoint_folder.WEIGHTS],
    }


def _write_beginning(
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
            "hash": job.hash(*hashed(resolved)),
            "asked": {**job.asked, **({"from": origin["path"]} if origin else {})},
            "settings": asked.settings.model_dump(mode="json"),
            "resolved": resolved,
        }
    )
    if data.skipped:
        folder.write_lines("skipped.txt", (f"{w}: {reason}" for w, reason in data.skipped))


def check_hash(folder: RunFolder, job: Job, resolved: dict[str, Any]) -> None:
    """Raise RunError if config.json was edited: its settings no longer give its hash."""
    config = folder.read_config()
    settings = config["settings"]
    if margin := resolved.get("margin"):
        settings = merged(settings, {"model": {"margin": margin["margin"]}})
    # as the settings stand there, which another version may have written, or as this one has them
    beside = hashed(resolved)
    found = settings_hash(job.model, settings, *beside), job.hash(*beside)
    if config.get("hash") not in found:
        raise RunError(
            f"{folder.config} was edited: it gives the hash {describe(config.get('hash'))}, and "
            f"its settings {found[0]}; restore it, or train anew with the edited settings: energan "
            f"train {folder.config} --out NEW"
        )


def hashed(resolved: dict[str, Any]) -> tuple[str, str, str | None, int]:
    """What the hash covers beside the settings: data, precision, first weights, ranks."""
    data, origin = resolved["data"]["fingerprint"], resolved["from"]
    first = origin["sha256"] if origin else None
    return data, resolved["precision"], first, resolved.get("ranks", 1)


# --- what the user is told before training begins -------------------------------------------------


def _remarks(chosen: dict[str, str], data: DataSet, job: Job) -> list[str]:
    """What the model chose from the data, how much of that is left out, and what the model's
    schedules would still change when the run ends, but as the recipe has it."""
    remarks = ["; ".join(f"{name}: {what}" for name, what in chosen.items())] if chosen else []
    if data.skipped:
        where, reason = data.skipped[0]
        remarks.append(
            f"{len(data.skipped)} of {data.name} cannot be used and are left out (the first: "
            f"{where}: {reason}); skipped.txt in the run lists them"
        )
    remarks += [str(fact) for fact in data.facts if fact.warning]
    steps = job.settings.training.steps
    found = unfinished_settings(job.settings.model, steps, "model.")
    if job.recipe in recipes.RECIPES:
        own = load(job.recipe).settings
        known = unfinished_settings(own.model, own.training.steps, "model.")
        found = [what for what in found if what not in known]
    if found:
        remarks.append(
            f"{steps} steps end before {' and '.join(found)} {'do' if len(found) > 1 else 'does'}; "
            "--scale shortens the schedules with the steps"
        )
    return remarks
