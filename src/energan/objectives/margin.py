"""Margin losses of a non-negative energy, per sample and then averaged (LeCun et al. 2006).

All take energies real (..., N) and fake (..., N') and the margin m ((..., 1) or a number), reduce
the last axis and give (...).
"""

import torch.nn.functional as F
from torch import Tensor

from energan.core import Context, Energy, SettingError
from energan.objectives.descent import Descent


def hinge(real: Tensor, fake: Tensor, margin: Tensor | float) -> Tensor:
    """E U(x) + E [m − U(G(z))]^+ (Zhao et al. 2017, eq. 1). The hinge is on each sample."""
    return real.mean(-1) + F.relu(margin - fake).mean(-1)


def square_square(real: Tensor, fake: Tensor, margin: Tensor | float) -> Tensor:
    """E U(x)² + E ([m − U(G(z))]^+)²."""
    return real.square().mean(-1) + F.relu(margin - fake).square().mean(-1)


def log_loss(real: Tensor, fake: Tensor) -> Tensor:
    """E softplus(U(x) − U(G(z))) over pairs: the i-th real sample with the i-th fake one."""
    if real.shape != fake.shape:
        raise ValueError(
            f"the log loss compares pairs, and a batch has {real.shape[-1]} real and "
            f"{fake.shape[-1]} fake energies: use the same number of each"
        )
    return F.softplus(real - fake).mean(-1)


class Hinge(Descent):
    """EBGAN as published."""

    equilibrium = (
        "L_D settles near m at the equilibrium of theorem 1 (Zhao et al. 2017). If it is far "
        "below, the energy tells samples from data too easily."
    )
    settles_at: str | None = "margin"

    def check(self, energy: Energy) -> None:
        if not energy.nonnegative:
            raise SettingError(
                f"a margin needs an energy that is never negative, and {type(energy).__name__} "
                "can be negative: use a reconstruction energy, or the logistic objective"
            )

    def contrast(self, real: Tensor, fake: Tensor, context: Context) -> Tensor:
        return hinge(real, fake, context.hyper["margin"])


class SquareSquare(Hinge):
    """The hinge with both terms squared."""

    equilibrium = ""  # theorem 1 is of the hinge
    settles_at = None

    def contrast(self, real: Tensor, fake: Tensor, context: Context) -> Tensor:
        return square_square(real, fake, context.hyper["margin"])

    def data_term(self, real: Tensor) -> Tensor:
        return real.square().mean(-1)


class Log(Descent):
    """A soft margin on the difference of pairs; it has no m, and any energy will do."""

    def contrast(self, real: Tensor, fake: Tensor, context: Context) -> Tensor:
        return log_loss(real, fake)
