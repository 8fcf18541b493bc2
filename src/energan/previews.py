"""What is drawn and scored on the way: hooks that see both the networks and the data."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from energan import pictures
from energan.core import DivergenceError, resting
from energan.data.dataset import DataSet
from energan.folder import RunFolder
from energan.metrics import modes_covered, sliced_wasserstein, variance_ratio
from energan.objectives import pull_away
from energan.training import checkpoint
from energan.training.engine import Engine
from energan.training.hooks import Figures, due
from energan.training.loop import Hook, Loop

Judge = Callable[[Loop], Figures]
"""Scores a loop at rest, its evaluation statistics measured."""
SCORED, SCORED_AT_ONCE, LEAST_SCORED = 1000, 250, 125
NUMBERS = SCORED * 3 * 64 * 64
"""Of all that is scored: images above 64×64 are fewer, but no less than LEAST_SCORED."""
SHOWN_IMAGES, SHOWN_POINTS = 64, 2000


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
    """Every `every` steps, and at the end, a picture of samples of the same latents.

    listeners: each is called with the step and the picture, uint8 (H, W, 3).
    """

    def __init__(self, folder: RunFolder, every: int, data: DataSet) -> None:
        self.folder, self.every, self.data = folder, every, data
        self.listeners: list[Callable[[int, NDArray[np.uint8]], None]] = []

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
        if suffix == ".png":
            for listener in self.listeners:
                listener(loop.step, pictures.pixels(path))


class Score:
    """Cheap figures for each checkpoint: how far samples are from held-out data.

    1,000 samples and 1,000 held-out events, fewer of images above 64×64, with averaged weights
    where there are any. judge adds figures of its own.
    """

    def __init__(self, data: DataSet, engine: Engine, judge: Judge | None = None) -> None:
        self.data, self.judge = data, judge
        held_out = data.held_out if data.held_out is not None else data
        self.count = min(SCORED, max(NUMBERS // data.domain.size, LEAST_SCORED))
        self.real, self.training = (_first(p, self.count, engine) for p in (held_out, data))

    def __call__(self, loop: Loop) -> Figures:
        held_out, codes = _scored(loop, self.real)
        training, _ = _scored(loop, self.training)
        figures = {"train_energy": training}
        if self.data.held_out is not None:
            figures["held_out_energy"] = held_out
        made = draw(loop, self.count, "score")
        if made is not None:
            figures["sliced_wasserstein"] = sliced_wasserstein(made, self.real)
        if made is not None and len(self.real) > 1 and bool((self.real != self.real[0]).any()):
            figures["variance_ratio"] = variance_ratio(made, self.real)
        if made is not None and codes is not None and len(codes) > 1:
            # from the mean code of data: codes have a part in common, collapsed or not
            centre = codes.mean(0)
            _, own = _scored(loop, made)
            assert own is not None
            figures["code_similarity"] = float(pull_away(own - centre))
            figures["code_similarity_real"] = float(pull_away(codes - centre))
        if made is not None and self.data.modes is not None and self.data.mode_std is not None:
            found = modes_covered(made, self.data.modes, self.data.mode_std)
            figures["modes"] = float(found.covered)
            figures["high_quality_share"] = found.high_quality_share
        if self.judge is not None:
            figures |= self.judge(loop)
        return figures


def _first(data: DataSet, count: int, engine: Engine) -> Tensor:
    """The first `count` events."""
    rows = torch.arange(min(count, len(data.raw())))
    return data.gather(rows, engine.dtype).x.to(engine.device)


def _scored(loop: Loop, x: Tensor) -> tuple[float, Tensor | None]:
    """The mean energy of x with the weights to evaluate, and the codes (B, S) if there are any."""
    energy: Any = loop.averaged()["energy"]
    with resting(energy):
        parts = [energy(part, None, stream="eval") for part in x.split(SCORED_AT_ONCE)]
    codes = [part.code.float() for part in parts if part.code is not None]
    mean = float(torch.cat([part.energy.float().flatten() for part in parts]).mean())
    return mean, torch.cat(codes) if codes else None
