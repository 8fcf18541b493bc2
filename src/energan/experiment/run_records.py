"""What a run's folder keeps of its training: config.json, and how it ended."""

import os
import socket
from pathlib import Path
from typing import Any

import torch

from energan.core import CheckpointError, Domain, Model, RunError, SettingError, describe
from energan.data import DataSet, PairSet
from energan.data.domain_record import domain_of, record_of
from energan.data.facts import as_records
from energan.data.few_label_batches import labelled_events
from energan.experiment.build import build, build_on_meta
from energan.experiment.callbacks.curves import draw, save_curves
from energan.experiment.margin import Estimate
from energan.experiment.own_code import own_code
from energan.experiment.settings import Job, load, settings_hash
from energan.io.nested import merged
from energan.io.run_folder import RunFolder
from energan.training import checkpoint, checkpoint_folder
from energan.training.train_state import TrainState
from energan.version import __version__

# --- config.json, written -------------------------------------------------------------------------


def resolved_of(
    loop: TrainState,
    data: DataSet,
    chosen: dict[str, str],
    found: Estimate | None,
    source: str | Path | None,
) -> dict[str, Any]:
    """What was found rather than asked for, as config.json keeps it.

    source: the run whose weights the loop starts from; it gets them here.
    """
    return {
        **loop.engine.describe(),
        "ranks": loop.ranks.count,
        "data": {
            "name": data.name,
            "events": len(data),
            "fingerprint": data.fingerprint,
            "skipped": len(data.skipped),
            "facts": as_records(data.facts),
            "intensity": data.intensity,
            "source_intensity": data.source_intensity if isinstance(data, PairSet) else None,
            "side_by_side": data.side_by_side if isinstance(data, PairSet) else None,
            "class_names": None if data.class_names is None else list(data.class_names),
            "labelled": labelled_events(data),
        },
        "domain": record_of(data.domain),
        "parameters": {
            name: sum(p.numel() for p in loop.networks[name].parameters())
            for name in ("energy", "sampler")
        },
        "chosen": chosen,
        "labelled": loop.labelled,
        "makes_samples": loop.sampler.makes_samples,
        "margin": found.record() if found else None,
        "from": load_weights(loop, RunFolder(source)) if source else None,
    }


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


def write_config(
    folder: RunFolder, asked: Job, job: Job, data: DataSet, resolved: dict[str, Any]
) -> None:
    """What a new run's folder says: config.json, and what of the data was left out.

    asked: the job as the user gave it; job: with what was estimated for it.
    """
    origin = resolved["from"]
    if code := own_code(job.model):
        resolved = {**resolved, "code": code.record()}
        code.copy_to(folder)
    folder.write_config(
        {
            "energan": __version__,
            "recipe": job.recipe,
            "model": job.model,
            "hash": job.hash(*_hashed(resolved)),
            "asked": {**job.asked, **({"from": origin["path"]} if origin else {})},
            "settings": asked.settings.model_dump(mode="json"),
            "resolved": resolved,
        }
    )
    if data.skipped:
        folder.write_lines("skipped.txt", (f"{w}: {reason}" for w, reason in data.skipped))


def write_changes(
    folder: RunFolder, job: Job, changes: dict[str, Any], resolved: dict[str, Any]
) -> None:
    """Keep in config.json what a resume changed."""
    if not any(changes.values()):
        return
    config = folder.read_config()
    config["settings"] = merged(config["settings"], changes)
    config["asked"] = merged(config["asked"], changes)
    config["hash"] = job.hash(*_hashed(resolved))
    folder.write_config(config)


def write_margin(folder: RunFolder, job: Job, found: Estimate) -> None:
    """Keep in config.json a margin that a resume estimated, which the job has."""
    config = folder.read_config()
    config["resolved"]["margin"] = found.record()
    config["hash"] = job.hash(*_hashed(config["resolved"]))
    folder.write_config(config)


# --- config.json, read ----------------------------------------------------------------------------


def job_of(folder: RunFolder) -> tuple[Job, dict[str, Any]]:
    """A run's job with what was estimated for it, or measured of its data, filled in; and what was
    resolved."""
    resolved = folder.read_config()["resolved"]
    job = load(str(folder.config))
    source = Path(job.settings.data.source)
    if source.name == folder.data.name and not source.exists() and folder.data.exists():
        # the folder was moved, with the data in it
        job = job.resolved({"data": {"source": str(folder.data.resolve())}})
    if margin := resolved.get("margin"):
        job = job.resolved({"model": {"margin": margin["margin"]}})
    data = resolved["data"]
    if intensity := data.get("intensity") or data.get("source_intensity"):
        job = job.resolved({"data": {"intensity": intensity}})
    if labels := resolved["domain"].get("label_map"):
        kind = "one-hot" if labels["one_hot"] else "palette"
        job = job.resolved({"data": {"label_maps": kind, "label_values": labels["values"]}})
    return job, resolved


def networks_of(folder: RunFolder) -> tuple[Job, Domain, Model]:
    """A run's job, domain and freshly built networks, without opening its data."""
    job, resolved = job_of(folder)
    domain = domain_of(resolved["domain"])
    _check_parameters(folder, job, domain, resolved.get("parameters", {}))
    return job, domain, build(job, domain, job.settings.seed)


def _check_parameters(folder: RunFolder, job: Job, domain: Domain, trained: dict[str, int]) -> None:
    """Raise RunError if config.json was edited so that its networks are larger than the trained
    ones, before they are built: they may fit no memory."""
    try:
        built = build_on_meta(job.model, job.settings.model, domain)
    except (NotImplementedError, RuntimeError):  # its build looks at numbers
        return
    for name, count in trained.items():
        network = getattr(built, name, None)
        own = 0 if network is None else sum(p.numel() for p in network.parameters())
        if own > count:
            raise RunError(
                f"{folder.config} was edited: its {name} network has {own:,} parameters, and the "
                f"trained one {count:,}; restore the file, or train again"
            )


def _hashed(resolved: dict[str, Any]) -> tuple[str, str, str | None, int, str | None]:
    """What the hash covers beside the settings: data, precision, first weights, ranks, code."""
    data, origin = resolved["data"]["fingerprint"], resolved["from"]
    first = origin["sha256"] if origin else None
    code = (resolved.get("code") or {}).get("sha256")
    return data, resolved["precision"], first, resolved.get("ranks", 1), code


def check_hash(folder: RunFolder, job: Job, resolved: dict[str, Any]) -> None:
    """Raise RunError if config.json was edited: its settings no longer give its hash."""
    config = folder.read_config()
    settings = config["settings"]
    if margin := resolved.get("margin"):
        settings = merged(settings, {"model": {"margin": margin["margin"]}})
    # as the settings stand there, which another version may have written, or as this one has them
    beside = _hashed(resolved)
    found = settings_hash(job.model, settings, *beside), job.hash(*beside)
    if config.get("hash") not in found:
        raise RunError(
            f"{folder.config} was edited: it gives the hash {describe(config.get('hash'))}, and "
            f"its settings {found[0]}; restore the file, or train with the edited settings: "
            f"energan train {folder.config} --out NEW"
        )


def record_start(folder: RunFolder, loop: TrainState) -> None:
    """Keep where the loop, the whole cohort's, begins or goes on, and by what."""
    seeds = {"cohort": list(loop.randomness.seeds)} if loop.members > 1 else {}
    about = {"torch": str(torch.__version__), **loop.engine.describe()}
    place = {"host": socket.gethostname(), "pid": os.getpid()}
    folder.append("start", step=loop.step, **about, **place, **seeds)


# --- how training began and ended -----------------------------------------------------------------


def record_divergence(folder: RunFolder, job: Job, step: int, error: Exception) -> str:
    """Keep that the run diverged; what the user is told, with the remedy."""
    training = job.settings.training
    folder.append("diverged", step=step, reason=str(error))
    if folder.writes:
        save_curves(folder.path / "curves.png", folder.read())
    kept = checkpoint_folder.listed(folder.checkpoints)
    intact = f"{folder.path} is intact at {kept[-1].name}" if kept else "nothing was written"
    remedy = "train again with lower learning rates or --model.energy-optimiser.clip"
    if training.on_divergence == "rollback":
        remedy = f"it was rolled back {training.rollbacks} times without success: {remedy}"
    else:
        remedy += (
            f", or roll it back with half the learning rates: energan resume {folder.path} "
            "--on-divergence rollback"
        )
    return f"{error}; {intact}; {remedy}"


def record_end(folder: RunFolder, job: Job, loop: TrainState) -> None:
    """Keep that the run has all its steps, or was told to stop."""
    draw(folder, loop)
    if loop.step >= job.settings.training.steps:
        folder.append("finished", step=loop.step)
    else:
        folder.append("stopped", step=loop.step, reason=loop.stopping)
