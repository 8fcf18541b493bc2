"""How long trials take, and which gain by training together."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from heapq import heapify, heapreplace
from typing import Literal

from energan.sweep.grouping import Known, Members, packages_of
from energan.sweep.machine import Machine
from energan.sweep.speeds import Speeds
from energan.sweep.trials import Trial

Together = Literal["auto", "cohort", "apart"]
GAIN = 1.05
"""How many times faster a member must be in a cohort, to be put into one."""


@dataclass
class Estimator:
    """What is known of trials and their speed; it makes packages of any of them."""

    machine: Machine
    processes: int
    threads: int
    together: Together
    speeds: Speeds
    scoring: float
    know: Callable[[Trial], Known]

    def packages(self, trials: Iterable[Trial]) -> list[Members]:
        known = [self.know(trial) for trial in trials]
        busy = -(-len(known) // self.processes)
        worth = {
            "apart": None,
            "cohort": lambda part: True,
            "auto": lambda part: self.gain(part) >= GAIN,
        }[self.together]
        return packages_of(known, self.machine.room(self.processes), busy, worth)

    def gain(self, package: Sequence[Known]) -> float:
        return self.speeds.gain(_work(package), len(package))

    def seconds(self, package: Sequence[Known]) -> float:
        """Of training and scoring all of a package."""
        step = self.speeds.step(_work(package), len(package))
        return max(known.steps for known in package) * step + len(package) * self.scoring

    def wall(self, packages: Iterable[Sequence[Known]]) -> float:
        """Seconds until all are done."""
        return makespan([self.seconds(package) for package in packages], self.processes)


def makespan(seconds: Iterable[float], processes: int) -> float:
    """Until all is done, if each process takes the next in order as soon as it is free."""
    free = [0.0] * processes
    heapify(free)
    for length in seconds:
        heapreplace(free, free[0] + length)
    return max(free)


def _work(package: Sequence[Known]) -> float:
    return sum(one.work for one in package) / len(package)
