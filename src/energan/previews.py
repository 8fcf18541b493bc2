"""What is drawn and scored on the way: hooks that see both the networks and the data."""

from typing import Any

import torch
from torch import Tensor

from energan import pictures
from energan.core import DivergenceError, resting
from energan.data.dataset import DataSet
from energan.folder import RunFolder
from energan.metrics import modes_covered, sliced_wasserstein
from energan.training import checkpoint
from energan.training.engine import Engine
from energan.training.hooks import Figures, due
from energan.training.loop import Hook, Loop

SCORED, SHOWN_IMAGES, SHOWN_POINTS = 1000, 64, 2000


def draw(loop: Loop, count: int, purpose: str) -> Tensor | None:
    """`count` samples in evaluation mode; the same latents for the same purpose at every step."""
    networks = loop.averaged()
    sampler: Any = networks["sampler"]
    with resting(networks):
        made = sampler.sample(networks["energy"], count, None, loop.state, loop.context(purpose))
    if made is not None and not bool(made.x.isfinite().all()):
        raise DivergenceError(f"samples are not finite at step {loop.step}")
    return None if made is None else made.x


class SampleGrids(Hook):
    """Every `every` steps, and at the end, a picture of samples of the same latents."""

    def __init__(self, folder: RunFolder, every: int, data: DataSet) -> None:
        self.folder, self.every, self.data = folder, every, data

    def step(self, loop: Loop) -> None:
        if due(loop.step, self.every):
            loop.ranks.first(lambda: self._write(loop))

    def finish(self, loop: Loop) -> None:
        if not due(loop.step, self.every):
            loop.ranks.first(lambda: self._write(loop))

    def _write(self, loop: Loop) -> None:
        points = len(self.data.domain.shape) == 1
        loop.calibrate([loop.averaged()])
        x = draw(loop, SHOWN_POINTS if points else SHOWN_IMAGES, "samples")
        if x is None:
            return
        suffix = ".png" if pictures.drawable(self.data.domain) else ".npz"
        path = self.folder.samples / f"{checkpoint.checkpoint_name(loop.step)}{suffix}"
        reference = self.data.raw(slice(SHOWN_POINTS)) if points else None
        weights = "raw" if loop.ema is None else "ema"
        about = {"step": loop.step, "seed": loop.randomness.seeds[0], "weights": weights}
        pictures.save_samples(path, x, self.data.domain, reference=reference, about=about)
        self.folder.append("samples", path=str(path.relative_to(self.folder.path)), **about)


class Score:
    """Cheap figures for each checkpoint: how far samples are from held-out data.

    1,000 samples and 1,000 held-out events, with averaged weights where there are any.
    """

    def __init__(self, data: DataSet, engine: Engine) -> None:
        self.data = data
        held_out = data.held_out if data.held_out is not None else data
        count = min(SCORED, len(held_out))
        self.real = held_out.gather(torch.arange(count), engine.dtype).x.to(engine.device)

    def __call__(self, loop: Loop) -> Figures:
        energy: Any = loop.averaged()["energy"]
        with resting(energy):
            scored = energy(self.real, None, stream="eval").energy
        figures = {"held_out_energy": float(scored.float().mean())}
        made = draw(loop, SCORED, "score")
        if made is not None:
            figures["sliced_wasserstein"] = sliced_wasserstein(made, self.real)
        if made is not None and self.data.modes is not None and self.data.mode_std is not None:
            found = modes_covered(made, self.data.modes, self.data.mode_std)
            figures["modes"] = float(found.covered)
            figures["high_quality_share"] = found.high_quality_share
        return figures
