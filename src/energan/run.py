"""A run on disk, as the user holds it."""

from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from energan.core import (
    CheckpointError,
    Context,
    DataError,
    Randomness,
    Scored,
    SettingError,
    describe,
)
from energan.experiment import networks_of
from energan.folder import RunFolder
from energan.training import checkpoint
from energan.training.engine import choose
from energan.training.hooks import read_best

Weights = Literal["ema", "raw"]
CHUNK = 500


class Run:
    """A trained run: its samples and its energy, in the range of its data.

    checkpoint: "last" (the newest that verifies), "best" (by its own scores) or a step.
    weights: "ema" for the averaged ones, "raw"; by default averaged where there are any.

    Raises RunError if the folder holds no run, CheckpointError if no checkpoint can be used.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        checkpoint: str | int = "last",
        weights: Weights | None = None,
    ) -> None:
        self.folder = RunFolder(path)
        self.config = self.folder.read_config()
        self.job, self.domain, model = networks_of(self.folder)
        self.engine = choose(self.job.settings.engine)
        self.checkpoint, self.warnings = self._find(checkpoint)
        self.weights = self._load(model.energy, model.sampler, weights)
        self.energy_network = model.energy.to(self.engine.device).requires_grad_(False)
        self.sampler = model.sampler.to(self.engine.device).requires_grad_(False)

    @property
    def path(self) -> Path:
        return self.folder.path

    @property
    def step(self) -> int:
        """The step of the checkpoint in use."""
        return int(self.checkpoint.name.removeprefix("step-"))

    def events(self, event: str | None = None) -> list[dict[str, Any]]:
        """What the run logged: "step" events carry losses and energies, "score" ones scores."""
        return self.folder.read(event)

    @torch.no_grad()
    def sample(self, count: int, seed: int = 0, condition: Tensor | None = None) -> Tensor:
        """Samples, float (count, *event) in the data's range, on the CPU.

        Raises SettingError if the model takes no condition, or makes no samples.
        """
        if count < 1:
            raise SettingError(f"the number of samples is at least 1, not {count}")
        self._refuse(condition)
        randomness = Randomness([seed], self.engine.device)
        parts = []
        for start in range(0, count, CHUNK):
            context = Context(self.step, {}, randomness.at("sample", start))
            made = self.sampler.sample(
                self.energy_network, min(CHUNK, count - start), None, {}, context
            )
            if made is None:
                raise SettingError(f"{self.path}: the model {self.job.model} makes no samples")
            parts.append(made.x.float().cpu())
        return torch.cat(parts)

    @torch.no_grad()
    def energy(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """U(x), float (B,), of x (B, *event) in the data's range; lower is more like the data.

        Raises DataError if x does not have the shape or the type of the data.
        """
        self._refuse(condition)
        if x.shape[1:] != torch.Size(self.domain.shape) or not x.is_floating_point():
            raise DataError(
                f"energy needs float events of shape {self.domain.shape}, in "
                f"[{self.domain.low}, {self.domain.high}]: given {x.dtype}, {tuple(x.shape)}"
            )
        parts = [self._scored(part) for part in x.split(CHUNK)]
        return torch.cat(parts) if parts else torch.empty(0)

    def _scored(self, x: Tensor) -> Tensor:
        scored: Scored = self.energy_network(x.to(self.engine.device, torch.float32), stream="eval")
        energy = scored.energy
        return energy.reshape(len(x), -1).mean(-1).float().cpu()  # a patch energy has cells

    def _refuse(self, condition: Tensor | None) -> None:
        if condition is not None:
            raise SettingError(
                f"the model {self.job.model} takes no condition (given {describe(condition)})"
            )

    def _find(self, wanted: str | int) -> tuple[Path, list[str]]:
        folder = self.folder.checkpoints
        if wanted == "last":
            return checkpoint.newest_good(folder)
        if wanted == "best":
            entry = read_best(folder)
            if entry is None:
                raise CheckpointError(f"{self.path} has no best checkpoint marked; use last")
            wanted = entry["step"]
        try:
            path = folder / checkpoint.checkpoint_name(int(wanted))
        except ValueError:
            raise SettingError(f"checkpoint {wanted!r}: it is last, best or a step") from None
        if not path.is_dir():
            there = ", ".join(p.name for p in checkpoint.listed(folder)) or "none"
            raise CheckpointError(
                f"{self.path} keeps no checkpoint of step {wanted}; it has {there}"
            )
        return path, []

    def _load(self, energy: nn.Module, sampler: nn.Module, weights: Weights | None) -> Weights:
        stored = checkpoint.read_tensors(self.checkpoint, checkpoint.WEIGHTS)
        averaged = checkpoint.select(stored, "ema.")
        if weights == "ema" and not averaged:
            raise CheckpointError(f"{self.path} kept no averaged weights (training.ema 0); use raw")
        chosen: Weights = weights or ("ema" if averaged else "raw")
        networks = nn.ModuleDict({"energy": energy, "sampler": sampler})
        checkpoint.load_weights(networks, averaged if chosen == "ema" else stored, self.checkpoint)
        return chosen
