"""Seconds of a step, from a few that were measured: of a trial alone, and of a cohort."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import exp, log
from statistics import median
from typing import Any

import numpy as np

NEAR = 1.5
"""Operations within this factor of what was measured need no measurement of their own."""
LEAST = 0.01
"""Of the time alone, what one more member costs at least, whatever the clock says."""


@dataclass(frozen=True)
class Timing:
    """seconds: of a step of all members together. operations: of one member's step."""

    operations: float
    members: int
    seconds: float


class Curve:
    """Through points (operations, seconds), straight lines on logarithmic axes; past the last point
    in proportion to the operations, before the first no less than there."""

    def __init__(self, points: Iterable[tuple[float, float]]) -> None:
        at: dict[float, list[float]] = {}
        for operations, seconds in points:
            at.setdefault(log(max(operations, 1.0)), []).append(max(seconds, 1e-9))
        self.x = sorted(at)
        self.y = [log(median(at[x])) for x in self.x]

    def __bool__(self) -> bool:
        return bool(self.x)

    def __call__(self, operations: float) -> float:
        x = log(max(operations, 1.0))
        return exp(float(np.interp(x, self.x, self.y)) + max(0.0, x - self.x[-1]))


class Speeds:
    """Of M members a step takes T(1) + (M − 1)·b, both T and b by the operations of a step."""

    def __init__(self, timings: Sequence[Timing]) -> None:
        """timings: one at least of a trial alone."""
        self.alone = Curve((t.operations, t.seconds) for t in timings if t.members == 1)
        self.another = Curve(
            (t.operations, max(more, LEAST * one))
            for t in timings
            if t.members > 1
            for one in [self.alone(t.operations)]
            for more in [(t.seconds - one) / (t.members - 1)]
        )

    def step(self, operations: float, members: int) -> float:
        """Seconds of a step of all members. Of cohorts that were never timed: no gain."""
        one = self.alone(operations)
        return one + (members - 1) * (self.another(operations) if self.another else one)

    def gain(self, operations: float, members: int) -> float:
        """How many times faster a member is in a cohort of so many than alone."""
        return members * self.alone(operations) / self.step(operations, members)


def covered(timings: Iterable[Timing], operations: float, cohort: bool) -> bool:
    """Whether there is a timing near enough, of a cohort or alone."""
    return any(
        (t.members > 1) == cohort and abs(log(t.operations / operations)) <= log(NEAR)
        for t in timings
    )


Record = Mapping[str, Any]


def finished_here(records: Iterable[Record], host: str) -> list[Record]:
    """Those of trials that were done on this machine."""
    return [r for r in records if r.get("state") == "done" and r.get("host") == host]


def timings_of(
    records: Iterable[Record], work: Mapping[str, float], device: str, threads: int | None
) -> list[Timing]:
    """What records tell of trials that ran like this. work: id -> operations of a step.

    device: cpu or cuda. threads: None if they do not matter.
    """
    found = []
    for r in records:
        alike = str(r.get("device", "")).split(":")[0] == device
        alike = alike and threads in (None, r.get("threads"))
        if alike and r["id"] in work and r.get("steps") and r.get("seconds"):
            members = int(r.get("cohort") or 1)
            seconds = members * float(r["seconds"]) / int(r["steps"])
            found.append(Timing(work[r["id"]], members, seconds))
    return found
