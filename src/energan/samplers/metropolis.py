"""MALA: Langevin moves that a Metropolis test accepts or refuses, so that exp(−U)/Z is exact.

    proposal    x' = x − ½ε∇U(x) + √ε·α
    acceptance  min(1, exp(U(x) − U(x')) · q(x | x')/q(x' | x)),   q(b | a) = N(b; a − ½ε∇U(a), ε)

(Roberts & Tweedie 1996.) Each move takes one gradient, at x'; that at x is kept.
"""

from collections.abc import Callable
from functools import partial
from math import inf

import torch
from torch import Tensor

from energan.core import Energy, Function, Randomness, exact, value_and_gradient
from energan.samplers.dynamics import (
    Chains,
    ChainState,
    Normal,
    Watch,
    as_function,
    check_points,
    norm,
    normal_draws,
    run_chain,
)

Uniform = Callable[[int], Tensor]
"""count -> draws of U(0, 1)."""


def propose(x: Tensor, gradient: Tensor, step_size: float) -> Tensor:
    """The mean of q(· | x)."""
    return x.add(gradient, alpha=-step_size / 2)


def log_density(b: Tensor, a: Tensor, gradient: Tensor, step_size: float) -> Tensor:
    """log q(b | a) (B,) up to a constant; gradient: ∇U(a)."""
    away = exact(b - propose(a, gradient, step_size)).flatten(1)
    return away.square().sum(1) / (-2 * step_size)


def init(energy: Function, x: Tensor) -> ChainState:
    """Chains that start at x (B, *event), with U and ∇U there."""
    u, gradient = value_and_gradient(energy, x, autocast=True)
    nothing = torch.zeros_like(u)
    return ChainState(x.detach(), u, u, nothing, gradient=gradient, accepted=nothing)


def step(
    energy: Function, state: ChainState, step_size: float, draw: Normal, uniform: Uniform
) -> ChainState:
    """One move of all chains, made or refused for each by itself."""
    x, u, gradient, accepted = state.x, state.energy, state.gradient, state.accepted
    assert gradient is not None
    assert accepted is not None
    proposed = propose(x, gradient, step_size).add_(draw(*x.shape), alpha=step_size**0.5)
    u_there, gradient_there = value_and_gradient(energy, proposed, autocast=True)
    log_ratio = (
        (u - u_there)
        + log_density(x, proposed, gradient_there, step_size)
        - log_density(proposed, x, gradient, step_size)
    )
    # never where log_ratio is not a number; nor to −∞, which no chain would leave again
    moves = (uniform(len(x)).log() < log_ratio) & u_there.isfinite()
    each = moves.view(-1, *[1] * (x.dim() - 1))
    return ChainState(
        torch.where(each, proposed, x),
        torch.where(moves, u_there, u),
        state.start,
        state.gradient_norms + norm(gradient),
        state.steps + 1,
        torch.where(each, gradient_there, gradient),
        accepted + moves,
    )


def jump(energy: Function, x: Tensor, others: Tensor, uniform: Tensor) -> Tensor:
    """Each of x (B, *event), or one of its `others` (J, B, *event), by their share of Σ exp(−U).

    Others that are uniform over a region leave the law exp(−U)/Z of chains within it as it is, and
    lead from mode to mode, where no gradient does: iterated sampling importance resampling
    (Andrieu, Lee & Vihola 2018). uniform: (B,), draws of U(0, 1).
    """
    with torch.no_grad():
        count, event = len(others) + 1, x.shape[1:]
        there = torch.cat([x.unsqueeze(0), others])  # (1 + J, B, *event)
        u = exact(energy(there.flatten(0, 1))).view(count, -1)
        reached = torch.softmax(-u.double(), 0).cumsum(0)
        chosen = (reached < uniform).sum(0).clamp_max(count - 1)
        return there[chosen, torch.arange(len(x), device=x.device)].view(-1, *event)


def mala(
    energy: Function | Energy,
    x: Tensor,
    *,
    steps: int,
    step_size: float,
    generator: torch.Generator | Randomness | None = None,
    watch: Watch | None = None,
) -> Chains:
    """Chains of `steps` MALA moves from x (B, *event), stationary at exp(−U)/Z exactly.

    energy: x (B, *event) -> U (B,). step_size: ε, best where about 0.57 of the moves are accepted
    (Roberts & Rosenthal 1998). The result's `acceptance` tells. Raises ValueError as `langevin`.
    """
    if not 0 < step_size < inf:
        raise ValueError(f"step_size must be positive and finite, not {step_size}")
    check_points(x)

    def uniform(count: int) -> Tensor:
        if isinstance(generator, Randomness):
            return generator.uniform(0, 1, count)
        return torch.rand(count, generator=generator, device=x.device)

    with as_function(energy) as u:
        draw = normal_draws(x, generator)
        move = partial(step, u, step_size=step_size, draw=draw, uniform=uniform)
        return run_chain(move, init(u, x), steps, None, watch)
