"""What is drawn and scored on the way: hooks that see both the networks and the data."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from energan import pictures
from energan.core import Batch, DivergenceError, resting
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


def draw(loop: Loop, count: int, purpose: str, condition: Tensor | None = None) -> Tensor | None:
    """`count` samples in evaluation mode; the same latents for the same purpose at every step.

    condition: labels (count,), for a conditional loop; another one ignores them.
    """
    condition = condition if loop.conditional else None
    networks = loop.averaged()
    sampler: Any = networks["sampler"]
    with resting(networks):
        energy, context = networks["energy"], loop.context(purpose)
        made = sampler.sample(energy, count, condition, loop.state, context)
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
        labels, columns = None, None
        if loop.conditional and self.data.domain.classes:
            labels, columns = pictures.labels_of_a_grid(self.data.domain.classes)
        count = SHOWN_POINTS if points else SHOWN_IMAGES if labels is None else len(labels)
        if labels is not None:
            labels = labels.repeat(-(-count // len(labels)))[:count].to(loop.engine.device)
        x = draw(loop, count, "samples", labels)
        if x is None:
            return
        suffix = ".png" if pictures.drawable(self.data.domain) else ".npz"
        path = self.folder.samples / f"{checkpoint.checkpoint_name(loop.step)}{suffix}"
        reference = self.data.raw(slice(SHOWN_POINTS)) if points else None
        weights = "raw" if loop.ema is None else "ema"
        about = {"step": loop.step, "seed": loop.randomness.seeds[0], "weights": weights}
        pictures.save_samples(
            path, x, self.data.domain, reference=reference, about=about, columns=columns
        )
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
        real, labels = self.real.x, self.real.condition
        if labels is not None:  # those of real events, so that only the events can differ
            labels = labels[torch.arange(self.count) % len(labels)]
        made = draw(loop, self.count, "score", labels)
        if made is not None:
            figures["sliced_wasserstein"] = sliced_wasserstein(made, real)
        if made is not None and len(real) > 1 and bool((real != real[0]).any()):
            figures["variance_ratio"] = variance_ratio(made, real)
        if made is not None and codes is not None and len(codes) > 1:
            # from the mean code of data: codes have a part in common, collapsed or not
            centre = codes.mean(0)
            _, own = _scored(loop, Batch(made, labels))
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


def _first(data: DataSet, count: int, engine: Engine) -> Batch:
    """The first `count` events, with their labels if there are any."""
    rows = torch.arange(min(count, len(data.raw())))
    found = data.gather(rows, engine.dtype, conditions=data.labels is not None)
    condition = None if found.condition is None else found.condition.to(engine.device)
    return Batch(found.x.to(engine.device), condition)


def _scored(loop: Loop, batch: Batch) -> tuple[float, Tensor | None]:
    """The mean energy with the weights to evaluate, and the codes (B, S) if there are any."""
    energy: Any = loop.averaged()["energy"]
    labels: list[Any] = [None] * -(-len(batch.x) // SCORED_AT_ONCE)
    if loop.conditional and batch.condition is not None:
        labels = list(batch.condition.split(SCORED_AT_ONCE))
    parts = zip(batch.x.split(SCORED_AT_ONCE), labels, strict=True)
    with resting(energy):
        scored = [energy(x, y, stream="eval") for x, y in parts]
    codes = [part.code.float() for part in scored if part.code is not None]
    mean = float(torch.cat([part.energy.float().flatten() for part in scored]).mean())
    return mean, torch.cat(codes) if codes else None
