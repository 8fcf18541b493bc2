"""Which trials are timed before a plan is made: a handful that span the cost of a step."""

import time
from collections.abc import Callable, Sequence

from energan.core import EnerganError
from energan.sweep.grouping import Known, Members, most_of, together
from energan.sweep.machine import Machine
from energan.sweep.measuring import Timer
from energan.sweep.speeds import Timing, covered

BUDGET = 60.0
"""Seconds for all measurements, of a large sweep; of one of n trials 10 + n, if that is less."""
PLACES = (0.0, 1.0, 1 / 3, 2 / 3)
"""Which of the groups, sorted by cost, are timed: the ends first."""
ON_CPU = 4
"""Members of a timed cohort on a CPU, where each costs about the same."""

Clock = Callable[[], float]


def timed(
    known: Sequence[Known],
    timings: Sequence[Timing],
    machine: Machine,
    processes: int,
    most: int,
    timer: Timer,
    say: Callable[[str], object],
    clock: Clock = time.monotonic,
) -> list[Timing]:
    """Times of steps of a few of the trials, alone and, with `most` > 1, as cohorts of so many at
    most, where `timings` have none. It stops where its seconds are spent."""
    wanted = [
        part
        for part in probes(known, machine, processes, most)
        if not covered(timings, part[0].work, len(part) > 1)
    ]
    if not wanted:
        return []
    budget = min(BUDGET, 10.0 + len(known))
    say(f"measuring how long a step takes, for {budget:.0f} s or a little more")
    begun, found, why = clock(), [], set()
    for i, part in enumerate(wanted):
        left = budget - (clock() - begun)
        if left <= 0:
            break
        try:
            seconds = timer([one.trial.job for one in part], left / (len(wanted) - i))
        except EnerganError as error:
            why.add(str(error))
            continue
        work = sum(one.work for one in part) / len(part)
        found.append(Timing(work, len(part), seconds))
    for reason in sorted(why):
        say(f"not measured: {reason}")
    return found


def probes(known: Sequence[Known], machine: Machine, processes: int, most: int) -> list[Members]:
    """What to time, the ends of the range first: a trial alone, and members of its group."""
    groups = sorted(together(known), key=lambda group: group[0].work)
    room = machine.room(processes)
    sizes = [
        min(len(g), most_of(g, room, most), len(g) if machine.gpus else ON_CPU) for g in groups
    ]
    large = [(g, n) for g, n in zip(groups, sizes, strict=True) if n > 1]
    found: list[Members] = []
    for place in PLACES:
        for members in (
            ([groups[round(place * (len(groups) - 1))][:1]] if groups else []),
            ([g[:n] for g, n in [large[round(place * (len(large) - 1))]]] if large else []),
        ):
            found += [m for m in members if m not in found]
    return found
