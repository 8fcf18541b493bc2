"""A run's folder of checkpoints, each written so that a crash leaves the one before it whole.

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
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, FiniteFloat, model_validator
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from energan.core import CheckpointError, describe
from energan.io.documents import Document, as_document, read_json
from energan.io.files import sha256_of
from energan.io.run_documents import Sha256, Step

FORMAT = 1
_NAME = re.compile(r"step-\d+$")
WEIGHTS, STATE, META = "weights.safetensors", "state.safetensors", "state.json"


class Meta(Document):
    """state.json: where training stood, and the checksums of all three files.

    rate_scale: of each member, 0 of one that was taken out. diverged: {member: why}.
    """

    format: Literal[1]
    step: Step
    seeds: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)]
    rate_scale: list[Annotated[FiniteFloat, Field(ge=0, le=1)]]
    diverged: dict[Annotated[str, Field(pattern=r"^\d{1,9}$")], str]
    sha256: dict[str, Sha256]
    checksum: str

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.sha256.keys() >= {WEIGHTS, STATE}:
            raise ValueError(f"sha256 lacks {WEIGHTS} or {STATE}")
        if len(self.rate_scale) != len(self.seeds):
            raise ValueError(f"{len(self.rate_scale)} rate_scale for {len(self.seeds)} seeds")
        if any(int(member) >= len(self.seeds) for member in self.diverged):
            raise ValueError(f"diverged: {list(self.diverged)} of {len(self.seeds)} members")
        return self


@dataclass(frozen=True)
class Checkpoint:
    """One as it was read, verified."""

    path: Path
    meta: Meta
    weights: dict[str, Tensor]
    state: dict[str, Tensor]


def checkpoint_name(step: int) -> str:
    return f"step-{step:06d}"


def write(
    folder: Path, weights: dict[str, Tensor], state: dict[str, Tensor], meta: dict[str, Any]
) -> Path:
    """Write one checkpoint aside, flush it, rename it into place."""
    path = folder / checkpoint_name(meta["step"])
    aside = folder / f".{path.name}.{os.getpid()}"
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    try:
        sums = {}
        for name, tensors in ((WEIGHTS, weights), (STATE, state)):
            # clones: safetensors refuses tensors that share memory
            save_file({k: v.cpu().clone() for k, v in tensors.items()}, aside / name)
            _flush(aside / name)
            sums[name] = sha256_of(aside / name)
        meta = {**meta, "sha256": sums}
        meta["checksum"] = _checksum(meta)
        (aside / META).write_text(json.dumps(meta, indent=2), encoding="utf8")
        _flush(aside / META)
        _flush(aside)
    except (SafetensorError, OSError) as error:
        shutil.rmtree(aside, ignore_errors=True)
        raise CheckpointError(
            f"{path} could not be written ({error}): free some space, then resume"
        ) from None
    before = folder / f".old-{path.name}"
    if path.exists():  # the same step written again, after a rollback
        shutil.rmtree(before, ignore_errors=True)
        path.rename(before)
    aside.rename(path)
    _flush(folder)
    shutil.rmtree(before, ignore_errors=True)
    return path


def read(path: Path) -> Checkpoint:
    """A whole checkpoint. Raises CheckpointError."""
    meta = read_meta(path)
    weights, state = (read_tensors(path, name, meta) for name in (WEIGHTS, STATE))
    return Checkpoint(path, meta, weights, state)


def read_meta(path: Path) -> Meta:
    """A checkpoint's state.json, its checksum verified. Raises CheckpointError."""
    file, remedy = path / META, "remove this checkpoint to go on from the one before it"
    values = read_json(file, error=CheckpointError, remedy=remedy)
    if not isinstance(values, dict) or values.get("checksum") != _checksum(values):
        raise CheckpointError(f"{path} was altered: {META} does not match its checksum")
    if values.get("format") != FORMAT:
        raise CheckpointError(
            f"{path} has format {describe(values.get('format'))}, and this version reads "
            f"{FORMAT}: install the version of energan that wrote it"
        )
    return as_document(values, Meta, file, error=CheckpointError, remedy=remedy)


def read_tensors(path: Path, name: str, meta: Meta | None = None) -> dict[str, Tensor]:
    """One of a checkpoint's tensor files, its checksum verified. Raises CheckpointError."""
    meta = meta or read_meta(path)
    file = path / name
    if not file.is_file():
        raise CheckpointError(f"{path} is incomplete: {name} is missing")
    try:
        if sha256_of(file) != meta.sha256[name]:
            raise CheckpointError(
                f"{path} is incomplete or altered: {name} does not match its checksum"
            )
        return load_file(file)
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(f"{path}: {name} cannot be read ({error})") from None


def listed(folder: Path) -> list[Path]:
    """Finished checkpoints, oldest first."""
    return sorted(
        (p for p in folder.glob("step-*") if p.is_dir() and _NAME.match(p.name)), key=step_of
    )


def step_of(path: Path) -> int:
    """The step in a checkpoint's name."""
    return int(path.name.removeprefix("step-"))


def steps_in(folder: Path) -> list[int]:
    """The steps of finished checkpoints, ascending."""
    return [step_of(path) for path in listed(folder)]


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
            _remove(path)


def _remove(path: Path) -> None:
    """Remove a checkpoint; who reads it meanwhile finds it gone, not torn."""
    away = path.with_name(f".old-{path.name}")
    shutil.rmtree(away, ignore_errors=True)
    path.rename(away)
    shutil.rmtree(away, ignore_errors=True)


def newest_good(folder: Path, before: float = math.inf) -> tuple[Path, list[str]]:
    """The newest checkpoint that verifies, of those before a step; why each newer one was refused.

    One that is removed meanwhile, as a training run does, is none. Raises CheckpointError if none
    verifies.
    """
    refused: list[str] = []
    tried: set[Path] = set()
    while left := [p for p in listed(folder) if step_of(p) < before and p not in tried]:
        path = left[-1]
        tried.add(path)
        try:
            read(path)
        except CheckpointError as error:
            if path.is_dir():
                refused.append(str(error))
            continue
        return path, refused
    if refused:
        raise CheckpointError("; ".join(refused) + "; no checkpoint is left to go back to")
    raise CheckpointError(
        f"{folder} holds no checkpoint: the run was stopped before its first, or they were "
        "removed (of a sweep's trials only the best keeps its own; --keep all keeps all)"
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
            _remove(path)
    for left in (*folder.glob(".step-*"), *folder.glob(".old-step-*")):  # by a killed process
        shutil.rmtree(left, ignore_errors=True)


def _checksum(meta: dict[str, Any]) -> str:
    rest = {k: v for k, v in meta.items() if k != "checksum"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def _flush(path: Path) -> None:
    if os.name == "nt" and path.is_dir():  # Windows opens no folder
        return
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
