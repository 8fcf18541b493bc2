"""Learning a map of cells from images of which it is known where they are anomalous."""

import math
from typing import Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from torch import Tensor

from energan.core import Batch, Context, Draw, Energy, Loss, Objective, Scored, SettingError, Stream
from energan.objectives.fit import Observing, take_in


@runtime_checkable
class CellEnergy(Protocol):
    """An energy that is pooled from logits of cells."""

    def logits(self, x: Tensor, stream: Stream) -> Tensor: ...

    def score(self, logits: Tensor) -> Scored: ...


def focal(logits: Tensor, anomalous: Tensor, focus: float) -> Tensor:
    """Focal loss of each cell, −(1 − p_t)^γ log p_t (Lin et al. 2017, eq. 4).

    Args:
        logits: log-odds that a cell is anomalous, any shape.
        anomalous: 1 for anomalous cells and 0 for normal ones, the same shape.
        focus: γ, at least 0; 0 gives the logistic loss.

    Returns:
        The loss of each cell, the same shape, ≥ 0.
    """
    toward = torch.where(anomalous > 0, logits, -logits)
    crossed = F.softplus(-toward)  # −log p_t
    return torch.sigmoid(-toward).pow(focus) * crossed if focus else crossed


def mark_cells(mask: Tensor, height: int, width: int, share: float) -> Tensor:
    """Which cells (B, h, w) are anomalous, 0 or 1: those whose pixels are so in `share` at least,
    by a mask (B, H, W)."""
    covered = F.adaptive_avg_pool2d(mask[:, None], (height, width))[:, 0]
    return (covered >= share).to(mask.dtype)


class CellwiseFocal(Objective):
    """The focal loss of the cells of draws, by their masks, and of some data, all normal, balanced.

        L = α·E₊ + (1 − α)·E₋ + λ·E log(1 + exp(∓U))

    E₊ is the mean over images with a defect of the mean over their anomalous cells, E₋ that over
    all images of their normal cells, so that a crack counts as much as a region; the last term is
    the logistic loss of the images' energies U, as the energy's `score` gives them. weight: α.
    image: λ. share: see `mark_cells`. normal: the share of the batch, rounded up, that is also seen
    without defects; most normal cells are those around them. An energy that remembers training
    images (`observe`) is shown the data.
    """

    equilibrium = (
        "The loss falls as the network learns to find synthetic defects. It does not show "
        "whether real defects are found."
    )

    def __init__(
        self, focus: float = 1.0, weight: float = 0.2, image: float = 0.2, share: float = 0.3,
        normal: float = 0.5,
    ) -> None:  # fmt: skip
        self.focus, self.weight, self.image, self.share = focus, weight, image, share
        self.normal = normal

    def check(self, energy: Energy) -> None:
        if not isinstance(energy, CellEnergy):
            raise SettingError(
                f"this loss needs an energy with an anomaly map, and {type(energy).__name__} has "
                "none: use AnomalyMap"
            )

    def energy_loss(
        self, energy: Energy, batch: Batch, draw: Draw | None, context: Context
    ) -> Loss:
        assert isinstance(energy, CellEnergy)
        assert draw is not None
        assert draw.mask is not None  # the sampler says where its defects are
        if isinstance(energy, Observing):
            take_in(energy, batch.x, context)
        # in one pass: batch norm would tell the two by their own statistics
        normal = batch.x[: math.ceil(self.normal * len(batch.x))]
        logits = energy.logits(torch.cat([normal, draw.x]), "real")
        masked = mark_cells(draw.mask, logits.shape[-2], logits.shape[-1], self.share)
        anomalous = torch.cat([torch.zeros_like(logits[: len(normal)]), masked])
        u, defective = energy.score(logits).energy, anomalous.flatten(1).any(1)
        total = balanced(focal(logits, anomalous, self.focus), anomalous, self.weight)
        total = total + self.image * F.softplus(torch.where(defective, -u, u)).mean()
        sides = u.detach().split([len(normal), len(draw.x)])
        names = ("energy_real", "energy_fake")
        means = {name: context.rows(side).mean(-1) for name, side in zip(names, sides, strict=True)}
        return Loss(total.reshape(1), means)


def balanced(losses: Tensor, anomalous: Tensor, weight: float) -> Tensor:
    """weight · the mean over images of the mean over their anomalous cells, + (1 − weight) · that
    of their normal cells, without images that have none. losses, anomalous: (B, h, w) -> ()."""
    means = []
    for marks in (anomalous, 1 - anomalous):
        counts = marks.sum((1, 2))
        each = (losses * marks).sum((1, 2)) / counts.clamp_min(1)
        means.append(each.sum() / (counts > 0).sum().clamp_min(1))
    return weight * means[0] + (1 - weight) * means[1]
