"""Langevin dynamics on any energy: a pure `step` on explicit state, and how chains are run.

    coupled    x ← x − ½ε∇U(x) + √ε·α                    α ~ N(0, 1) (Du & Mordatch 2019, eq. 2)
    decoupled  x ← x − ε∇U(x) + noise·α                  step and noise set apart, as in practice

On U = x²/2 the coupled chain's stationary variance is 1/(1 − ε/4): the discretisation's error,
which the Metropolis test of `energan.samplers.metropolis` removes.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from math import inf

import torch
from torch import Tensor, nn

from energan.core import (
    ChainState,
    Domain,
    Draws,
    Energy,
    Function,
    SettingError,
    StepRule,
    exact,
    frozen,
    frozen_weights,
    potential,
    start_chains,
    value_and_gradient,
)

Watch = Callable[[int, Tensor], None]
"""Called with (steps done, x) after each step."""


def default_rule(domain: Domain) -> StepRule:
    """For an energy that was trained without chains.

    In a bounded range the published step 10, noise 0.005 and bound 0.01 of [0, 1], rescaled; else
    the coupled form at the text's ε = 1/200.
    """
    if domain.low is None or domain.high is None:
        return StepRule(1 / 200)
    return scaled_rule(10.0, 0.005, 0.01, domain.low, domain.high, noise_first=True)


def scaled_rule(
    step_size: float,
    noise: float | None,
    clip: float | None,
    low: float,
    high: float,
    *,
    noise_first: bool,
) -> StepRule:
    """The rule on [low, high] whose chains are those of this step, noise and bound on [0, 1]."""
    scale = high - low
    return StepRule(
        step_size * scale**2,
        None if noise is None else noise * scale,
        None if clip is None else clip / scale,
        low,
        high,
        noise_first,
    )


def check_spread(rule: StepRule) -> None:
    """Raise SettingError if the noise of one step alone fills the range that chains are held in."""
    if rule.low is None or rule.high is None or rule.spread <= (rule.high - rule.low) / 2:
        return
    raise SettingError(
        f"the noise of one step, {rule.spread:.3g}, is wider than half of the range "
        f"[{rule.low:g}, {rule.high:g}]: without model.noise it is √step_size, so set "
        "model.noise, or a small model.step-size such as 0.005 without gradient clipping"
    )


@dataclass(frozen=True)
class Chains:
    """End points of B chains, and what was recorded on the way.

    Attributes:
        x: end points, (B, *event).
        energy_drop: U at the start minus U at the last point whose energy was computed, (B,).
        gradient_norm: mean over steps of the norm of ∇U, (B,).
        acceptance: fraction of accepted moves, (B,), for kernels with a Metropolis test.
        scale: factor on the step size at the end, (B,), if it was adapted.
    """

    x: Tensor
    energy_drop: Tensor
    gradient_norm: Tensor
    acceptance: Tensor | None = None
    scale: Tensor | None = None


def step(
    energy: Function,
    state: ChainState,
    rule: StepRule,
    draws: Draws,
    mask: Tensor | None = None,
) -> ChainState:
    """One step of all chains. mask: where no noise comes before the gradient."""
    x = state.x
    if rule.noise_first:
        moved = x.add(draws.normal(*x.shape), alpha=rule.spread)
        x = moved if mask is None else torch.where(mask, x, moved)
    u, gradient = value_and_gradient(energy, x, autocast=True)
    norms = state.gradient_norms + norm(gradient)
    if rule.clip is not None:
        gradient = gradient.clamp_(-rule.clip, rule.clip)
    x = x.add(gradient, alpha=-rule.descent)  # new memory: the caller's x stays
    if not rule.noise_first:
        x.add_(draws.normal(*x.shape), alpha=rule.spread)
    if rule.low is not None or rule.high is not None:
        x.clamp_(rule.low, rule.high)
    return ChainState(x, u, u if state.steps == 0 else state.start, norms, state.steps + 1)


def run_chain(
    move: Callable[[ChainState], ChainState],
    state: ChainState,
    steps: int,
    mask: Tensor | None = None,
    watch: Watch | None = None,
) -> Chains:
    """Move `steps` times and tell how it went: memory does not grow with their number.

    mask: bool, broadcastable to x: coordinates that stay as they are. Raises ValueError for fewer
    than one step.
    """
    if steps < 1:
        raise ValueError(f"chains make at least 1 step, not {steps}")
    start = state.x
    with frozen_weights():
        for k in range(1, steps + 1):
            state = move(state)
            if mask is not None:
                torch.where(mask, start, state.x, out=state.x)
            if watch is not None:
                watch(k, state.x)
    moved = None if state.accepted is None else state.accepted / steps
    return Chains(
        state.x, state.start - state.energy, state.gradient_norms / steps, moved, state.scale
    )


def langevin(
    energy: Function | Energy,
    x: Tensor,
    *,
    steps: int,
    step_size: float,
    noise: float | None = None,
    clip: float | None = None,
    low: float | None = None,
    high: float | None = None,
    noise_first: bool = False,
    mask: Tensor | None = None,
    generator: torch.Generator | Draws | None = None,
    watch: Watch | None = None,
) -> Chains:
    """Run Langevin dynamics from x (Du & Mordatch 2019, eq. 2).

    With noise=None a step is x − ½·step_size·∇U(x) + √step_size·α, with a number it is x −
    step_size·∇U(x) + noise·α, α ~ N(0, 1). There is no Metropolis test: chains have a bias of
    the order of the step size. See `mala` for exact chains.

    Args:
        energy: function from (B, *event) to U (B,), or an energy; parameters of a module are
            frozen meanwhile.
        x: starting points, floating point, (B, *event).
        steps: number of steps, at least 1.
        step_size: ε, at least 0.
        noise: standard deviation of the noise in a step; None for √step_size.
        clip: bound on each coordinate of the gradient.
        low: smallest value that x may take.
        high: largest value that x may take.
        noise_first: whether to add the noise before the gradient is taken.
        mask: bool, broadcastable to x, True for coordinates that must not change.
        generator: source of random numbers, on the device of x; torch's default generator if not
            given.
        watch: function (k, x), called after step k.

    Returns:
        The end points and diagnostics.

    Raises:
        ValueError: if there are no steps, a number is negative or not finite, x is not floating
            point, or the energy returns another shape than (B,).
    """
    numbers = {"step_size": step_size, "noise": noise, "clip": clip}
    for name, value in numbers.items():
        if value is not None and not 0 <= value < inf:
            raise ValueError(f"{name} is {value}: give a finite number of at least 0")
    if low is not None and high is not None and not low <= high:
        raise ValueError(f"low {low} is above high {high}: swap them")
    check_points(x)
    rule = StepRule(step_size, noise, clip, low, high, noise_first)
    with as_function(energy) as u:
        move = partial(step, u, rule=rule, draws=draws_like(x, generator), mask=mask)
        return run_chain(move, start_chains(u, x), steps, mask, watch)


def check_points(x: Tensor) -> None:
    if not isinstance(x, Tensor) or not x.is_floating_point() or x.dim() < 1:
        what = f"{x.dtype}" if isinstance(x, Tensor) else type(x).__name__
        raise ValueError(
            f"chains must start from a floating-point tensor x (B, *event), not {what}"
        )


@dataclass(frozen=True)
class TorchDraws:
    """Draws on the device of x, normal ones of its type. generator: None for torch's own."""

    x: Tensor
    generator: torch.Generator | None = None

    def normal(self, *shape: int) -> Tensor:
        x = self.x
        return torch.randn(shape, generator=self.generator, device=x.device, dtype=x.dtype)

    def uniform(self, low: float, high: float, *shape: int) -> Tensor:
        drawn = torch.rand(shape, generator=self.generator, device=self.x.device)
        return drawn.mul_(high - low).add_(low)


def draws_like(x: Tensor, generator: torch.Generator | Draws | None) -> Draws:
    """Where chains that start at x draw from."""
    if generator is None or isinstance(generator, torch.Generator):
        return TorchDraws(x, generator)
    return generator


@contextmanager
def as_function(energy: Function | Energy) -> Iterator[Function]:
    """Within it no parameter of `energy` collects gradient, if it has any; it is given as U(x)."""
    if not isinstance(energy, nn.Module):
        yield energy
        return
    with frozen(energy):
        yield potential(energy) if isinstance(energy, Energy) else energy


def norm(gradient: Tensor) -> Tensor:
    """The norm (B,) of each chain's gradient, float32."""
    found: Tensor = torch.linalg.vector_norm(exact(gradient).flatten(1), dim=1)
    return found
