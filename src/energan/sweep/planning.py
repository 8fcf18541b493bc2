"""What trains with what, in how many processes, and how long it takes."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from energan.core import SettingError
from energan.sweep.costing import Costs
from energan.sweep.estimating import Estimator, Together
from energan.sweep.grouping import Known, Members, Package
from energan.sweep.knowing import DomainOf, Domains, Knowing
from energan.sweep.machine import Machine, machine_of
from energan.sweep.measuring import Bench, Timer
from energan.sweep.probing import timed
from energan.sweep.speeds import Speeds, Timing, finished_here, timings_of
from energan.sweep.telling import rows_of
from energan.sweep.trials import Trial

Say = Callable[[str], object]
SCORING = 10.0
"""Seconds to score a trial, where no record tells: a guess."""
SPEED, SHORTEST = 2e10, 0.005
"""Operations a second of a process, and seconds of the smallest step, where nothing is measured."""


@dataclass
class Plan:
    """packages: in the order of the trials asked for. processes, with `threads` each. seconds: of
    each trial to do, its share of a cohort. total_seconds: of the clock, until all are done.
    measured: what the estimate rests on, beside so many `recorded` trials of this machine."""

    packages: list[Package]
    processes: int
    threads: int
    seconds: dict[str, float]
    total_seconds: float
    asked: int
    known: list[Members]
    estimator: Estimator
    measured: list[Timing]
    recorded: int
    notes: list[str] = field(default_factory=list)

    @property
    def to_do(self) -> int:
        return len(self.seconds)

    def rows(self) -> list[tuple[str, str]]:
        """(what, how much), to be printed."""
        return rows_of(self)

    def text(self) -> str:
        wide = max(len(what) for what, _ in self.rows())
        return "\n".join(f"{what:{wide}}  {said}" for what, said in self.rows())


def plan(
    trials: Iterable[Trial],
    done: set[str],
    *,
    processes: int | None = None,
    threads: int | None = None,
    together: Together = "auto",
    records: Iterable[Mapping[str, Any]] = (),
    say: Say = lambda text: None,
    domain: DomainOf | None = None,
    machine: Machine | None = None,
    timer: Timer | None = None,
    measure: bool = True,
    costs: Costs | None = None,
) -> Plan:
    """How to work on the trials that are not done.

    processes, threads: as asked for; chosen if not. records: of trials of this sweep, whose times
    count where they come from this machine. domain: of data, if not by opening it; machine, timer:
    if not this one, measured. measure: whether to, which takes a while; without it, and without
    records, times are guessed. costs: what is counted already.

    Raises SettingError for networks that cannot be built, DataError for data that cannot be opened.
    """
    asked = list({trial.id: trial for trial in trials}.values())
    left = [trial for trial in asked if trial.id not in done]
    if not asked:
        raise SettingError("there are no trials to plan: name values for each axis")
    machine = machine or machine_of(asked[0].job)
    know = Knowing(machine, domain or Domains(), costs or Costs())
    known = [know(trial) for trial in left]
    notes: list[str] = []
    if processes is None and known:
        processes = _fitting(machine, known, machine.layout(len(known), None, threads)[0], notes)
    processes, threads = machine.layout(len(known), processes, threads)

    here = finished_here(records, machine.host)
    ids = {r["id"] for r in here}
    work = {trial.id: know(trial).work for trial in asked if trial.id in ids}
    shares = threads if machine.device.type == "cpu" else None
    recorded = timings_of(here, work, machine.device.type, shares)
    most = 1 if together == "apart" else -(-len(known) // processes)
    measured: list[Timing] = []
    if measure:
        with ExitStack() as stack:
            if timer is None:
                timer = stack.enter_context(Bench(1 if machine.gpus else processes, threads))
            measured = timed(known, recorded, machine, processes, most, timer, say)
    timings = recorded + measured
    if not any(t.members == 1 for t in timings):
        if known:
            notes.append(f"nothing is measured: {SPEED:.0e} operations a second are guessed")
        timings += [Timing(SPEED * seconds, 1, seconds) for seconds in (SHORTEST, 1.0)]
    scored = [float(r["scoring_seconds"]) for r in here if r.get("scoring_seconds")]
    if not scored:
        notes.append(f"{SCORING:.0f} s to score a trial is a guess, until one is done here")
    estimator = Estimator(
        machine, processes, threads, together, Speeds(timings), median(scored or [SCORING]), know
    )
    made = estimator.packages(left)
    each = {
        one.trial.id: estimator.seconds(package) / len(package)
        for package in made
        for one in package
    }
    return Plan(
        [[one.trial for one in package] for package in made],
        processes, threads, each, estimator.wall(made), len(asked), made, estimator, measured,
        len(recorded), notes,
    )  # fmt: skip


def _fitting(machine: Machine, known: Sequence[Known], processes: int, notes: list[str]) -> int:
    """No more processes than can hold the largest trial at once."""
    largest = max(one.bytes + one.beside for one in known)
    fits = max((n for n in range(1, processes + 1) if machine.room(n) >= largest), default=1)
    if fits < processes:
        notes.append(f"{fits} processes of {processes}: memory holds no more of the largest trial")
    return fits
