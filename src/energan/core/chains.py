"""The contract of chains: how one step is made, whatever runs chains to take."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor

from energan.errors import SettingError

Function = Callable[[Tensor], Tensor]
"""x (B, *event) -> U (B,), or x (M, B, *event) -> U (M, B) for M seeds trained together."""


class Draws(Protocol):
    """Source of the random numbers of a chain step."""

    def normal(self, *shape: int) -> Tensor:
        """Draw from the standard normal distribution."""

    def uniform(self, low: float, high: float, *shape: int) -> Tensor:
        """Draw uniformly from [low, high)."""


@dataclass(frozen=True)
class StepRule:
    """Settings of one chain step.

    Attributes:
        step_size: ε, above 0.
        noise: standard deviation of the noise in a step. With None, noise and step size are
            coupled, x ← x − ½ε∇U + √ε·α; with a number, x ← x − ε∇U + noise·α, which samples
            exp(−U/T) with T = noise²/(2ε).
        clip: bound on each coordinate of the gradient; None for none.
        low: smallest value that x may take; None for no bound.
        high: largest value that x may take; None for no bound.
        noise_first: whether to add the noise before the gradient is taken, as the published code
            of IGEBM does.
    """

    step_size: float
    noise: float | None = None
    clip: float | None = None
    low: float | None = None
    high: float | None = None
    noise_first: bool = False

    @property
    def temperature(self) -> float | None:
        """T, if small steps sample exp(−U/T); None if the gradient is clipped, or without noise."""
        if self.clip is not None or self.noise == 0:
            return None
        return 1.0 if self.noise is None else self.noise**2 / (2 * self.step_size)

    @property
    def descent(self) -> float:
        """Factor on the gradient in one step: ε/2 with coupled noise, ε otherwise."""
        return self.step_size / 2 if self.noise is None else self.step_size

    @property
    def spread(self) -> float:
        """Standard deviation of the noise in one step."""
        return self.step_size**0.5 if self.noise is None else self.noise


@dataclass(frozen=True)
class ChainState:
    """The state of B chains, and what was recorded on the way.

    Attributes:
        x: current points, (B, *event).
        energy: U at the last points whose gradient was taken, (B,).
        start: U at the first points whose gradient was taken, (B,).
        gradient_norms: sum over steps of the norm of ∇U before clipping, (B,).
        steps: number of steps made.
        gradient: ∇U at x, for kernels that keep it.
        momentum: (B, *event), for kernels that have one.
        accepted: number of accepted moves, (B,), for kernels with a Metropolis test.
        acceptance: acceptance probability of the last move, (B,), for kernels with such a test.
        scale: factor on the step size of each chain, (B,), where it is adapted; None for 1.
    """

    x: Tensor
    energy: Tensor
    start: Tensor
    gradient_norms: Tensor
    steps: int = 0
    gradient: Tensor | None = None
    momentum: Tensor | None = None
    accepted: Tensor | None = None
    acceptance: Tensor | None = None
    scale: Tensor | None = None

    def step_size(self, rule: StepRule) -> float | Tensor:
        """The step size: a number, or (B, 1, ..., 1) if each chain has its own."""
        if self.scale is None:
            return rule.step_size
        return self.columns(rule.step_size * self.scale)

    def restarted(self) -> "ChainState":
        """The same chains with all counts back at 0."""
        nothing = torch.zeros_like(self.gradient_norms)
        accepted = None if self.accepted is None else nothing
        return replace(self, start=self.energy, gradient_norms=nothing, steps=0, accepted=accepted)

    def columns(self, values: Tensor) -> Tensor:
        """Reshape (B,) to (B, 1, ..., 1), so that it broadcasts against x."""
        return values.view(-1, *[1] * (self.x.dim() - 1))


def start_chains(energy: Function, x: Tensor) -> ChainState:
    """Start chains at x (B, *event), for kernels that do not need U there."""
    nothing = torch.zeros(len(x), device=x.device)
    return ChainState(x.detach(), nothing, nothing, nothing)


@dataclass(frozen=True)
class Kernel:
    """A Markov kernel: how chains move.

    Attributes:
        step: function (energy, state, rule, draws) that returns the state after one step.
        init: function (energy, x) that returns the state of chains that start at x.
        name: the name that messages use.
        target: the acceptance rate that a step size is adapted to, for kernels with a Metropolis
            test, whose chains sample exp(−U)/Z exactly; None for kernels without one.
        takes_noise: whether `noise`, `noise_first` and `clip` of a rule apply to it.
        takes_range: whether it can keep chains within the range of a rule.
    """

    step: Callable[[Function, ChainState, StepRule, Draws], ChainState]
    init: Callable[[Function, Tensor], ChainState] = start_chains
    name: str = "a kernel of one's own"
    target: float | None = None
    takes_noise: bool = True
    takes_range: bool = True

    @property
    def tested(self) -> bool:
        """Whether moves are accepted or rejected by a Metropolis test."""
        return self.target is not None

    def takes(self, rule: StepRule) -> bool:
        """Whether the kernel can follow the noise and gradient clipping of a rule."""
        return self.takes_noise or (rule.noise is None and rule.clip is None)

    def check(self, rule: StepRule) -> None:
        """Raise SettingError for a rule that the kernel cannot follow."""
        if not self.takes_range and (rule.low is not None or rule.high is not None):
            raise SettingError(
                f"{self.name} does not keep chains in a range, and would not be exact with "
                "clamped ones: use langevin or hmc"
            )
        if not self.takes(rule):
            raise SettingError(
                f"{self.name}: its noise is √ε and its gradient is not clipped: leave noise and "
                "clip out"
            )
