"""The step size of chains, adapted until moves are accepted as often as they should be.

Dual averaging (Hoffman & Gelman 2014, eqs 5 and 6) of log h, h = √ε, for each chain by itself:

    H̄ ← (1 − 1/(t + t₀)) H̄ + (δ − α)/(t + t₀)         α: the last acceptance, δ: the target
    log h = log 10h₀ − (√t/γ) H̄                       while it is adapted
    log h̄ ← t^(−κ) log h + (1 − t^(−κ)) log h̄         afterwards

A chain whose step size still depends on where it was has not the law exp(−U)/Z: what counts comes
after. In training U moves on all the time, and so does the step size of all chains, `nudge`d
towards the target.
"""

from dataclasses import dataclass, replace
from math import log

import torch
from torch import Tensor

from energan.core import ChainState, Kernel, SettingError

GAMMA, T0, KAPPA = 0.05, 10, 0.75
"""As published."""
GAIN = 0.2
"""Change of log ε in a training step, per unit that the acceptance is off."""


@dataclass
class Adaptation:
    """Of B chains. target: δ. error: H̄; averaged: log h̄/h₀, both (B,). count: t."""

    target: float
    error: Tensor
    averaged: Tensor
    count: int = 0

    @classmethod
    def of(
        cls, kernel: Kernel, target: float | None, chains: int, device: torch.device
    ) -> "Adaptation | None":
        """None without a target. Raises SettingError for one of a kernel that tests nothing."""
        if target is None:
            return None
        check_target(kernel, target)
        nothing = torch.zeros(chains, device=device)
        return cls(target, nothing, nothing)

    def apply(self, state: ChainState, *, last: bool) -> ChainState:
        """The state with the step size for the next step; of the last one that of all after."""
        assert state.acceptance is not None
        self.count += 1
        t = self.count
        self.error = self.error + (self.target - state.acceptance - self.error) / (t + T0)
        log_h = log(10) - t**0.5 / GAMMA * self.error
        self.averaged = torch.lerp(self.averaged, log_h, t**-KAPPA)
        return replace(state, scale=(2 * (self.averaged if last else log_h)).exp())


def check_target(kernel: Kernel, target: float) -> None:
    """Raise SettingError for an acceptance that is none, or of moves that are not tested."""
    if not 0 < target < 1:
        raise SettingError(f"target acceptance {target:g}: give a number between 0 and 1")
    if not kernel.tested:
        raise SettingError(
            f"a target acceptance needs chains that accept or reject moves, and {kernel.name} "
            "does not: use mala or hmc, or leave it out"
        )


def nudge(log_scale: Tensor, acceptance: Tensor, target: float) -> Tensor:
    """log of what the step size is multiplied by, (1,), after chains were accepted so, (B,)."""
    return log_scale + GAIN * (acceptance.mean() - target)
