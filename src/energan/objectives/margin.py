"""Margin losses of a non-negative energy, per sample and then averaged (LeCun et al. 2006).

All take energies real (..., N) and fake (..., N') and the margin m ((..., 1) or a number), reduce
the last axis and give (...).
"""

import torch.nn.functional as F
from torch import Tensor

from energan.core import Context, Energy, SettingError
from energan.objectives.descent import Descent


def hinge(real: Tensor, fake: Tensor, margin: Tensor | float) -> Tensor:
    """Loss of EBGAN's discriminator, E U(x) + E [m − U(G(z))]^+ (Zhao et al. 2017, eq. 1).

    Args:
        real: energies of data, (..., N), ≥ 0.
        fake: energies of samples, (..., N'), ≥ 0.
        margin: m, a number or (..., 1). The hinge applies to each sample, before the mean.

    Returns:
        (...), ≥ 0.
    """
    return real.mean(-1) + F.relu(margin - fake).mean(-1)


def square_square(real: Tensor, fake: Tensor, margin: Tensor | float) -> Tensor:
    """Squared margin loss, E U(x)² + E ([m − U(G(z))]^+)² (LeCun et al. 2006).

    Arguments and result as for `hinge`.
    """
    return real.square().mean(-1) + F.relu(margin - fake).square().mean(-1)


def log_loss(real: Tensor, fake: Tensor) -> Tensor:
    """Soft margin loss over pairs, E softplus(U(x) − U(G(z))) (LeCun et al. 2006).

    Args:
        real: energies of data, (..., N).
        fake: energies of samples, (..., N); the i-th is paired with the i-th of `real`.

    Returns:
        (...), ≥ 0.

    Raises:
        ValueError: if shapes differ.
    """
    if real.shape != fake.shape:
        raise ValueError(
            f"the log loss compares pairs, and a batch has {real.shape[-1]} real and "
            f"{fake.shape[-1]} fake energies: use the same number of each"
        )
    return F.softplus(real - fake).mean(-1)


class Hinge(Descent):
    """Objective of EBGAN: `hinge` for the energy, its mean over samples for the generator.

    The scheduled value "margin" is m. Needs a non-negative energy.
    """

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
    """Objective with `square_square` in place of the hinge."""

    equilibrium = ""  # theorem 1 is of the hinge
    settles_at = None

    def contrast(self, real: Tensor, fake: Tensor, context: Context) -> Tensor:
        return square_square(real, fake, context.hyper["margin"])

    def data_term(self, real: Tensor) -> Tensor:
        return real.square().mean(-1)


class Log(Descent):
    """Objective with `log_loss`; it has no margin, and any energy can be used."""

    def contrast(self, real: Tensor, fake: Tensor, context: Context) -> Tensor:
        return log_loss(real, fake)
