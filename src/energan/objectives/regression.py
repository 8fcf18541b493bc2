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
    """What ∇U is to be at x, both (B, *event) or (M, B, *event), and the weight of each error,
    (B,) or (M, B)."""

    x: Tensor
    gradient: Tensor
    weight: Tensor


class GradientRegression(Objective):
    """E w·‖s·∇U(x) − g‖²/D; a subclass says what x, g and w are. s: `scale`."""

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
    """hyper "contrast": λ, for the steps that bring negatives.

    temperature: T, so that exp(−U)/Z is the law of chains at it. ramp: the time τ* from which the
    temperature rises; `fades` says whether the weight of the regression falls from there to 0 at 1.
    floor: the least that the contrast may be, so that negatives that fell far behind pull no more.
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
    """The target falls to 0 at data, so that data are where descent rests.

    decay: a; c(γ) is `multiplier` up to a, and falls from there straight to 0 at γ = 1 (truncated
    decay). transported: whether noise and data are in pairs of optimal transport; the paper's are
    not.
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
    """levels: σ of each level of noise, one of which is drawn for each event.

    The best ∇U at x̃ is E[σn | x̃] / E[σ² | x̃]; of a single level −∇ log of the data's density
    smoothed by σ, and where x̃ tells its level nearly that of its own.
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
    """The noise in another order, so that Σ ‖noise_i − x_i‖² over a batch is least.

    noise, x: (B, *event), or with lead 2 (M, B, *event), each member's own.
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
