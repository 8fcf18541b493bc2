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
    """Where a step's random numbers come from, as a `Randomness` gives them."""

    def normal(self, *shape: int) -> Tensor:
        """Standard normal draws."""

    def uniform(self, low: float, high: float, *shape: int) -> Tensor:
        """Uniform draws on [low, high)."""


@dataclass(frozen=True)
class StepRule:
    """The numbers of a step.

    step_size: ε. noise: None for the coupled form, else the noise's standard deviation, which is
        no longer tied to ε: the chain then samples exp(−U/T) of T = noise²/(2ε).
    clip: bound on each coordinate of the gradient; None for none.
    low, high: the range that x is kept in; None for none.
    noise_first: add the noise before the gradient is taken, as the original IGEBM code does.
    """

    step_size: float
    noise: float | None = None
    clip: float | None = None
    low: float | None = None
    high: float | None = None
    noise_first: bool = False

    @property
    def temperature(self) -> float | None:
        """T of the law exp(−U/T) that small steps have; None where the bound of the gradient, or
        no noise, leaves none."""
        if self.clip is not None or self.noise == 0:
            return None
        return 1.0 if self.noise is None else self.noise**2 / (2 * self.step_size)

    @property
    def descent(self) -> float:
        """What the gradient is multiplied by."""
        return self.step_size / 2 if self.noise is None else self.step_size

    @property
    def spread(self) -> float:
        """The noise's standard deviation in one step."""
        return self.step_size**0.5 if self.noise is None else self.noise


@dataclass(frozen=True)
class ChainState:
    """The state of chains: where they are, and what was seen on the way.

    x: (B, *event). energy: (B,), U at the last point whose gradient was taken; start: U at the
    first. gradient_norms: (B,), the sum over steps of the norm of ∇U, before clipping. steps: how
    many.
    Of kernels that keep it: gradient, ∇U at x; momentum (B, *event).
    Where moves are tested: accepted (B,), the moves made; acceptance (B,), the probability with
    which the last one was.
    scale: (B,), what the rule's step size is multiplied by, where it is adapted; None for 1.
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
        """ε: a number, or (B, 1, ..., 1) where each chain has its own."""
        if self.scale is None:
            return rule.step_size
        return self.columns(rule.step_size * self.scale)

    def restarted(self) -> "ChainState":
        """The same chains, from which counts begin anew."""
        nothing = torch.zeros_like(self.gradient_norms)
        accepted = None if self.accepted is None else nothing
        return replace(self, start=self.energy, gradient_norms=nothing, steps=0, accepted=accepted)

    def columns(self, values: Tensor) -> Tensor:
        """(B,) -> (B, 1, ..., 1), as many axes as x has."""
        return values.view(-1, *[1] * (self.x.dim() - 1))


def start_chains(energy: Function, x: Tensor) -> ChainState:
    """Chains that start at x (B, *event), of kernels that need not know U there."""
    nothing = torch.zeros(len(x), device=x.device)
    return ChainState(x.detach(), nothing, nothing, nothing)


@dataclass(frozen=True)
class Kernel:
    """A Markov kernel: how chains take a step.

    step: (energy, state, rule, draws) -> the state after one step. init: (energy, x) -> the state
        of chains that start at x.
    name: as users and messages write it.
    target: the acceptance that a step size is adapted to, of a kernel that tests its moves, so that
        the law of chains is exp(−U)/Z; its steps set `accepted` and `acceptance`. None where
        nothing is tested.
    takes_noise: whether `noise`, `noise_first` and `clip` of a rule mean something to it.
    takes_range: whether it keeps chains in the range of a rule.
    """

    step: Callable[[Function, ChainState, StepRule, Draws], ChainState]
    init: Callable[[Function, Tensor], ChainState] = start_chains
    name: str = "a kernel of one's own"
    target: float | None = None
    takes_noise: bool = True
    takes_range: bool = True

    @property
    def tested(self) -> bool:
        """Whether a Metropolis test refuses moves."""
        return self.target is not None

    def takes(self, rule: StepRule) -> bool:
        """Whether noise and bound of the gradient are such as it can have."""
        return self.takes_noise or (rule.noise is None and rule.clip is None)

    def check(self, rule: StepRule) -> None:
        """Raise SettingError for a rule that the kernel cannot have."""
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
