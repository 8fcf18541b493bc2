"""Training for so many minutes: a throw-away copy is timed, and the job scaled to what fits."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from decimal import ROUND_DOWN, Context, Decimal
from fractions import Fraction
from functools import partial
from tempfile import TemporaryDirectory

from energan.core import SettingError
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
from energan.training.step_cost import time_steps
from energan.training.train_state import TrainState

WARM_UP = 3
"""Steps before those that are timed."""
SHARE, MOST = 0.02, 5.0
"""Fraction of the budget spent on timing steps, and the most seconds."""
QUICK = 5.0
"""Seconds of checkpoints and pictures below which they are made a second time, because the first
time also loads libraries."""


@dataclass(frozen=True)
class RunTimes:
    """Seconds. step: of a training step alone. beside: of checkpoints, samples and figures, spread
    over the steps between them. ends: of what is done before the first step and after the last."""

    step: float
    beside: float
    ends: float

    def steps_within(self, seconds: float, estimating: int = 0) -> int:
        """How many steps fit. estimating: the most steps that a margin is estimated by before,
        never more than the run's own."""
        each, left = self.step + self.beside, seconds - self.ends
        steps = left / (each + self.step)
        if steps > estimating:
            steps = (left - estimating * self.step) / each
        return max(0, math.floor(steps))


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

    Raises SettingError if not one step fits, or for jobs whose steps were asked for.
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
    all_steps = jobs[0].settings.training.steps
    estimating = STEPS if any(map(wants_estimate, jobs)) else 0

    def steps_left() -> int:
        return times.steps_within(60 * minutes - (time.perf_counter() - begun), estimating)

    steps = ranks.choose(steps_left)
    if steps < 1:
        raise SettingError(
            f"minutes {minutes:g} is too short for a step of {elapsed(times.step)} and "
            f"{elapsed(times.ends)} for the first and the last checkpoint; give more"
        )
    factor = Fraction(Context(prec=3, rounding=ROUND_DOWN).divide(Decimal(steps), all_steps))
    fitted = [job.scaled(factor, kept=job.asked) for job in jobs]
    count = fitted[0].settings.training.steps
    rate = 1 / (times.step + times.beside)
    say(
        f"{minutes:g} minutes allow {plural(count, 'step')} here, {float(factor):g} of the "
        f"recipe's {all_steps:,}, at {rate:.3g} steps a second with checkpoints and samples; "
        f"schedules are scaled too (--scale {factor} repeats this run)"
    )
    return [replace(job, asked=merged(job.asked, {"minutes": minutes})) for job in fitted]


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
            step = time_steps(cohort.loop, seconds, warm_up=WARM_UP)
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
