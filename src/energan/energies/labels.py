"""The energy of x without a label, of an energy that is conditioned on labels."""

import torch
from torch import Tensor

from energan.core import Energy, Scored, Stream


class UnderAnyLabel(Energy):
    """U(x | y) where a label is given, else min over y of U(x | y): is x plausible as anything?

    Code, reconstruction and logits are those under the label that is found.
    """

    def __init__(self, energy: Energy, classes: int) -> None:
        super().__init__()
        self.energy, self.classes = energy, classes
        self.nonnegative = energy.nonnegative

    def forward(self, x: Tensor, condition: Tensor | None = None, *, stream: Stream) -> Scored:
        """x (B, *event), condition int64 (B,) or None."""
        if condition is not None:
            return self.energy(x, condition, stream=stream)  # type: ignore[no-any-return]
        labels = [torch.full((len(x),), y, device=x.device) for y in range(self.classes)]
        scored: list[Scored] = [self.energy(x, y, stream=stream) for y in labels]
        energies = torch.stack(
            [s.energy.flatten(1).mean(1) if s.energy.dim() > 1 else s.energy for s in scored]
        )  # (K, B)
        best = energies.argmin(0)

        def chosen(parts: list[Tensor | None]) -> Tensor | None:
            there = [p for p in parts if p is not None]
            return torch.stack(there)[best, torch.arange(len(x))] if there else None

        energy = chosen([s.energy for s in scored])
        assert energy is not None
        return Scored(
            energy,
            chosen([s.code for s in scored]),
            chosen([s.reconstruction for s in scored]),
            chosen([s.logits for s in scored]),
        )
