"""Chains with a momentum: HMC, and Langevin dynamics with inertia.

    leapfrog    p ← p − ½h∇U(x);  x ← x + h·p;  p ← p − ½h∇U(x)            h = √ε

HMC draws p ~ N(0, I), takes L leapfrog steps and accepts the end with probability
min(1, exp(U(x) + ½‖p‖² − U(x') − ½‖p'‖²)), so that exp(−U)/Z is exact (Neal 2011). One leapfrog
step is a MALA move at the same ε.

Underdamped Langevin dynamics keeps p, which friction γ forgets: with O: p ← e^(−γh)·p +
√(1 − e^(−2γh))·α between two half moves of x (the splitting BAOAB, Leimkuhler & Matthews 2013),
whose law is exact on Gaussians and has an error of h² or less elsewhere.

In a range both are reflected by its ends, p turned round, which keeps exp(−U)/Z on it.
"""

from dataclasses import replace
from math import inf

import torch
from torch import Tensor

from energan.core import ChainState, Draws, Function, StepRule, exact, value_and_gradient
from energan.samplers.dynamics import norm
from energan.samplers.metropolis import accept

LEAPFROG, JITTER, FRICTION = 10, 0.2, 1.0
Bound = float | Tensor | None


def reflect(x: Tensor, p: Tensor, low: Bound, high: Bound) -> tuple[Tensor, Tensor]:
    """x and p after the walls at `low` and `high` threw them back, as often as it takes."""
    if low is None or high is None:
        return x, p
    width = high - low
    folded = (x - low).remainder(2 * width)
    beyond = folded > width
    back = low + torch.where(beyond, 2 * width - folded, folded)
    inside = (x >= low) & (x <= high)
    return torch.where(inside, x, back), torch.where(beyond & ~inside, -p, p)


def leapfrog(
    energy: Function,
    x: Tensor,
    p: Tensor,
    gradient: Tensor,
    h: float | Tensor,
    steps: int,
    low: Bound = None,
    high: Bound = None,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """x, p, U (B,) and ∇U after so many steps of size h from x (B, *event), where ∇U is given."""
    p = p - gradient * (h / 2)
    u = gradient
    for k in range(steps):
        x, p = reflect(x + p * h, p, low, high)
        u, gradient = value_and_gradient(energy, x, autocast=True)
        p = p - gradient * (h if k < steps - 1 else h / 2)
    return x, p, u, gradient


def step(
    energy: Function,
    state: ChainState,
    rule: StepRule,
    draws: Draws,
    *,
    steps: int = LEAPFROG,
    jitter: float = JITTER,
) -> ChainState:
    """One trajectory of each chain, made or refused. steps: L. jitter: h of each trajectory is
    times 1 ± this, uniformly, or a period of U that L·h meets would never mix."""
    x, gradient = state.x, state.gradient
    assert gradient is not None
    p = draws.normal(*x.shape).to(x)
    h: float | Tensor = state.step_size(rule) ** 0.5
    if jitter:
        h = h * state.columns(draws.uniform(1 - jitter, 1 + jitter, len(x)).to(x))
    there, q, u, slope = leapfrog(energy, x, p, gradient, h, steps, rule.low, rule.high)
    kinetic = ((p - q) * (p + q)).flatten(1)  # ‖p‖² − ‖q‖² without the cancellation
    log_ratio = (state.energy - u) + exact(kinetic).sum(1) / 2
    return accept(state, there, u, slope, log_ratio, draws)


def start_underdamped(energy: Function, x: Tensor) -> ChainState:
    """Chains that start at x (B, *event), their momentum to be drawn at the first step."""
    u, gradient = value_and_gradient(energy, x, autocast=True)
    return ChainState(x.detach(), u, u, torch.zeros_like(u), gradient=gradient)


def underdamped_step(
    energy: Function, state: ChainState, rule: StepRule, draws: Draws, *, friction: float = FRICTION
) -> ChainState:
    """One step BAOAB of all chains. friction: γ; at ∞ the momentum is drawn anew in each."""
    x, p, gradient = state.x, state.momentum, state.gradient
    assert gradient is not None
    p = draws.normal(*x.shape).to(x) if p is None else p
    h = rule.step_size**0.5
    kept = 0.0 if friction == inf else torch.tensor(-friction * h).exp().item()
    p = p - gradient * (h / 2)
    x, p = reflect(x + p * (h / 2), p, rule.low, rule.high)
    p = kept * p + (1 - kept**2) ** 0.5 * draws.normal(*x.shape).to(x)
    x, p = reflect(x + p * (h / 2), p, rule.low, rule.high)
    u, there = value_and_gradient(energy, x, autocast=True)
    return replace(
        state,
        x=x,
        energy=u,
        gradient_norms=state.gradient_norms + norm(gradient),
        steps=state.steps + 1,
        gradient=there,
        momentum=p - there * (h / 2),
    )
