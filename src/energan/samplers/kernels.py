"""The kernels that chains can move by, by name, and the settings that they have."""

from functools import partial
from math import inf
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from energan.core import Config, Draws, Energy, Function, Kernel, SettingError, StepRule
from energan.samplers import dynamics, hamiltonian, metropolis
from energan.samplers.adaptation import Adaptation
from energan.samplers.dynamics import (
    Chains,
    Watch,
    as_function,
    check_points,
    draws_like,
    run_chain,
)
from energan.samplers.hamiltonian import FRICTION, LEAPFROG

HMC_TARGET = 0.8
Dynamics = Literal["langevin", "mala", "hmc", "underdamped"]
LANGEVIN = Kernel(dynamics.step, name="langevin")
MALA = Kernel(metropolis.step, metropolis.init, "mala", 0.574, takes_noise=False, takes_range=False)


def kernel_of(name: Dynamics, leapfrog: int = LEAPFROG, friction: float = FRICTION) -> Kernel:
    """Return a kernel by its name.

    Args:
        name: "langevin", "mala", "hmc" or "underdamped".
        leapfrog: for "hmc": number of leapfrog steps per move.
        friction: for "underdamped": friction γ.
    """
    if name == "hmc":
        trajectory = partial(hamiltonian.step, steps=leapfrog)
        return Kernel(trajectory, metropolis.init, "hmc", HMC_TARGET, takes_noise=False)
    if name == "underdamped":
        inert = partial(hamiltonian.underdamped_step, friction=friction)
        return Kernel(inert, hamiltonian.start_underdamped, "underdamped", takes_noise=False)
    return MALA if name == "mala" else LANGEVIN


class Dynamical(Config):
    """Settings of how chains move in training."""

    dynamics: Dynamics = Field(
        "langevin",
        description="langevin or underdamped (approximate), mala or hmc (exact for any step size)",
    )
    leapfrog: int = Field(LEAPFROG, ge=1, description="hmc: gradient steps in each of the K steps")
    friction: float = Field(FRICTION, gt=0, description="underdamped: friction γ")
    target_acceptance: float | None = Field(
        None, gt=0, lt=1, description="mala and hmc: adapt the step size to this acceptance rate"
    )

    @property
    def kernel(self) -> Kernel:
        """Raises SettingError for an acceptance of moves that are not tested."""
        found = kernel_of(self.dynamics, self.leapfrog, self.friction)
        if self.target_acceptance is not None and not found.tested:
            raise SettingError(
                "model.target_acceptance applies to mala and hmc only, and model.dynamics is "
                f"{self.dynamics}: leave it out"
            )
        return found


def run_kernel(
    kernel: Kernel,
    energy: Function | Energy,
    x: Tensor,
    *,
    rule: StepRule,
    steps: int,
    target_acceptance: float | None = None,
    warmup: int = 0,
    generator: torch.Generator | Draws | None = None,
    watch: Watch | None = None,
) -> Chains:
    """Run chains with any kernel from x.

    Args:
        kernel: how chains move; see `kernel_of`.
        energy: function from (B, *event) to U (B,), or an energy.
        x: starting points, floating point, (B, *event).
        rule: settings of a step.
        steps: number of steps, at least 1.
        target_acceptance: acceptance rate that the step size of each chain is adapted to during
            warm-up.
        warmup: steps before the others, which the diagnostics leave out.
        generator: source of random numbers; torch's default generator if not given.
        watch: function (k, x), called after step k.

    Returns:
        The end points and diagnostics.

    Raises:
        ValueError: for arguments that `langevin` refuses.
        SettingError: for a rule or target that the kernel cannot follow.
    """
    if not 0 < rule.step_size < inf:
        raise ValueError(f"step_size must be positive and finite, not {rule.step_size}")
    if (rule.low is None) != (rule.high is None) and kernel.name != "langevin":
        raise ValueError("a range has two ends: give low and high, or neither")
    check_points(x)
    kernel.check(rule)
    adaptation = Adaptation.of(kernel, target_acceptance, len(x), x.device)
    draws = draws_like(x, generator)
    with as_function(energy) as u:
        state = kernel.init(u, x)
        for k in range(warmup):
            state = kernel.step(u, state, rule, draws)
            if adaptation is not None:
                state = adaptation.apply(state, last=k == warmup - 1)
        return run_chain(
            lambda s: kernel.step(u, s, rule, draws), state.restarted(), steps, None, watch
        )
