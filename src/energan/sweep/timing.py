"""Seconds of a step, from a few that were timed: here and now, or by trials that were done here."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from math import exp, log
from statistics import median
from typing import Any

import numpy as np
import torch

from energan.core import EnerganError
from energan.data import open_data
from energan.experiment.build import cohort_of
from energan.experiment.margin import with_any_margin
from energan.experiment.settings import Job
from energan.sweep.trials import Trial
from energan.training.device import choose

Point = tuple[float, float]
"""Operations of a step, and the seconds that it took."""
Timer = Callable[[Job, int, float], float]
"""(job, threads, seconds it may take) -> seconds of a step. Raises EnerganError for a job that
cannot train."""
WorkOf = Callable[[Trial], float]
"""Operations of a step of a trial."""
NEAR = 1.5
"""Operations within this factor of what was timed need no timing of their own."""
BUDGET = 10.0
"""Seconds for the timing of a trial."""
MOST_STEPS = 200


class StepTimes:
    """Operations of a step -> its seconds: straight lines on logarithmic axes through the points;
    past the last one in proportion to the operations, before the first no less than there."""

    def __init__(self, points: Iterable[Point]) -> None:
        at: dict[float, list[float]] = {}
        for operations, seconds in points:
            at.setdefault(log(max(operations, 1.0)), []).append(max(seconds, 1e-9))
        self.x = sorted(at)
        self.y = [log(median(at[x])) for x in self.x]

    def __call__(self, operations: float) -> float:
        x = log(max(operations, 1.0))
        return exp(float(np.interp(x, self.x, self.y)) + max(0.0, x - self.x[-1]))


def timed(
    trials: Sequence[Trial], work: WorkOf, known: Sequence[Point], threads: int, timer: Timer,
    say: Callable[[str], object],
) -> list[Point]:  # fmt: skip
    """Steps of the cheapest and the dearest trial, where `known` has none that is near."""
    ends = {t.id: t for t in (f(trials, key=work) for f in (min, max) if trials)}
    found: list[Point] = []
    for trial in ends.values():
        operations = work(trial)
        if any(abs(log(other / operations)) <= log(NEAR) for other, _ in (*known, *found)):
            continue
        if not found:
            say(f"measuring how long a step takes, for {BUDGET * len(ends):.0f} s at most")
        try:
            found.append((operations, timer(trial.job, threads, BUDGET)))
        except EnerganError as error:
            say(f"not measured: {error}")
    return found


def time_step(job: Job, threads: int, seconds: float) -> float:
    """A Timer, in this process. It takes longer than asked if the networks or a single step do."""
    before = torch.get_num_threads()
    try:
        engine = choose(job.settings.engine.model_copy(update={"threads": threads}))
        # a margin that is still to be estimated changes no step's time
        loop = cohort_of([with_any_margin(job)], open_data(job.settings.data), engine).loop

        def steps(count: int) -> float:
            begun = time.perf_counter()
            for _ in range(count):
                loop.advance()
            loop.flush_figures()  # waits for the device
            return (time.perf_counter() - begun) / count

        begun = time.perf_counter()
        steps(1)
        warm = steps(1)
        left = seconds - (time.perf_counter() - begun)
        return steps(int(min(MOST_STEPS, max(1.0, left / max(warm, 1e-6)))))
    finally:
        torch.set_num_threads(before)


def points_of(
    records: Iterable[Mapping[str, Any]], trials: Iterable[Trial], work: WorkOf, device: str,
    threads: int | None,
) -> list[Point]:  # fmt: skip
    """What records tell of those trials that ran like this; of a cohort the steps of all members.

    device: cpu or cuda. threads: None if they do not matter.
    """
    asked, found = {trial.id: trial for trial in trials}, []
    for r in records:
        alike = str(r.get("device", "")).split(":")[0] == device
        alike = alike and threads in (None, r.get("threads"))
        if alike and r["id"] in asked and r.get("steps") and r.get("seconds"):
            members = int(r.get("cohort") or 1)
            seconds = members * float(r["seconds"]) / int(r["steps"])
            found.append((members * work(asked[r["id"]]), seconds))
    return found
