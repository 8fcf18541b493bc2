"""Energies by the regression of their gradient, without chains; ε and n are N(0, I).

    energy matching         −T·∇U(x_t) on x₁ − x₀,       x_t = (1 − t)x₀ + t x₁    (Balcerak et al.
                            x₀ noise and x₁ data in pairs of optimal transport      2025, eq. 5)
                            then also λ·T·(E U(x) − E U(x̃)), x̃ chains at temperature T
    equilibrium matching    ∇U(x_γ) on c(γ)(ε − x),      x_γ = γx + (1 − γ)ε       (Wang & Du 2025)
    denoising               ∇U(x + σn) on n/σ, times σ², σ one of several          (Vincent 2011;
                                                                       Song & Ermon 2019, eq. 5, 6)

A squared error is the mean over the numbers of an event. U is of each event by itself.
"""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from energan.core import (
    Batch,
    Context,
    Draw,
    Energy,
    Loss,
    Objective,
    exact,
    potential,
    value_and_gradient,
)


@dataclass(frozen=True)
class Target:
    """What the gradient of the energy is regressed on.

    Attributes:
        x: points, (B, *event), or (M, B, *event) for M seeds that train together.
        gradient: the gradient that ∇U should have there, of the same shape.
        weight: weight of each squared error, (B,) or (M, B).
    """

    x: Tensor
    gradient: Tensor
    weight: Tensor


class GradientRegression(Objective):
    """Base class of objectives that regress the gradient of the energy, E w·‖s·∇U(x) − g‖²/D.

    Subclasses define x, g and w in `target`, and s as `scale`.
    """

    scale = 1.0

    @abstractmethod
    def target(self, x: Tensor, context: Context) -> Target:
        """Of data x (B, *event), or (M, B, *event) of a cohort."""

    def energy_loss(
        self, energy: Energy, batch: Batch, draw: Draw | None, context: Context
    ) -> Loss:
        error = self.error(energy, exact(batch.x), context)
        return Loss(error, {"regression": error.detach()})

    def error(self, energy: Energy, x: Tensor, context: Context) -> Tensor:
        """The regression's loss (M,), with a graph to the parameters."""
        to = self.target(x, context)
        members = context.members
        of = potential(energy, stream="real", members=members)
        _, gradient = value_and_gradient(of, to.x, members=members, create_graph=True)
        errors = context.events(self.scale * gradient - to.gradient).square().mean(-1)
        return (context.rows(to.weight) * errors).mean(-1)


class EnergyMatching(GradientRegression):
    """Objective of Energy Matching (Balcerak et al. 2025).

    The scheduled value "contrast" is λ, the weight of the contrastive term for steps with
    negatives.

    Args:
        temperature: T; chains at this temperature have the density exp(−U)/Z.
        ramp: time τ* from which the temperature rises.
        floor: lower bound of the contrastive term, as a positive number: negatives far above the
            data have no effect.
        fades: whether the weight of the regression falls to 0 between τ* and t = 1.
    """

    equilibrium = (
        "The regression cannot fall below the variance of x₁ − x₀ given x_t. The contrastive "
        "term is near 0 once chains at temperature match the data."
    )

    def __init__(self, temperature: float, ramp: float, floor: float, *, fades: bool) -> None:
        self.scale, self.ramp, self.floor, self.fades = temperature, ramp, floor, fades

    def target(self, x: Tensor, context: Context) -> Target:
        lead = 1 if context.members == 1 else 2
        noise = transport(context.generator.normal(*x.shape[lead - 1 :]).to(x), x, lead)
        t = context.generator.uniform(0, 1, x.shape[lead - 1]).to(x)
        at = torch.lerp(noise, x, t.view(*t.shape, *[1] * (x.dim() - lead)))
        weight = torch.ones_like(t)
        if self.fades and self.ramp < 1:
            weight = ((1 - t) / (1 - self.ramp)).clamp_max(1)
        return Target(at, noise - x, weight)

    def energy_loss(
        self, energy: Energy, batch: Batch, draw: Draw | None, context: Context
    ) -> Loss:
        loss = super().energy_loss(energy, batch, draw, context)
        if draw is None:
            return loss
        real = self.scale * context.rows(energy(batch.x, stream="real").energy).mean(-1)
        fake = self.scale * context.rows(energy(draw.x, stream="fake").energy).mean(-1)
        contrast = context.hyper["contrast"].squeeze(-1) * (real - fake)
        contrast = contrast.clamp_min(-self.floor)
        # V and not U, whose scale is 1/T: rules of health take differences of U for logits
        parts = {"potential_real": real.detach(), "potential_fake": fake.detach()}
        return Loss(loss.total + contrast, {**loss.parts, **parts, "contrast": contrast.detach()})


class EquilibriumMatching(GradientRegression):
    """Objective of Equilibrium Matching: the target gradient falls to 0 at data (Wang & Du 2025).

    Args:
        decay: a; c(γ) is `multiplier` up to a, and falls linearly to 0 at γ = 1 (truncated
            decay).
        multiplier: c(γ) up to a.
        transported: whether noise and data are paired by optimal transport within the batch; not
            so in the paper.
    """

    equilibrium = "The regression has a floor, the variance of c(γ)(ε − x) given x_γ."

    def __init__(self, decay: float, multiplier: float, *, transported: bool) -> None:
        self.decay, self.multiplier, self.transported = decay, multiplier, transported

    def target(self, x: Tensor, context: Context) -> Target:
        lead = 1 if context.members == 1 else 2
        noise = context.generator.normal(*x.shape[lead - 1 :]).to(x)
        if self.transported:
            noise = transport(noise, x, lead)
        gamma = context.generator.uniform(0, 1, x.shape[lead - 1]).to(x)
        each = gamma.view(*gamma.shape, *[1] * (x.dim() - lead))
        pull = self.multiplier * ((1 - each) / (1 - self.decay)).clamp_max(1)
        return Target(torch.lerp(noise, x, each), pull * (noise - x), torch.ones_like(gamma))


class DenoisingScoreMatching(GradientRegression):
    """Objective of denoising score matching on several noise levels (Vincent 2011; Song & Ermon
    2019).

    The best ∇U at x̃ is E[σn | x̃] / E[σ² | x̃]; for a single level, −∇ log of the density of
    the data smoothed by σ.

    Args:
        levels: standard deviations σ of the noise, one of which is drawn for each example.
    """

    equilibrium = "The loss has a floor: the share of the noise that noisy data do not tell."

    def __init__(self, levels: Sequence[float]) -> None:
        self.levels = tuple(levels)

    def target(self, x: Tensor, context: Context) -> Target:
        lead = 1 if context.members == 1 else 2
        noise = context.generator.normal(*x.shape[lead - 1 :]).to(x)
        drawn = context.generator.uniform(0, len(self.levels), x.shape[lead - 1]).long()
        sigma = torch.tensor(self.levels, device=x.device).to(x)[
            drawn.clamp_max(len(self.levels) - 1)
        ]
        each = sigma.view(*sigma.shape, *[1] * (x.dim() - lead))
        return Target(x + each * noise, noise / each, sigma.square())


def transport(noise: Tensor, x: Tensor, lead: int = 1) -> Tensor:
    """Reorder noise so that Σ ‖noise_i − x_i‖² over a batch is smallest (optimal transport).

    Args:
        noise: (B, *event), or with lead=2 (M, B, *event), each seed by itself.
        x: the same shape.
        lead: dimensions before those of an example.
    """
    if x.device.type == "meta":  # no numbers: any order
        return noise
    from scipy.optimize import linear_sum_assignment  # a bare machine trains the other methods

    paired = [
        own[linear_sum_assignment(_costs(data, own))[1]]
        for own, data in zip(*(part.flatten(0, lead - 2) if lead > 1 else part[None]
                               for part in (noise, x)), strict=True)
    ]  # fmt: skip
    return torch.stack(paired).reshape(noise.shape)


def _costs(a: Tensor, b: Tensor) -> object:
    """‖a_i − b_j‖² (B, B) as an array."""
    one, other = (part.detach().flatten(1).double() for part in (a, b))
    return torch.cdist(one, other).square().cpu().numpy()
