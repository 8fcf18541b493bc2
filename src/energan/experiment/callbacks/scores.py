"""The figures of each checkpoint: how far samples are from held-out data."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from energan.core import Batch, evaluating
from energan.data.dataset import DataSet
from energan.experiment.callbacks.held_out import HeldOutErrors
from energan.experiment.callbacks.samples import draw
from energan.metrics.distance import sliced_wasserstein
from energan.metrics.diversity import variance_ratio
from energan.metrics.images import l1
from energan.metrics.modes import modes_covered
from energan.objectives import pull_away
from energan.training.device import Device
from energan.training.hooks import Figures
from energan.training.train_state import TrainState

CheckpointMetric = Callable[[TrainState], Figures]
"""Scores a loop at rest, its evaluation statistics measured."""
SCORED, AT_ONCE, LEAST = 1000, 250, 125
NUMBERS = SCORED * 3 * 64 * 64
"""Numbers of samples to score: fewer of images above 64×64, but at least LEAST."""
SCORED_PAIRS = 100


class Score:
    """Cheap figures for each checkpoint: how far samples are from held-out data.

    1,000 samples and 1,000 held-out examples, fewer of images above 64×64, with averaged weights
    where there are any. Of models that classify the error on held-out labels too. metric adds
    figures of its own.
    """

    def __init__(
        self, data: DataSet, engine: Device, metric: CheckpointMetric | None = None
    ) -> None:
        self.data, self.metric, self.errors = data, metric, HeldOutErrors(data)
        held_out = data.held_out if data.held_out is not None else data
        self.count = min(SCORED, max(NUMBERS // data.domain.size, LEAST))
        if data.domain.paired:
            self.count = min(SCORED_PAIRS, len(held_out))
        self.real, self.training = (_first(p, self.count, engine) for p in (held_out, data))

    def __call__(self, loop: TrainState) -> Figures:
        held_out, codes = _scored(loop, self.real)
        training, _ = _scored(loop, self.training)
        figures = {"train_energy": training}
        if self.data.held_out is not None:
            figures["held_out_energy"] = held_out
        figures |= self.errors(loop)
        real, labels = self.real.x, self.real.condition
        if labels is not None:  # those of real data, so that only x can differ
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
    """The first `count` examples, with their labels or conditions if there are any."""
    rows = torch.arange(min(count, data.in_memory))
    found = data.gather(rows, engine.dtype, conditions=data.labels is not None)
    condition = None if found.condition is None else found.condition.to(engine.device)
    return Batch(found.x.to(engine.device), condition)


def _scored(loop: TrainState, batch: Batch) -> tuple[float, Tensor | None]:
    """The mean energy with the weights to evaluate, and the codes (B, S) if there are any."""
    energy: Any = loop.averaged()["energy"]
    labels: list[Any] = [None] * -(-len(batch.x) // AT_ONCE)
    if loop.conditional and batch.condition is not None:
        labels = list(batch.condition.split(AT_ONCE))
    parts = zip(batch.x.split(AT_ONCE), labels, strict=True)
    with evaluating(energy):
        scored = [energy(x, y, stream="eval") for x, y in parts]
    codes = [part.code.float() for part in scored if part.code is not None]
    mean = float(torch.cat([part.energy.float().flatten() for part in scored]).mean())
    return mean, torch.cat(codes) if codes else None
