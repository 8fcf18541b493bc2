"""Learning a map of cells from images of which it is known where they are anomalous."""

from typing import Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from torch import Tensor

from energan.core import Batch, Context, Draw, Energy, Loss, Objective, Scored, SettingError, Stream


@runtime_checkable
class CellEnergy(Protocol):
    """An energy that is pooled from logits of cells."""

    def logits(self, x: Tensor, stream: Stream) -> Tensor: ...

    def score(self, logits: Tensor) -> Scored: ...


def focal(logits: Tensor, anomalous: Tensor, focus: float, weight: float = 0.5) -> Tensor:
    """−α_t (1 − p_t)^γ log p_t of each cell (Lin et al. 2017, eq. 5), all of one shape.

    anomalous: 0 or 1; p_t is the probability given to what the cell is, by p = sigmoid(logit).
    focus: γ; at 0 it is the logistic loss times α_t. weight: α of anomalous cells, 1 − α of others.
    """
    toward = torch.where(anomalous > 0, logits, -logits)
    alpha = torch.where(anomalous > 0, weight, 1 - weight)
    crossed = F.softplus(-toward)  # −log p_t
    return alpha * torch.sigmoid(-toward).pow(focus) * crossed if focus else alpha * crossed


def mark_cells(mask: Tensor, height: int, width: int, share: float) -> Tensor:
    """Which cells (B, h, w) are anomalous, 0 or 1: those whose pixels are so in `share` at least,
    by a mask (B, H, W)."""
    covered = F.adaptive_avg_pool2d(mask[:, None], (height, width))[:, 0]
    return (covered >= share).to(mask.dtype)


class CellwiseFocal(Objective):
    """The focal loss of the cells of data, all normal, and of draws, by their masks.

        L = Σ focal / √(N · max(N₊, 1))

    over all cells of both batches, N of them and N₊ anomalous: between the mean over all cells and
    that of Lin et al., over the anomalous ones. share: see `mark_cells`.
    """

    equilibrium = (
        "The loss falls as far as synthetic defects can be told from what is normal; whether real "
        "ones can, it does not say."
    )

    def __init__(self, focus: float = 2.0, weight: float = 0.5, share: float = 0.3) -> None:
        self.focus, self.weight, self.share = focus, weight, share

    def check(self, energy: Energy) -> None:
        if not isinstance(energy, CellEnergy):
            raise SettingError(
                f"a loss of cells needs an energy that has some, and {type(energy).__name__} has "
                "none: use an anomaly map"
            )

    def energy_loss(
        self, energy: Energy, batch: Batch, draw: Draw | None, context: Context
    ) -> Loss:
        assert isinstance(energy, CellEnergy)
        assert draw is not None
        assert draw.mask is not None  # the sampler says where its defects are
        # in one pass: batch norm would tell the two by their own statistics
        real, fake = energy.logits(torch.cat([batch.x, draw.x]), "real").tensor_split(2)
        anomalous = mark_cells(draw.mask, fake.shape[-2], fake.shape[-1], self.share)
        losses = (
            focal(real, torch.zeros_like(real), self.focus, self.weight),
            focal(fake, anomalous, self.focus, self.weight),
        )
        count = real.numel() + fake.numel()
        total = sum(loss.sum() for loss in losses) / (count * anomalous.sum().clamp_min(1)).sqrt()
        means = {
            name: context.rows(energy.score(logits.detach()).energy).mean(-1)
            for name, logits in (("energy_real", real), ("energy_fake", fake))
        }
        return Loss(total.reshape(1), means)
