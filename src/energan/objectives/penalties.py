"""Penalties on the gradient of U, and the energies of a step that they come with.

    r1                  γ₁/2 · E ‖∇U(x)‖²                at data (Mescheder et al. 2018)
    r2                  γ₂/2 · E ‖∇U(G(z))‖²             at samples
    gradient_penalty    λ · E (‖∇U(x̂)‖ − 1)²            between the two (Gulrajani et al. 2017)
                        x̂ = (1 − t) x + t G(z),  t ~ U(0, 1) for each pair

A penalty is on where its weight is among the hypers. ∇ is that of the sum over a batch: where a
network has batch norm, an example's own gradient is mixed with those of the others.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from energan.core import (
    Batch,
    Context,
    Draw,
    Energy,
    Loss,
    Stream,
    exact,
    potential,
    value_and_gradient,
)


def gradient_penalty(
    energy: Energy,
    x: Tensor,
    context: Context,
    condition: Tensor | None = None,
    *,
    stream: Stream,
    centre: float = 0.0,
) -> tuple[Tensor, Tensor]:
    """Gradient penalty, E (‖∇U(x)‖ − centre)², in full precision and differentiable.

    centre 0 on data is R1 (Mescheder et al. 2018); centre 1 between data and samples is that of
    WGAN-GP (Gulrajani et al. 2017).

    Args:
        energy: the energy; cells are averaged.
        x: points, (B, *event), or (M, B, *event) for M seeds that train together.
        context: step, scheduled values and random numbers.
        condition: labels or conditions of x.
        stream: the stream that the energy is called with.
        centre: the norm without a penalty.

    Returns:
        U(x), (M, B), and the penalty, (M,).
    """
    of = potential(energy, condition, stream, members=context.members)
    u, gradient = value_and_gradient(of, x, members=context.members, create_graph=True)
    each = context.events(gradient)  # (M, B, D)
    squares = each.square().sum(-1)
    if centre:  # no root at 0, where its gradient is not finite
        squares = (torch.linalg.vector_norm(each, dim=-1) - centre).square()
    return context.rows(u), squares.mean(-1)


@dataclass(frozen=True)
class ScoredPair:
    """Energies of data (M, N) and of samples (M, N'), and by name the penalties and weights (M,).

    weights: what each penalty is multiplied by.
    """

    real: Tensor
    fake: Tensor
    penalties: Mapping[str, Tensor] = field(default_factory=dict)
    weights: Mapping[str, Tensor] = field(default_factory=dict)

    def loss(self, contrast: Tensor) -> Loss:
        """The contrast (M,) of the two and the penalties."""
        parts = {
            "energy_real": self.real.detach().mean(-1),
            "energy_fake": self.fake.detach().mean(-1),
        }
        for name, value in self.penalties.items():
            contrast = contrast + self.weights[name] * value
            parts[name] = value.detach()
        return Loss(contrast, parts)


def score_pair(energy: Energy, batch: Batch, draw: Draw, context: Context) -> ScoredPair:
    """The energies of a step, with the penalties that its hypers ask for."""
    penalties: dict[str, Tensor] = {}
    weights = {
        name: context.hyper[name].squeeze(-1) * (1 if name == "gradient_penalty" else 0.5)
        for name in ("r1", "r2", "gradient_penalty")
        if name in context.hyper
    }

    def score(name: str, x: Tensor, condition: Tensor | None, stream: Stream) -> Tensor:
        if name not in weights:
            return context.rows(energy(x, condition, stream=stream).energy)
        u, penalties[name] = gradient_penalty(energy, x, context, condition, stream=stream)
        return u

    real = score("r1", batch.x, batch.condition, "real")
    fake = score("r2", draw.x, draw.condition, "fake")
    if "gradient_penalty" in weights:
        _, penalties["gradient_penalty"] = gradient_penalty(
            energy, between(batch.x, draw.x, context), context, draw.condition,
            stream="fake", centre=1.0,
        )  # fmt: skip
    return ScoredPair(real, fake, penalties, weights)


def between(real: Tensor, fake: Tensor, context: Context) -> Tensor:
    """A point on the line from each real example to the fake one of its place, (..., B, *event)."""
    count = real.shape[0 if context.members == 1 else 1]
    t = context.generator.uniform(0, 1, count)  # (B,) or (M, B)
    t = t.reshape(*t.shape, *[1] * (real.dim() - t.dim()))
    return torch.lerp(exact(real), exact(fake), t.to(exact(real).dtype))
