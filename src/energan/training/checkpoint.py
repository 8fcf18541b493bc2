"""Checkpoints: the whole state of a loop, written so that a crash leaves the one before it whole.

checkpoints/step-000500/
    weights.safetensors   energy.*, sampler.*, ema.energy.*, ema.sampler.*
    state.safetensors     optimiser and sampler state
    state.json            step, rate scale, and the checksums of all three

Randomness and data order are functions of (seed, step), so neither is saved. Nothing unpickles.
"""

import hashlib
import json
import math
import os
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from energan.core import CheckpointError

if TYPE_CHECKING:
    from energan.training.loop import Loop

FORMAT = 1
_NAME = re.compile(r"step-\d+$")
WEIGHTS, STATE, META = "weights.safetensors", "state.safetensors", "state.json"


def checkpoint_name(step: int) -> str:
    return f"step-{step:06d}"


# --- a loop's state as tensors --------------------------------------------------------------------


def weights_of(loop: "Loop") -> dict[str, Tensor]:
    """Parameters and buffers of both networks, raw and averaged."""
    weights = dict(loop.networks.state_dict())
    if loop.ema is not None:
        weights |= {f"ema.{k}": v for k, v in loop.ema.module.state_dict().items()}
    return {k: v.detach().contiguous() for k, v in weights.items()}


def save(folder: Path, loop: "Loop") -> Path:
    """Write the loop's state, calibrated, to `folder`/step-N and return that path.

    Raises DivergenceError, writing nothing, if a weight or an optimiser's average is not finite: a
    gradient can overflow without any loss having told.
    """
    loop.estimate_statistics()
    weights = weights_of(loop)
    state = {
        f"{network}.optimiser.{k}": v
        for network, stepper in loop.steppers.items()
        for k, v in stepper.state().items()
    }
    state |= {f"sampler.state.{k}": v for k, v in loop.state.items()}
    for name, value in {**weights, **state}.items():
        rows = value.reshape(loop.members if value.dim() else 1, -1).isfinite().all(-1)
        for member in torch.nonzero(~rows).flatten().tolist():
            loop.mark(member, f"{name} is not finite at step {loop.step}")
    if loop.ema is not None:
        state["ema.updates"] = loop.ema.n_averaged
    meta = {
        "format": FORMAT,
        "step": loop.step,
        "seeds": list(loop.randomness.seeds),
        "rate_scale": loop.rate_scale.tolist(),
        "diverged": {str(k): v for k, v in loop.diverged.items()},
    }
    return write(folder, weights, {k: v.contiguous() for k, v in state.items()}, meta)


def restore(path: Path, loop: "Loop") -> None:
    """Put the loop back to where the checkpoint was written. Raises CheckpointError."""
    meta = read_meta(path)
    weights, state = read_tensors(path, WEIGHTS, meta), read_tensors(path, STATE, meta)
    if meta["seeds"] != list(loop.randomness.seeds):
        raise CheckpointError(
            f"{path} was trained with seeds {meta['seeds']}, not {list(loop.randomness.seeds)}"
        )
    load_weights(loop.networks, weights, path)
    if loop.ema is not None:
        load_weights(loop.ema.module, select(weights, "ema."), path)
        loop.ema.n_averaged.copy_(state["ema.updates"])
    for network, stepper in loop.steppers.items():
        stepper.load(select(state, f"{network}.optimiser."))
    device = loop.engine.device
    loop.state = {k: v.to(device) for k, v in select(state, "sampler.state.").items()}
    loop.step = meta["step"]
    loop.rate_scale = torch.tensor(meta["rate_scale"])
    loop.diverged = {int(k): v for k, v in meta["diverged"].items()}
    loop.forget()


def load_weights(networks: torch.nn.Module, weights: dict[str, Tensor], path: Path) -> None:
    """Copy `weights` into `networks`, which must have the same names and shapes."""
    own = networks.state_dict()
    for name, value in own.items():
        if name not in weights:
            raise CheckpointError(f"{path} has no weights {name}: it is of another model")
        if weights[name].shape != value.shape:
            raise CheckpointError(
                f"{path}: {name} is {tuple(weights[name].shape)} there and "
                f"{tuple(value.shape)} here; use the settings it was trained with"
            )
    networks.load_state_dict({name: weights[name] for name in own})


def select(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The entries under `prefix`, without it."""
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


# --- on disk --------------------------------------------------------------------------------------


def write(
    folder: Path, weights: dict[str, Tensor], state: dict[str, Tensor], meta: dict[str, Any]
) -> Path:
    """Write one checkpoint aside, flush it, rename it into place."""
    path = folder / checkpoint_name(meta["step"])
    aside = folder / f".{path.name}.{os.getpid()}"
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    sums = {}
    for name, tensors in ((WEIGHTS, weights), (STATE, state)):
        try:
            # clones: safetensors refuses tensors that share memory
            save_file({k: v.cpu().clone() for k, v in tensors.items()}, aside / name)
        except SafetensorError as error:
            shutil.rmtree(aside, ignore_errors=True)
            raise CheckpointError(
                f"{path} could not be written ({error}): free some space, then resume"
            ) from None
        _flush(aside / name)
        sums[name] = _sha256(aside / name)
    meta = {**meta, "sha256": sums}
    meta["checksum"] = _checksum(meta)
    (aside / META).write_text(json.dumps(meta, indent=2), encoding="utf8")
    _flush(aside / META)
    _flush(aside)
    before = folder / f".old-{path.name}"
    if path.exists():  # the same step written again, after a rollback
        shutil.rmtree(before, ignore_errors=True)
        path.rename(before)
    aside.rename(path)
    _flush(folder)
    shutil.rmtree(before, ignore_errors=True)
    return path


def read_meta(path: Path) -> dict[str, Any]:
    """A checkpoint's state.json, its checksum verified."""
    try:
        meta = json.loads((path / META).read_text(encoding="utf8"))
        intact = meta.get("checksum") == _checksum(meta)
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise CheckpointError(f"{path} is torn: {META} cannot be read ({error})") from None
    if not intact:
        raise CheckpointError(f"{path} was altered: {META} does not match its checksum")
    if meta["format"] != FORMAT:
        raise CheckpointError(
            f"{path} has format {meta['format']}; this version reads {FORMAT}: install the "
            "energan that wrote it"
        )
    return dict(meta)


def read_tensors(path: Path, name: str, meta: dict[str, Any] | None = None) -> dict[str, Tensor]:
    """One of a checkpoint's tensor files, its checksum verified."""
    meta = meta or read_meta(path)
    file = path / name
    if not file.is_file():
        raise CheckpointError(f"{path} is torn: {name} is missing")
    if _sha256(file) != meta["sha256"][name]:
        raise CheckpointError(f"{path} is torn or altered: {name} does not match its checksum")
    try:
        return load_file(file)
    except SafetensorError as error:
        raise CheckpointError(f"{path}: {name} cannot be read ({error})") from None


def listed(folder: Path) -> list[Path]:
    """Finished checkpoints, oldest first."""
    return sorted(
        (p for p in folder.glob("step-*") if p.is_dir() and _NAME.match(p.name)), key=step_of
    )


def step_of(path: Path) -> int:
    """The step in a checkpoint's name."""
    return int(path.name.removeprefix("step-"))


def set_aside(folder: Path, step: int) -> None:
    """Rename checkpoints later than `step`, which were refused, so that none counts as kept."""
    for path in listed(folder):
        if step_of(path) > step:
            shutil.rmtree(folder / f"refused-{path.name}", ignore_errors=True)
            path.rename(folder / f"refused-{path.name}")


def discard(folder: Path, step: int) -> None:
    """Remove checkpoints later than `step`: what they hold was undone."""
    for path in listed(folder):
        if step_of(path) > step:
            shutil.rmtree(path, ignore_errors=True)


def newest_good(folder: Path, before: float = math.inf) -> tuple[Path, list[str]]:
    """The newest checkpoint that verifies, of those before a step; why each newer one was refused.

    Raises CheckpointError if none does.
    """
    refused: list[str] = []
    for path in reversed([p for p in listed(folder) if step_of(p) < before]):
        try:
            meta = read_meta(path)
            for name in (WEIGHTS, STATE):
                read_tensors(path, name, meta)
        except (CheckpointError, OSError) as error:
            refused.append(str(error))
            continue
        return path, refused
    if refused:
        raise CheckpointError("; ".join(refused) + "; no checkpoint is left to go back to")
    raise CheckpointError(
        f"{folder} holds no checkpoint: the run was stopped before its first, or they were removed "
        "(of a sweep's trials the best one keeps its own; --keep all keeps all)"
    )


def oldest_good(folder: Path) -> Path:
    """The oldest checkpoint that verifies. Raises CheckpointError if none does."""
    path, _ = newest_good(folder)
    while True:
        try:
            path, _ = newest_good(folder, step_of(path))
        except CheckpointError:
            return path


def prune(folder: Path, keep: int, also: set[int]) -> None:
    """Remove all but the last `keep` checkpoints and those at the steps `also`."""
    for path in listed(folder)[:-keep]:
        if step_of(path) not in also:
            shutil.rmtree(path, ignore_errors=True)
    for left in (*folder.glob(".step-*"), *folder.glob(".old-step-*")):  # by a killed process
        shutil.rmtree(left, ignore_errors=True)


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _checksum(meta: dict[str, Any]) -> str:
    rest = {k: v for k, v in meta.items() if k != "checksum"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
