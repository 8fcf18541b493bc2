"""The GAN's value function as an energy objective (Goodfellow et al. 2014): D = sigmoid(−U).

Energies (..., N) -> (...). softplus keeps the logarithms exact where D is 0 or 1.
"""

from typing import Annotated, Literal

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from energan.core import Batch, Context, Draw, Energy, Loss, Objective
from energan.objectives.penalties import score_pair

SamplerLoss = Annotated[
    Literal["non-saturating", "minimax"],
    Field(description="which of the two losses the generator minimises"),
]


def logistic(real: Tensor, fake: Tensor) -> Tensor:
    """Loss of a GAN's discriminator, with D = sigmoid(−U) (Goodfellow et al. 2014, eq. 1).

        −E log D(x) − E log(1 − D(G(z))) = E softplus(U(x)) + E softplus(−U(G(z)))

    Args:
        real: energies of data, (..., N).
        fake: energies of samples, (..., N').

    Returns:
        (...), ≥ 0; 2 ln 2 if all energies are 0.
    """
    return F.softplus(real).mean(-1) + F.softplus(-fake).mean(-1)


def non_saturating(fake: Tensor) -> Tensor:
    """Non-saturating generator loss, −E log D(G(z)) = E softplus(U(G(z))) (Goodfellow et al. 2014,
    section 3).

    Its gradient stays large where D recognises the samples.

    Args:
        fake: energies of samples, (..., N).

    Returns:
        (...), ≥ 0.
    """
    return F.softplus(fake).mean(-1)


def minimax(fake: Tensor) -> Tensor:
    """Minimax generator loss, E log(1 − D(G(z))) = −E softplus(−U(G(z))) (Goodfellow et al. 2014,
    eq. 1).

    Its gradient vanishes where D recognises the samples.

    Args:
        fake: energies of samples, (..., N).

    Returns:
        (...), ≤ 0.
    """
    return -F.softplus(-fake).mean(-1)


class Logistic(Objective):
    """Objective of a GAN: `logistic` for the energy.

    Args:
        sampler: loss of the generator, "non-saturating" or "minimax".
    """

    equilibrium = (
        "If samples cannot be told from data, L_D is 2 ln 2 ≈ 1.39 (Goodfellow et al. 2014). "
        "Near 0 the generator hardly learns."
    )

    def __init__(self, sampler: SamplerLoss = "non-saturating") -> None:
        self.of_fakes = non_saturating if sampler == "non-saturating" else minimax

    def energy_loss(
        self, energy: Energy, batch: Batch, draw: Draw | None, context: Context
    ) -> Loss:
        assert draw is not None  # the logistic loss has no form without fakes
        pair = score_pair(energy, batch, draw, context)
        return pair.loss(logistic(pair.real, pair.fake))

    def sampler_loss(self, energy: Energy, batch: Batch, draw: Draw, context: Context) -> Loss:
        fake = context.rows(energy(draw.x, draw.condition, stream="fake").energy)
        return Loss(self.of_fakes(fake))
