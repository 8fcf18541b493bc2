"""Chains that lead from Gaussian noise to data, by a step size and a noise set for each step.

    x ← x − ηₖ·∇U(x + μ·(x − x₋)) + sₖ·α,   α ~ N(0, 1),   x₋ where x was a step before

With μ 0 this is Langevin dynamics whose temperature sₖ²/(2ηₖ) is scheduled; without noise, gradient
descent, with μ the look-ahead of Nesterov's. Everything takes the member axis of a cohort.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from energan.core import (
    Batch,
    Context,
    Draw,
    Energy,
    Function,
    Randomness,
    Sampler,
    State,
    StepRule,
    exact,
    frozen,
    frozen_weights,
    potential,
    value_and_gradient,
)
from energan.samplers.chains import chains_at_once


@dataclass(frozen=True)
class Annealing:
    """Settings of annealed chains.

    Attributes:
        steps: (ηₖ, sₖ), step size and standard deviation of the noise in each step.
        momentum: μ, look-ahead of Nesterov's momentum; 0 for none.
        spread: standard deviation of the Gaussian that chains start from.
        centre: its mean.
        low: smallest value of the end points; None for no bound.
        high: largest value of the end points; None for no bound.
    """

    steps: tuple[tuple[float, float], ...]
    momentum: float = 0.0
    spread: float = 1.0
    centre: float = 0.0
    low: float | None = None
    high: float | None = None

    def start(self, draws: Randomness, count: int, *event: int) -> Tensor:
        """Where chains begin, (count, *event), or (M, count, *event)."""
        return draws.normal(count, *event).mul_(self.spread).add_(self.centre)


@dataclass(frozen=True)
class Annealed:
    """End points of annealed chains.

    Attributes:
        x: end points, of the shape of the starting points.
        drop: U at the start minus U before the last step, (..., B).
        gradient_norm: mean over steps of the norm of ∇U, (..., B).
    """

    x: Tensor
    drop: Tensor
    gradient_norm: Tensor


def anneal(
    energy: Function,
    x: Tensor,
    annealing: Annealing,
    draws: Randomness,
    hot: Tensor | None = None,
) -> Annealed:
    """Move chains through all steps of an annealing.

    Args:
        energy: function from x to U(x).
        x: starting points, (B, *event), or (M, B, *event) for M seeds that train together.
        annealing: step sizes and noise.
        draws: source of random numbers.
        hot: bool (B,), chains that have the noise of the last step in every step.

    Raises:
        ValueError: if there are no steps.
    """
    if not annealing.steps:
        raise ValueError("chains make at least 1 step, and this annealing has none")
    members, lead = draws.members, 1 if draws.members == 1 else 2
    x = before = x.detach()
    last, norms = annealing.steps[-1][1], x.new_zeros(x.shape[:lead])
    energies: list[Tensor] = []
    with frozen_weights():
        for size, noise in annealing.steps:
            at = x if not annealing.momentum else torch.lerp(before, x, 1 + annealing.momentum)
            u, gradient = value_and_gradient(energy, at, members=members, autocast=True)
            energies = [*energies[:1], u]
            norms = norms + torch.linalg.vector_norm(exact(gradient).flatten(lead), dim=lead)
            before, x = x, x - size * gradient
            spread = _spread(noise, last, hot, x)
            if spread is not None:
                x = x + spread * draws.normal(*x.shape[lead - 1 :]).to(x)
    if annealing.low is not None or annealing.high is not None:
        x = x.clamp(annealing.low, annealing.high)
    return Annealed(x, energies[0] - energies[-1], norms / len(annealing.steps))


def _spread(noise: float, last: float, hot: Tensor | None, x: Tensor) -> Tensor | float | None:
    """The noise of a step, of each chain where some are hot; None for none."""
    if hot is None or noise == last:
        return noise or None
    return torch.where(hot, last, noise).view(-1, *[1] * (x.dim() - hot.dim())).to(x)


class AnnealedChains(Sampler):
    """Sampler with annealed chains for samples, and none in training.

    Args:
        annealing: settings of the chains.
        rule: settings of a step for other chains on this energy (`sample_chains`, `restore`).
        shape: shape of an example.
    """

    rule: StepRule

    def __init__(self, annealing: Annealing, rule: StepRule, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.annealing, self.rule, self.shape = annealing, rule, shape
        reach = 3**0.5 * annealing.spread  # uniform noise of the same variance
        self.start_range = annealing.centre - reach, annealing.centre + reach

    def draw(
        self, energy: Energy, batch: Batch, state: State, context: Context
    ) -> tuple[Draw | None, State]:
        return None, state

    @torch.no_grad()
    def sample(
        self, energy: Energy, count: int, condition: Tensor | None, state: State, context: Context
    ) -> Draw | None:
        draws = context.generator
        x = self.annealing.start(draws, count, *self.shape)
        axis = x.dim() - len(self.shape) - 1
        size = chains_at_once(x.flatten(0, axis))
        u = potential(energy, members=draws.members)
        with frozen(energy):
            parts = [anneal(u, part, self.annealing, draws).x for part in x.split(size, axis)]
        return Draw(torch.cat(parts, axis))


class AnnealedNegatives(AnnealedChains):
    """Sampler with annealed chains for samples and, in training, for negatives.

    Half of the negatives start from noise, the other half from data, with the noise of the last
    step throughout (Balcerak et al. 2025, algorithm 2).

    Args:
        annealing: settings of the chains of samples.
        rule: settings of a step for other chains on this energy.
        shape: shape of an example.
        training: settings of the chains of negatives.
        warm_up: training step from which there are negatives.
    """

    def __init__(
        self,
        annealing: Annealing,
        rule: StepRule,
        shape: tuple[int, ...],
        *,
        training: Annealing,
        warm_up: int,
    ) -> None:
        super().__init__(annealing, rule, shape)
        self.training_annealing, self.warm_up = training, warm_up
        self.chain_steps = len(training.steps)

    def phase(self, step: int) -> int:
        return int(step >= self.warm_up)

    def draw(
        self, energy: Energy, batch: Batch, state: State, context: Context
    ) -> tuple[Draw | None, State]:
        if not self.phase(context.step):
            return None, state
        draws, members = context.generator, context.members
        axis = 0 if members == 1 else 1
        count = batch.x.shape[axis]
        at_data = torch.arange(count, device=batch.x.device) < count // 2
        noise = self.training_annealing.start(draws, count, *self.shape)
        x = torch.where(at_data.view(-1, *[1] * len(self.shape)), exact(batch.x), noise)
        u = potential(energy, stream="fake", members=members)
        with frozen(energy):
            return Draw(anneal(u, x, self.training_annealing, draws, at_data).x), state
