"""The objectives without a margin.

With a generator, `Contrastive`; with chains on the energy itself, `MaximumLikelihood`: the gradient
of −log q(x) for q = exp(−U)/Z is ∇U(x) − E_q ∇U, and chains stand in for q.
"""

from typing import Literal

import torch
from torch import Tensor
from torch.nn.utils import parametrize

from energan.core import Batch, Context, Draw, Energy, Loss, Objective
from energan.objectives.descent import Descent

L2 = Literal["sum", "difference"]


def contrastive(real: Tensor, fake: Tensor) -> Tensor:
    """Difference of mean energies, E U(x) − E U(G(z)).

    Without a penalty the energy of samples grows without bound.

    Args:
        real: energies of data, (..., N).
        fake: energies of samples, (..., N').

    Returns:
        (...).
    """
    return real.mean(-1) - fake.mean(-1)


def energy_l2(real: Tensor, fake: Tensor, kind: L2 = "sum") -> Tensor:
    """Penalty on squared energies, E U(x)² + E U(x̃)² (Du & Mordatch 2019, section 3.3).

    It keeps both energies near 0.

    Args:
        real: energies of data, (..., N).
        fake: energies of samples, (..., N').
        kind: "sum"; or "difference" for E U(x)² − E U(x̃)², as later texts print it, which
            bounds nothing.

    Returns:
        (...).
    """
    of_real, of_fake = real.square().mean(-1), fake.square().mean(-1)
    return of_real + of_fake if kind == "sum" else of_real - of_fake


class Contrastive(Descent):
    """Objective that lowers the energy of data and raises that of samples, without a margin.

    With a gradient penalty it is the Wasserstein GAN, whose critic is −U (Gulrajani et al.
    2017).
    """

    def contrast(self, real: Tensor, fake: Tensor, context: Context) -> Tensor:
        return contrastive(real, fake)


class MaximumLikelihood(Objective):
    """Objective of IGEBM: E U(x) − E U(x̃) + λ(E U(x)² + E U(x̃)²), x̃ from chains (Du & Mordatch
    2019).

    λ is the scheduled value "energy_l2".

    Args:
        l2: form of the penalty; see `energy_l2`.
        data_noise: standard deviation of Gaussian noise added to the data, so that values on a
            grid, such as pixels, have a density.
        low: smallest value of chains; noisy data is clamped to it too.
        high: largest value of chains; noisy data is clamped to it too.
    """

    def __init__(
        self,
        l2: L2 = "sum",
        data_noise: float = 0.0,
        low: float | None = None,
        high: float | None = None,
    ) -> None:
        self.l2: L2 = l2
        self.data_noise, self.low, self.high = data_noise, low, high

    def energy_loss(
        self, energy: Energy, batch: Batch, draw: Draw | None, context: Context
    ) -> Loss:
        assert draw is not None  # chains never rest
        x = self.noisy(batch.x, context)
        with parametrize.cached():  # both are of one U: spectral norm moves on by one iteration
            real = context.rows(energy(x, batch.condition, stream="real").energy)
            fake = context.rows(energy(draw.x, draw.condition, stream="fake").energy)
        total = contrastive(real, fake)
        if "energy_l2" in context.hyper:
            weight = context.hyper["energy_l2"].squeeze(-1)
            total = total + weight * energy_l2(real, fake, self.l2)
        return Loss(
            total,
            {"energy_real": real.detach().mean(-1), "energy_fake": fake.detach().mean(-1)},
        )

    def noisy(self, x: Tensor, context: Context) -> Tensor:
        """Data x (B, *event), or (M, B, *event), with its noise."""
        if not self.data_noise:
            return x
        event = x.shape[1:] if context.members == 1 else x.shape[2:]
        count = x.shape[0 if context.members == 1 else 1]
        x = torch.add(x, context.generator.normal(count, *event), alpha=self.data_noise)
        return x if self.low is None and self.high is None else x.clamp_(self.low, self.high)
