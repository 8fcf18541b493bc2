"""Training for so many minutes: a throw-away copy is timed, and the job scaled to what fits."""

import math
import time
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from decimal import ROUND_DOWN, ROUND_UP, Context, Decimal
from fractions import Fraction
from functools import partial
from tempfile import TemporaryDirectory

from energan.core import SettingError
from energan.core.schedules import FOREVER
from energan.data import DataSet
from energan.experiment.build import Cohort, cohort_of
from energan.experiment.callbacks import hooks_of
from energan.experiment.callbacks.curves import draw
from energan.experiment.callbacks.scores import CheckpointMetric
from energan.experiment.margin import STEPS, wants_estimate, with_any_margin
from energan.experiment.settings import Job
from energan.io import console
from energan.io.nested import merged
from energan.io.run_folder import RunFolder
from energan.io.text import elapsed, plural
from energan.training.device import Device
from energan.training.distributed import Distributed
from energan.training.hooks import due
from energan.training.loop import Hook
from energan.training.step_cost import phase_lengths, time_phases
from energan.training.train_state import TrainState

WARM_UP = 3
"""Steps before those that are timed."""
SHARE, MOST = 0.02, 5.0
"""Fraction of the budget spent on timing steps, and the most seconds."""
QUICK = 5.0
"""Seconds of checkpoints and pictures below which they are made a second time, because the first
time also loads libraries."""
LEAST = "give at least"
ROOM = 1.25
"""Factor on the time that was measured, for the budget that is proposed in place of a short one."""


@dataclass(frozen=True)
class RunTimes:
    """Seconds. step: of a training step alone, in each phase of the run. beside: of checkpoints,
    samples and figures, spread over the steps between them. ends: of what is done before the first
    step and after the last."""

    step: tuple[float, ...]
    beside: float
    ends: float

    def run(self, lengths: Sequence[int], estimating: int = 0) -> float:
        """Seconds of a run. lengths: how many steps it has in each phase. estimating: the most
        steps that a margin is estimated by before, never more than the run's own."""
        steps = sum(lengths)
        training = sum(n * each for n, each in zip(lengths, self.step, strict=True))
        return self.ends + min(steps, estimating) * self.step[0] + training + steps * self.beside

    def steps_within(
        self, seconds: float, lengths_of: Callable[[int], Sequence[int]], estimating: int = 0
    ) -> int:
        """How many steps fit. lengths_of: a number of steps -> how many are in each phase."""
        most = max(0.0, seconds - self.ends) / (min(self.step) + self.beside)
        counts = range(1, math.floor(min(most, FOREVER)) + 2)
        return bisect_right(counts, seconds, key=lambda n: self.run(lengths_of(n), estimating))


def fit_minutes(
    jobs: Sequence[Job],
    minutes: float,
    data: DataSet,
    engine: Device,
    ranks: Distributed,
    metric: CheckpointMetric | None,
    say: Callable[[str], None],
) -> list[Job]:
    """The jobs, which train as one program, scaled so that they train about so many minutes from
    now, their margins' estimates, checkpoints and samples included. They say `scale` as if the user
    had given it.

    Raises SettingError if not one step fits, with a budget that would do, or for jobs whose steps
    were asked for.
    """
    begun = time.perf_counter()
    check_minutes(jobs[0], minutes)
    cohort = cohort_of([with_any_margin(job) for job in jobs], data, engine, ranks)
    if not any(p.requires_grad for p in cohort.loop.networks.parameters()):
        raise SettingError(
            "minutes does not apply: this model is fitted in one pass over the data; leave "
            "minutes out"
        )
    times = measure(cohort, data, metric, min(SHARE * 60 * minutes, MOST))
    estimating = STEPS if any(map(wants_estimate, jobs)) else 0
    spent = ranks.choose(lambda: time.perf_counter() - begun)
    lengths_of = partial(_lengths, jobs[0])
    steps = ranks.choose(lambda: times.steps_within(60 * minutes - spent, lengths_of, estimating))
    if steps < 1:
        needed = spent + times.run(lengths_of(1), estimating)
        raise SettingError(
            f"minutes {minutes:g} is too short here: the timing took {elapsed(spent)}, the first "
            f"and the last checkpoint take {elapsed(times.ends)}, and a step "
            f"{elapsed(max(times.step))}; {LEAST} {_minutes(ROOM * needed)}"
        )
    factor, all_steps = _factor(jobs[0], steps), jobs[0].settings.training.steps
    fitted = [job.scaled(factor, kept=job.asked) for job in jobs]
    count = fitted[0].settings.training.steps
    rate = steps / (times.run(lengths_of(steps)) - times.ends)
    say(
        f"{minutes:g} minutes allow {plural(count, 'step')} here, {float(factor):g} of the "
        f"recipe's {all_steps:,}, at {rate:.3g} steps a second with checkpoints and samples; "
        f"schedules are scaled too (--scale {factor} repeats this run)"
    )
    return [replace(job, asked=merged(job.asked, {"minutes": minutes})) for job in fitted]


def _factor(job: Job, steps: int) -> Fraction:
    """What scales the job to so many steps, of three digits."""
    digits = Context(prec=3, rounding=ROUND_DOWN)
    return Fraction(digits.divide(Decimal(steps), job.settings.training.steps))


def _lengths(job: Job, steps: int) -> list[int]:
    """How many steps of the job, scaled to so many, are in each of its phases."""
    if not job.settings.model.phases:
        return [steps]
    scaled = job.scaled(_factor(job, steps), kept=job.asked)
    return phase_lengths(scaled.settings.model.phases, steps)


def _minutes(seconds: float) -> str:
    """Minutes that are no less, of two digits."""
    digits = Context(prec=2, rounding=ROUND_UP)
    return f"{float(digits.divide(Decimal(seconds), 60)):g}"


def of_each(message: str, turns: int) -> str:
    """A refusal of `fit_minutes`, where the minutes were divided by so many turns."""
    return message if turns == 1 or LEAST not in message else f"{message} for each of {turns} turns"


def check_minutes(job: Job, minutes: float) -> None:
    """Raise SettingError for a time that is none, or for a job whose steps were asked for."""
    if not 0 < minutes < math.inf:
        raise SettingError(f"minutes {minutes:g}: give a number above 0")
    training = job.asked.get("training", {})
    for name, given in (
        ("scale", job.asked), ("steps", training), ("epochs", training),
    ):  # fmt: skip
        if given.get(name) is not None:
            raise SettingError(
                f"minutes already sets the number of steps: leave out {name}, or minutes"
            )


def measure(
    cohort: Cohort, data: DataSet, metric: CheckpointMetric | None, seconds: float
) -> RunTimes:
    """Time the cohort, which is used up, with what a run writes, in a folder that is thrown away.

    seconds: for the timing of steps.
    """
    watched, count = cohort.loops[0], len(cohort.loops)
    with TemporaryDirectory() as path:
        folder = RunFolder(path, cohort.loop.ranks.writes)
        hooks = hooks_of(watched, cohort.jobs[0], data, folder, metric, console.silent, [])
        try:
            begin = sum(_seconds(partial(hook.start, watched)) for hook in hooks)
            phases = cohort.jobs[0].settings.model.phases
            step = time_phases(cohort.loop, phases, seconds, warm_up=WARM_UP)
            times = _times(hooks, watched)
            if sum(times) < QUICK:
                cohort.loop.advance()
                times = _times(hooks, watched)
            times.append(_seconds(partial(draw, folder, watched)))
        finally:
            for hook in hooks:
                hook.close()
    every = [getattr(hook, "every", 0) for hook in hooks]
    beside = sum(spent / n for spent, n in zip(times, every, strict=False) if n)
    return RunTimes(step, count * beside, count * (begin + sum(times)))


def _times(hooks: Sequence[Hook], loop: TrainState) -> list[float]:
    """Seconds of what each hook writes at an end."""
    write = [  # one that writes at this step as at others does so only then
        hook.step if due(loop.step, getattr(hook, "every", 0)) else hook.finish for hook in hooks
    ]
    return [_seconds(partial(work, loop)) for work in write]


def _seconds(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun
