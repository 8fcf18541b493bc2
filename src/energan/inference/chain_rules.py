"""How chains are moved: which energy takes which step, and by what rule."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

from torch import Tensor

from energan.core import Function, Randomness, SettingError, StepRule
from energan.inference.composition import TrainedEnergy, runs_of
from energan.samplers import metropolis
from energan.samplers.chains import Dynamics
from energan.samplers.dynamics import (
    Chains,
    ChainState,
    check_spread,
    init,
    run_chain,
    step,
)

TURN = 10
"""Steps of each energy before the next takes over."""


@dataclass(frozen=True)
class ChainSchedule:
    """Which energy moves the chains at each step, and how.

    rules: one for each energy. turn: steps of each before the next takes over. anneal: the share of
    the steps, at the end, over which step and noise fall to nothing, which cools the chains.
    exact: of each energy whether a Metropolis test refuses moves (MALA); none if empty.

    Raises SettingError for numbers that make no sense, and for MALA by a rule that it cannot have.
    """

    rules: tuple[StepRule, ...]
    steps: int
    turn: int = TURN
    anneal: float = 0.0
    exact: tuple[bool, ...] = ()

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise SettingError(f"chains take at least 1 step, not {self.steps}")
        if self.turn < 1:
            raise SettingError(f"a turn is of at least 1 step, not {self.turn}")
        if not 0 <= self.anneal <= 1:
            raise SettingError(f"anneal is a share of the steps, 0 to 1, not {self.anneal:g}")
        for rule, exact in zip(self.rules, self.exact, strict=False):
            if exact and (rule.low is not None or rule.high is not None):
                raise SettingError(
                    "MALA: a chain that is clamped to a range is not exact; use langevin"
                )
            if exact and not allows_metropolis(rule):
                raise SettingError("MALA's noise is √ε, and no gradient is bounded: leave both out")

    def at(self, k: int) -> tuple[int, StepRule]:
        """The energy of step k (from 0), and its rule there."""
        which = k // self.turn % len(self.rules)
        return which, scale_rule(self.rules[which], self.share(k))

    def share(self, k: int) -> float:
        """What is left of step and noise at step k."""
        falling = self.anneal * self.steps
        return min(1.0, (self.steps - k) / falling) if falling else 1.0


def scale_rule(rule: StepRule, share: float) -> StepRule:
    """The rule with its step and its noise times `share`; so is the temperature."""
    if share == 1:
        return rule
    return replace(rule, step_size=rule.descent * share, noise=rule.spread * share)


def change_rule(
    run: TrainedEnergy,
    step_size: float | None = None,
    noise: float | Literal["coupled"] | None = None,
    clip: float | Literal["none"] | None = None,
) -> StepRule:
    """The run's rule with what is given changed.

    noise: a number, or "coupled" for √step_size with half the gradient; clip: a number or "none".
    Raises SettingError if a number makes no sense.
    """
    rule = run.rule
    if step_size is not None:
        if not 0 < step_size < float("inf"):
            raise SettingError(f"step size {step_size:g}: it must be more than 0")
        rule = replace(rule, step_size=step_size)
    if noise is not None:
        if noise != "coupled" and not 0 <= noise < float("inf"):
            raise SettingError(f"noise {noise:g}: it must not be negative")
        rule = replace(rule, noise=None if noise == "coupled" else noise)
    if clip is not None:
        if clip != "none" and not 0 < clip < float("inf"):
            raise SettingError(f"clip {clip:g}: it must be more than 0; none for no bound")
        rule = replace(rule, clip=None if clip == "none" else clip)
    if (rule.step_size, rule.noise) != (run.rule.step_size, run.rule.noise):
        check_spread(rule)
    return rule


def uses_metropolis(run: TrainedEnergy, rule: StepRule, dynamics: Dynamics | None) -> bool:
    """Whether moves are tested: as asked for, or as the run was trained if the rule allows it."""
    if dynamics is not None:
        return dynamics == "mala"
    metropolis: bool = runs_of([run])[0].sampler.metropolis
    return metropolis and allows_metropolis(rule)


def allows_metropolis(rule: StepRule) -> bool:
    """Whether steps of this rule can be tested: the noise is √ε, the gradient as it is."""
    return rule.noise is None and rule.clip is None


def move_chains(
    energies: Sequence[Function],
    schedule: ChainSchedule,
    x: Tensor,
    draws: Randomness,
    *,
    mask: Tensor | None = None,
    after: Callable[[Tensor], Tensor] | None = None,
    watch: Callable[[int, Tensor], None] | None = None,
) -> Chains:
    """Where chains that start at x (B, *event) are after the schedule, and how they went.

    mask: bool, coordinates that stay. after: what each step's x is brought to, as by a constraint.
    """
    before: tuple[int, float] | None = None

    def move(state: ChainState) -> ChainState:
        nonlocal before
        which, rule = schedule.at(state.steps)
        if not (schedule.exact and schedule.exact[which]):
            before, made = None, step(energies[which], state, rule, draws.normal, mask)
        else:
            share = schedule.share(state.steps)
            u = _at_temperature(energies[which], share)
            if before != (which, share):
                state = _take_over(u, state)
            before = which, share
            size = schedule.rules[which].step_size * share**2  # so that the noise falls by `share`
            made = metropolis.step(u, state, size, draws.normal, partial(draws.uniform, 0, 1))
        return made if after is None else replace(made, x=after(made.x))

    return run_chain(move, init(x), schedule.steps, mask, watch)


def _at_temperature(energy: Function, temperature: float) -> Function:
    return energy if temperature == 1 else lambda x: energy(x) / temperature


def _take_over(energy: Function, state: ChainState) -> ChainState:
    """The state with U and ∇U of another energy."""
    fresh = metropolis.init(energy, state.x)
    start = state.start if state.steps else fresh.start
    accepted = fresh.accepted if state.accepted is None else state.accepted
    return replace(
        state, energy=fresh.energy, start=start, gradient=fresh.gradient, accepted=accepted
    )


def check_finite(x: Tensor, k: int, schedule: ChainSchedule) -> None:
    """Raise SettingError if chains have left the finite numbers by step k."""
    if not x.isfinite().all():
        sizes = ", ".join(f"{rule.step_size:g}" for rule in schedule.rules)
        raise SettingError(
            f"the chains are no longer finite by step {k}: use a smaller step size than {sizes}, "
            "or a bound on the gradient (clip)"
        )
