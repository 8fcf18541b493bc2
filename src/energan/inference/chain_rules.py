"""How chains are moved: which energy takes which step, and by what rule."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

from torch import Tensor

from energan.core import (
    ChainState,
    Function,
    Kernel,
    Randomness,
    SettingError,
    StepRule,
    start_chains,
)
from energan.inference.composition import TrainedEnergy, runs_of
from energan.samplers import dynamics
from energan.samplers.adaptation import Adaptation, check_target
from energan.samplers.dynamics import Chains, check_spread, run_chain
from energan.samplers.kernels import LANGEVIN

TURN = 10
"""Default steps of each energy before the next one takes over."""


@dataclass(frozen=True)
class ChainSchedule:
    """Which energy moves the chains at each step, and how.

    rules: one for each energy. turn: steps of each before the next takes over. anneal: the share of
    the steps, at the end, over which step and noise fall to nothing, which cools the chains.
    kernels: what moves chains on each energy; Langevin steps if empty.
    target_acceptance: what the step size is adapted to in the first `warmup` steps; None for that
    of the rule throughout.

    Raises SettingError for numbers that make no sense, and for a rule that a kernel cannot have.
    """

    rules: tuple[StepRule, ...]
    steps: int
    turn: int = TURN
    anneal: float = 0.0
    kernels: tuple[Kernel, ...] = ()
    target_acceptance: float | None = None
    warmup: int = 0

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise SettingError(f"chains need at least 1 step, not {self.steps}")
        if self.turn < 1:
            raise SettingError(f"a turn needs at least 1 step, not {self.turn}")
        if not 0 <= self.anneal <= 1:
            raise SettingError(
                f"anneal is a fraction of the steps, from 0 to 1, not {self.anneal:g}"
            )
        if not 0 <= self.warmup < self.steps:
            raise SettingError(f"warmup {self.warmup} must be less than the {self.steps} steps")
        for rule, kernel in zip(self.rules, self.kernels, strict=False):
            kernel.check(rule)
        if self.target_acceptance is not None:
            if len(self.rules) > 1:
                raise SettingError(
                    "the step size can be adapted to one energy only: sample the sum of several "
                    "(--together), or leave the target acceptance out"
                )
            check_target(self.kernel(0), self.target_acceptance)

    def kernel(self, which: int) -> Kernel:
        """What moves chains on that energy."""
        return self.kernels[which] if self.kernels else LANGEVIN

    @property
    def tested(self) -> bool:
        """Whether all moves are."""
        return all(self.kernel(which).tested for which in range(len(self.rules)))

    def at(self, k: int) -> tuple[int, StepRule, float]:
        """The energy of step k (from 0), its rule there, and the temperature of the energy, where
        the rule has no noise to tell it."""
        which = k // self.turn % len(self.rules)
        rule, share = self.rules[which], self.share(k)
        if share == 1 or self.kernel(which).takes_noise:
            return which, scale_rule(rule, share), 1.0
        # so that the noise falls by `share`
        return which, replace(rule, step_size=rule.step_size * share**2), share

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
    kernel: Kernel | None = None,
) -> StepRule:
    """The run's rule, for a kernel if one was asked for, with what is given changed.

    noise: a number, or "coupled" for √step_size with half the gradient; clip: a number or "none".
    Raises SettingError if a number makes no sense.
    """
    rule = rule_for(run, kernel)
    if step_size is not None:
        if not 0 < step_size < float("inf"):
            raise SettingError(f"step size {step_size:g}: give a number above 0")
        rule = replace(rule, step_size=step_size)
    if noise is not None:
        if noise != "coupled" and not 0 <= noise < float("inf"):
            raise SettingError(f"noise {noise:g}: give 0 or more")
        rule = replace(rule, noise=None if noise == "coupled" else noise)
    if clip is not None:
        if clip != "none" and not 0 < clip < float("inf"):
            raise SettingError(f"clip {clip:g}: give a number above 0; none for no clipping")
        rule = replace(rule, clip=None if clip == "none" else clip)
    if (rule.step_size, rule.noise) != (run.rule.step_size, run.rule.noise):
        check_spread(rule)
    return rule


def kernel_for(run: TrainedEnergy, rule: StepRule, kernel: Kernel | None) -> Kernel:
    """What moves chains: as asked for, or as in the run's training if the rule allows it."""
    if kernel is not None:
        return kernel
    trained: Kernel | None = runs_of([run])[0].sampler.kernel
    return trained if trained is not None and trained.takes(rule) else LANGEVIN


def rule_for(run: TrainedEnergy, kernel: Kernel | None) -> StepRule:
    """The run's rule; for a kernel that has no noise of its own with noise √ε, as wide as the
    rule's, and no bound of the gradient."""
    rule = run.rule
    if kernel is None or kernel.takes(rule):
        return rule
    return StepRule(rule.spread**2, low=rule.low, high=rule.high)


def move_chains(
    energies: Sequence[Function],
    schedule: ChainSchedule,
    x: Tensor,
    draws: Randomness,
    *,
    mask: Tensor | None = None,
    after: Callable[[Tensor], Tensor] | None = None,
    watch: Callable[[int, Tensor], None] | None = None,
    observe: Callable[[ChainState], None] | None = None,
) -> Chains:
    """Where chains that start at x (B, *event) are after the schedule, and how they went.

    mask: bool, coordinates that stay. after: what each step's x is brought to, as by a constraint.
    observe: called with the state after each step.
    """
    target = schedule.target_acceptance
    adaptation = Adaptation.of(schedule.kernel(0), target, len(x), x.device)
    before: tuple[int, float] | None = None

    def move(state: ChainState) -> ChainState:
        nonlocal before
        k = state.steps
        which, rule, temperature = schedule.at(k)
        kernel, u = schedule.kernel(which), _at_temperature(energies[which], temperature)
        if kernel.init is not start_chains and before != (which, temperature):
            state = _take_over(kernel.init(u, state.x), state)
        before = which, temperature
        one_step = partial(dynamics.step, mask=mask) if kernel is LANGEVIN else kernel.step
        made = one_step(u, state, rule, draws)
        if adaptation is not None and k < schedule.warmup:
            made = adaptation.apply(made, last=k == schedule.warmup - 1)
        made = made if after is None else replace(made, x=after(made.x))
        if observe is not None:
            observe(made)
        return made

    return run_chain(move, start_chains(energies[0], x), schedule.steps, mask, watch)


def _at_temperature(energy: Function, temperature: float) -> Function:
    return energy if temperature == 1 else lambda x: energy(x) / temperature


def _take_over(fresh: ChainState, state: ChainState) -> ChainState:
    """The state with what a kernel keeps of another energy, `fresh`."""
    return replace(
        fresh,
        start=state.start if state.steps else fresh.start,
        gradient_norms=state.gradient_norms,
        steps=state.steps,
        momentum=fresh.momentum if state.momentum is None else state.momentum,
        accepted=fresh.accepted if state.accepted is None else state.accepted,
        scale=state.scale,
    )


def check_finite(x: Tensor, k: int, schedule: ChainSchedule) -> None:
    """Raise SettingError if chains have left the finite numbers by step k."""
    if not x.isfinite().all():
        sizes = ", ".join(f"{rule.step_size:g}" for rule in schedule.rules)
        raise SettingError(
            f"the chains are no longer finite at step {k}: use a smaller step size than {sizes}, "
            "or clip the gradient (clip)"
        )
