"""MALA: Langevin moves that a Metropolis test accepts or refuses, so that exp(−U)/Z is exact.

    proposal    x' = x − ½ε∇U(x) + √ε·α
    acceptance  min(1, exp(U(x) − U(x')) · q(x | x')/q(x' | x)),   q(b | a) = N(b; a − ½ε∇U(a), ε)

(Roberts & Tweedie 1996.) Each move takes one gradient, at x'; that at x is kept.
"""

from dataclasses import replace
from functools import partial
from math import inf

import torch
from torch import Tensor

from energan.core import (
    ChainState,
    Draws,
    Energy,
    Function,
    StepRule,
    exact,
    value_and_gradient,
)
from energan.samplers.dynamics import (
    Chains,
    Watch,
    as_function,
    check_points,
    draws_like,
    norm,
    run_chain,
)


def propose(x: Tensor, gradient: Tensor, step_size: float | Tensor) -> Tensor:
    """The mean of q(· | x)."""
    if isinstance(step_size, Tensor):
        return torch.addcmul(x, gradient, step_size, value=-0.5)
    return x.add(gradient, alpha=-step_size / 2)


def log_density(b: Tensor, a: Tensor, gradient: Tensor, step_size: float | Tensor) -> Tensor:
    """log q(b | a) (B,) up to a constant; gradient: ∇U(a)."""
    away = exact(b - propose(a, gradient, step_size)).flatten(1)
    size = step_size.flatten() if isinstance(step_size, Tensor) else step_size
    return away.square().sum(1) / (-2 * size)


def init(energy: Function, x: Tensor) -> ChainState:
    """Chains that start at x (B, *event), with U and ∇U there."""
    u, gradient = value_and_gradient(energy, x, autocast=True)
    nothing = torch.zeros_like(u)
    return ChainState(x.detach(), u, u, nothing, gradient=gradient, accepted=nothing)


def step(energy: Function, state: ChainState, rule: StepRule, draws: Draws) -> ChainState:
    """One move of all chains, made or refused for each by itself."""
    x, u, gradient, size = state.x, state.energy, state.gradient, state.step_size(rule)
    assert gradient is not None
    proposed = propose(x, gradient, size)
    noise = draws.normal(*x.shape)
    if isinstance(size, Tensor):
        proposed.addcmul_(noise.to(x), size.sqrt())
    else:
        proposed.add_(noise, alpha=size**0.5)
    u_there, gradient_there = value_and_gradient(energy, proposed, autocast=True)
    log_ratio = (
        (u - u_there)
        + log_density(x, proposed, gradient_there, size)
        - log_density(proposed, x, gradient, size)
    )
    return accept(state, proposed, u_there, gradient_there, log_ratio, draws)


def accept(
    state: ChainState, x: Tensor, u: Tensor, gradient: Tensor, log_ratio: Tensor, draws: Draws
) -> ChainState:
    """The Metropolis test: each chain at x (B, *event) if exp(log_ratio) (B,) allows it, else where
    it was. u, gradient: U and ∇U at x."""
    before, accepted = state.gradient, state.accepted
    assert before is not None
    assert accepted is not None
    # never where log_ratio is not a number; nor to −∞, which no chain would leave again
    possible = u.isfinite() & ~log_ratio.isnan()
    moves = (draws.uniform(0, 1, len(x)).log() < log_ratio) & possible
    each = state.columns(moves)
    return replace(
        state,
        x=torch.where(each, x, state.x),
        energy=torch.where(moves, u, state.energy),
        gradient_norms=state.gradient_norms + norm(before),
        steps=state.steps + 1,
        gradient=torch.where(each, gradient, before),
        accepted=accepted + moves,
        acceptance=torch.where(possible, log_ratio.clamp_max(0).exp(), 0),
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
    generator: torch.Generator | Draws | None = None,
    watch: Watch | None = None,
) -> Chains:
    """Run the Metropolis-adjusted Langevin algorithm (MALA) from x; chains sample exp(−U)/Z
    exactly.

    Args:
        energy: function from (B, *event) to U (B,), or an energy.
        x: starting points, floating point, (B, *event).
        steps: number of moves, at least 1.
        step_size: ε, above 0; best if about 0.57 of the moves are accepted (Roberts & Rosenthal
            1998).
        generator: source of random numbers; torch's default generator if not given.
        watch: function (k, x), called after move k.

    Returns:
        The end points and diagnostics, with the acceptance rate.

    Raises:
        ValueError: for a step size that is not positive and finite, and for arguments that
            `langevin` refuses.
    """
    if not 0 < step_size < inf:
        raise ValueError(f"step_size must be positive and finite, not {step_size}")
    check_points(x)
    with as_function(energy) as u:
        move = partial(step, u, rule=StepRule(step_size), draws=draws_like(x, generator))
        return run_chain(move, init(u, x), steps, None, watch)
