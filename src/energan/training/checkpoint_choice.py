"""Which of a run's checkpoints is used, and with which weights."""

from pathlib import Path
from typing import Literal

from torch import Tensor, nn

from energan.core import CheckpointError, SettingError
from energan.io.run_folder import RunFolder
from energan.training import checkpoint, checkpoint_folder
from energan.training.checkpoint_folder import Checkpoint
from energan.training.hooks import best_step

Weights = Literal["ema", "raw"]


def read_checkpoint(
    folder: RunFolder, wanted: str | int, keep_best: str
) -> tuple[Checkpoint, list[str]]:
    """A run's checkpoint, and why newer ones were refused.

    wanted: "last" (the newest that verifies), "best" (by the score `keep_best`) or a step. Raises
    CheckpointError if there is none, SettingError for another word.
    """
    while True:
        path, refused = _find(folder, wanted, keep_best)
        try:
            return checkpoint_folder.read(path), refused
        except CheckpointError:
            if path.is_dir():
                raise
            # the process that trains this run has just removed it: there is a newer one


def _find(folder: RunFolder, wanted: str | int, keep_best: str) -> tuple[Path, list[str]]:
    there = folder.checkpoints
    if wanted == "last":
        return checkpoint_folder.newest_good(there)
    if wanted == "best":
        best = best_step(folder, keep_best)
        if best is None:
            raise CheckpointError(f"{folder.path} has no scored checkpoint; use last")
        wanted = best
    try:
        path = there / checkpoint_folder.checkpoint_name(int(wanted))
    except ValueError:
        raise SettingError(f"checkpoint {wanted!r}: give last, best or a step") from None
    if not path.is_dir():
        names = ", ".join(p.name for p in checkpoint_folder.listed(there)) or "none"
        raise CheckpointError(
            f"{folder.path} has no checkpoint of step {wanted}; choose from {names}"
        )
    return path, []


def load_networks(
    folder: RunFolder,
    stored: Checkpoint,
    energy: nn.Module,
    sampler: nn.Module,
    weights: Weights | None,
) -> Weights:
    """Give both networks their weights of the checkpoint, and say which they are.

    weights: None for the averaged ones where there are any. Raises CheckpointError if those that
    are asked for are not there, or are of other networks.
    """
    averaged = checkpoint.select(stored.weights, "ema.")
    if weights == "ema" and not averaged:
        raise CheckpointError(f"{folder.path} has no averaged weights (training.ema 0); use raw")
    chosen: Weights = weights or ("ema" if averaged else "raw")
    values: dict[str, Tensor] = averaged if chosen == "ema" else stored.weights
    networks = nn.ModuleDict({"energy": energy, "sampler": sampler})
    checkpoint.load_weights(networks, values, stored.path)
    return chosen
