"""The energy of x without a label, of an energy that is conditioned on labels."""

import torch
from torch import Tensor

from energan.core import Energy, Scored, Stream


class MinimumOverLabels(Energy):
    """Energy of a conditional model for examples without a label: min over y of U(x | y).

    With a label it is U(x | y). Code, reconstruction, logits and map are those of the label
    found.

    Args:
        energy: a conditional energy.
        classes: number of classes.
    """

    def __init__(self, energy: Energy, classes: int) -> None:
        super().__init__()
        self.energy, self.classes = energy, classes
        self.nonnegative = energy.nonnegative
        self.fully_convolutional = energy.fully_convolutional

    def forward(self, x: Tensor, condition: Tensor | None = None, *, stream: Stream) -> Scored:
        """x (B, *event), condition int64 (B,) or None."""
        if condition is not None:
            return self.energy(x, condition, stream=stream)  # type: ignore[no-any-return]
        best: Scored | None = None
        for y in range(self.classes):  # two at a time: all of them would be many reconstructions
            found = self.energy(x, torch.full((len(x),), y, device=x.device), stream=stream)
            best = found if best is None else _lower(best, found)
        assert best is not None
        return best


def _lower(a: Scored, b: Scored) -> Scored:
    """Of each event the one with the lower energy; a's where they are equal."""
    lower = _mean(b.energy) < _mean(a.energy)

    def chosen(one: Tensor | None, other: Tensor | None) -> Tensor | None:
        if one is None or other is None:
            return None
        return torch.where(lower.view(-1, *[1] * (one.dim() - 1)), other, one)

    energy = chosen(a.energy, b.energy)
    assert energy is not None
    return Scored(
        energy,
        chosen(a.code, b.code),
        chosen(a.reconstruction, b.reconstruction),
        chosen(a.logits, b.logits),
        chosen(a.map, b.map),
    )


def _mean(energy: Tensor) -> Tensor:
    """(B,) of (B,) or of cells (B, ...)."""
    return energy.flatten(1).mean(1) if energy.dim() > 1 else energy
