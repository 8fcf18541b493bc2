"""What is drawn and scored on the way: hooks that see both the networks and the data."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from energan.core import Batch, DivergenceError, evaluating
from energan.data.dataset import DataSet
from energan.experiment.callbacks.held_out import HeldOutErrors
from energan.io import pictures
from energan.io.run_folder import RunFolder
from energan.metrics import l1, modes_covered, sliced_wasserstein, variance_ratio
from energan.objectives import pull_away
from energan.training import checkpoint
from energan.training.device import Device
from energan.training.hooks import Figures, Periodic
from energan.training.loop import Loop

CheckpointMetric = Callable[[Loop], Figures]
"""Scores a loop at rest, its evaluation statistics measured."""
SCORED, SCORED_AT_ONCE, LEAST_SCORED = 1000, 250, 125
NUMBERS = SCORED * 3 * 64 * 64
"""Of all that is scored: images above 64×64 are fewer, but no less than LEAST_SCORED."""
SCORED_PAIRS, PAIRS_AT_ONCE = 100, 2**20
"""Pairs that are scored, and numbers of sources that are translated together."""
SHOWN_IMAGES, SHOWN_POINTS, SHOWN_PAIRS, PAIRS_IN_A_ROW = 64, 2000, 8, 2


def draw(loop: Loop, count: int, purpose: str, condition: Tensor | None = None) -> Tensor | None:
    """`count` samples in evaluation mode; the same latents for the same purpose at every step.

    condition: labels (count,), or what else the loop's networks are conditioned on, one for each
    sample; a loop without conditions ignores them.
    """
    condition = condition if loop.conditional else None
    at_once = count
    if condition is not None and condition.dim() > 1:
        at_once = max(1, PAIRS_AT_ONCE // condition[0].numel())
    networks, parts = loop.averaged(), []
    sampler: Any = networks["sampler"]
    with evaluating(networks):
        for start in range(0, count, at_once):
            context = loop.context(purpose, start) if start else loop.context(purpose)
            own = condition if condition is None else condition[start : start + at_once]
            size = min(at_once, count - start)
            made = sampler.sample(networks["energy"], size, own, loop.state, context)
            if made is None:
                return None
            parts.append(made.x)
    x = torch.cat(parts)
    if not bool(x.isfinite().all()):
        raise DivergenceError(f"samples are not finite at step {loop.step}")
    return x


class SampleGrids(Periodic):
    """Every `every` steps, and at the end, a picture of samples of the same latents.

    listeners: each is called with the step and the picture, uint8 (H, W, 3).
    """

    def __init__(self, folder: RunFolder, every: int, data: DataSet) -> None:
        super().__init__(every)
        self.folder, self.data = folder, data
        self.what = folder.samples.name
        self.listeners: list[Callable[[int, NDArray[np.uint8]], None]] = []

    def _write(self, loop: Loop) -> None:
        domain = self.data.domain
        points = len(domain.shape) == 1
        loop.estimate_statistics([loop.averaged()])
        conditions, columns, shown = self._conditions(loop)
        count = SHOWN_POINTS if points else SHOWN_IMAGES
        x = draw(loop, count if conditions is None else len(conditions), "samples", conditions)
        if x is None:
            return
        if shown is not None:
            x, domain = pictures.strips([*shown, x.cpu()], domain)
        suffix = ".png" if pictures.drawable(domain) else ".npz"
        path = self.folder.samples / f"{checkpoint.checkpoint_name(loop.step)}{suffix}"
        reference = self.data.raw(slice(SHOWN_POINTS)) if points else None
        weights = "raw" if loop.ema is None else "ema"
        about = {"step": loop.step, "seed": loop.randomness.seeds[0], "weights": weights}
        pictures.save_samples(path, x, domain, reference=reference, about=about, columns=columns)
        self.folder.append("samples", path=str(path.relative_to(self.folder.path)), **about)
        if suffix == ".png":
            for listener in self.listeners:
                listener(loop.step, pictures.pixels(path))

    def _conditions(self, loop: Loop) -> tuple[Tensor | None, int | None, list[Tensor] | None]:
        """What samples are made of, the grid's columns, and what is shown before each sample.

        Labels stand a class a row; of pairs the source and the target go before what is made.
        """
        domain, device = self.data.domain, loop.engine.device
        if domain.condition_shape is not None:
            kept = self.data if self.data.held_out is None else self.data.held_out
            most = SHOWN_PAIRS if domain.paired else SHOWN_POINTS
            found = kept.gather(torch.arange(min(most, len(kept))), loop.engine.dtype)
            assert found.condition is not None
            shown = [found.condition, found.x] if domain.paired else None
            columns = PAIRS_IN_A_ROW * 3 if domain.paired else None
            return found.condition.to(device), columns, shown
        if not loop.conditional or not domain.classes:
            return None, None, None
        labels, columns = pictures.labels_of_a_grid(domain.classes)
        if len(domain.shape) == 1:
            labels = labels.repeat(-(-SHOWN_POINTS // len(labels)))[:SHOWN_POINTS]
        return labels.to(device), columns, None


class Score:
    """Cheap figures for each checkpoint: how far samples are from held-out data.

    1,000 samples and 1,000 held-out events, fewer of images above 64×64, with averaged weights
    where there are any. Of models that classify the error on held-out labels too. metric adds
    figures of its own.
    """

    def __init__(
        self, data: DataSet, engine: Device, metric: CheckpointMetric | None = None
    ) -> None:
        self.data, self.metric, self.errors = data, metric, HeldOutErrors(data)
        held_out = data.held_out if data.held_out is not None else data
        self.count = min(SCORED, max(NUMBERS // data.domain.size, LEAST_SCORED))
        if data.domain.paired:
            self.count = min(SCORED_PAIRS, len(held_out))
        self.real, self.training = (_first(p, self.count, engine) for p in (held_out, data))

    def __call__(self, loop: Loop) -> Figures:
        held_out, codes = _scored(loop, self.real)
        training, _ = _scored(loop, self.training)
        figures = {"train_energy": training}
        if self.data.held_out is not None:
            figures["held_out_energy"] = held_out
        figures |= self.errors(loop)
        real, labels = self.real.x, self.real.condition
        if labels is not None:  # those of real events, so that only the events can differ
            labels = labels[torch.arange(self.count) % len(labels)]
        made = draw(loop, self.count, "score", labels)
        if made is not None:
            figures["sliced_wasserstein"] = sliced_wasserstein(made, real)
        if made is not None and self.data.domain.paired:
            low, high = self.data.domain.low, self.data.domain.high
            assert low is not None
            assert high is not None
            figures["l1"] = float(l1(made, real).mean()) / (high - low)  # as `evaluate` tells it
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
        if self.metric is not None:
            figures |= self.metric(loop)
        return figures


def _first(data: DataSet, count: int, engine: Device) -> Batch:
    """The first `count` events, with their labels or conditions if there are any."""
    there = data.events if data.rows is None else data.rows  # a stream holds its first events alone
    rows = torch.arange(min(count, len(there)))
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
    with evaluating(energy):
        scored = [energy(x, y, stream="eval") for x, y in parts]
    codes = [part.code.float() for part in scored if part.code is not None]
    mean = float(torch.cat([part.energy.float().flatten() for part in scored]).mean())
    return mean, torch.cat(codes) if codes else None
