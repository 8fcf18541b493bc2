"""On the way: how well a run that learns classes finds those of held-out events."""

from typing import Any

import torch
from torch import Tensor

from energan.core import Model, Scored
from energan.data.dataset import DataSet
from energan.training.hooks import Figures
from energan.training.loop import Loop

EVENTS = 10_000
NUMBERS = EVENTS * 784
"""Of all that is classified: of larger events fewer, but no less than LEAST."""
LEAST = 1000


class HeldOutErrors:
    """`error` and `calibration_error` of held-out events with labels, by the weights to evaluate.

    The first 10,000 of them, always the same, fewer of large events. It is true where there are
    any: where nothing with a label is held out there is nothing to measure.
    """

    def __init__(self, data: DataSet, model: Model) -> None:
        self.held_out, self.rows = data.held_out, torch.empty(0, dtype=torch.long)
        if model.labelled and self.held_out is not None and self.held_out.labels is not None:
            most = min(EVENTS, max(NUMBERS // data.domain.size, LEAST))
            self.rows = (self.held_out.labels.cpu() >= 0).nonzero().flatten()[:most]

    def __bool__(self) -> bool:
        return bool(len(self.rows))

    def __call__(self, loop: Loop) -> Figures:
        """Of a loop that is calibrated."""
        assert self.held_out is not None
        assert self.held_out.labels is not None
        energy: Any = loop.averaged()["energy"]

        def score(x: Tensor) -> Scored:
            with loop.engine.autocast():
                scored: Scored = energy(x.to(loop.engine.device), stream="eval")
            return scored
