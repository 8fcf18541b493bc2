"""What trains with what, in how many processes, and how long it takes."""

import socket
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from heapq import heapify, heapreplace
from statistics import median
from typing import Any, Literal

import torch

from energan.core import SettingError
from energan.experiment.settings import Job
from energan.io.cores import cores
from energan.io.memory import free_memory
from energan.io.text import duration, plural, size_text
from energan.sweep.costs import CostModel, DomainOf
from energan.sweep.timing import StepTimes, Timer, points_of, time_step, timed
from energan.sweep.trials import Trial, packages_of
from energan.training.device import choose

Together = Literal["auto", "cohort", "apart"]
Shard = tuple[int, int]
"""(k, n): of n shards the k-th, from 1."""
Say = Callable[[str], object]
Records = Sequence[Mapping[str, Any]]
SCORING = 10.0
"""Seconds to score a trial, where no record tells: a guess."""
SPEED, SHORTEST = 2e10, 0.005
"""Operations a second of a process, and seconds of the smallest step, where nothing is measured."""
SHARE = 0.8
"""Of the free memory, what trials may take: the rest is for what was not counted."""
OWN = 600_000_000
"""Bytes of a process before it trains: torch's libraries, or a GPU's context; and data."""


@dataclass(frozen=True)
class Machine:
    """free: bytes, of one GPU or of the machine. gpus: 0 on a CPU."""

    device: torch.device
    gpus: int
    cores: int
    free: int
    host: str

    def layout(self, packages: int, processes: int | None, threads: int | None) -> tuple[int, int]:
        """(processes, threads of each) for at most `packages` at once; what is given stays.

        A process for each core, or GPU; if there is less to do, more threads for each.
        """
        if processes is None:
            most = self.gpus or max(1, self.cores // (threads or 1))
            processes = max(1, min(most, packages))
        return processes, threads or max(1, self.cores // processes)

    def room(self, processes: int) -> int:
        """Bytes that a package of one of so many processes may take."""
        beside = -(-processes // self.gpus) if self.gpus else processes
        return max(0, int(SHARE * self.free / beside) - OWN)


def machine_of(job: Job) -> Machine:
    """Where the job would train. Raises SettingError for a device that is not there."""
    device = choose(job.settings.engine, switches=False).device
    host = socket.gethostname()
    if device.type == "cpu":
        return Machine(device, 0, cores(), free_memory(), host)
    gpus = torch.cuda.device_count() if device.index is None else 1
    free, _ = torch.cuda.mem_get_info(device)
    return Machine(device, gpus, cores(), free, host)


@dataclass
class SweepPlan:
    """asked: its trials, done or not. packages: of those to do, in that order. processes, with
    `threads` each. seconds: of each trial to do, its share of a cohort. total_seconds: until all
    are done. facts: (what, how much) of what the estimate rests on."""

    packages: list[list[Trial]]
    processes: int
    threads: int
    seconds: dict[str, float]
    total_seconds: float
    asked: list[Trial]
    machine: Machine
    facts: list[tuple[str, str]]
    notes: list[str] = field(default_factory=list)

    def text(self) -> str:
        asked, to_do = len(self.asked), len(self.seconds)
        threads = plural(self.threads, "thread")
        where = f"{self.machine.device} of {self.machine.host}"
        total, all_of = duration(self.total_seconds), duration(sum(self.seconds.values()))
        rows = [
            ("trials", f"{asked} asked for, {asked - to_do} done, {to_do} to do"),
            ("together", self._together()),
            ("processes", f"{self.processes} with {threads} each, on {where}"),
            *self.facts,
            ("time left", f"{total}; all trials {all_of}"),
            *(("note", note) for note in self.notes),
        ]
        wide = max(len(what) for what, _ in rows)
        return "\n".join(f"{what:{wide}}  {said}" for what, said in rows)

    def _together(self) -> str:
        sizes = Counter(len(package) for package in self.packages)
        alone = sizes.pop(1, 0)
        parts = [f"{plural(n, 'cohort')} of {m}" for m, n in sorted(sizes.items(), reverse=True)]
        return ", ".join(parts + ([f"{alone} alone"] if alone else [])) or "none"


def plan(
    trials: Iterable[Trial],
    done: set[str],
    *,
    processes: int | None = None,
    threads: int | None = None,
    together: Together = "auto",
    shard: Shard | None = None,
    records: Records = (),
    say: Say = lambda text: None,
    domain: DomainOf | None = None,
    machine: Machine | None = None,
    timer: Timer = time_step,
    measure: bool = True,
) -> SweepPlan:
    """How to work on the trials that are not done.

    processes, threads: as asked for; chosen if not. together: auto is cohort on a GPU, where trials
    of one shape go together, as many as memory holds, and apart on a CPU. shard: every n-th package
    from the k-th; packages are then made of all trials, done or not, so that all shards see the
    same. records: of trials of this sweep, whose times count where they come from this machine.
    domain: of data, if not by opening it; machine, timer: if not this one, measured. measure:
    whether to, which takes a while; without it, and without records, times are guessed.

    Raises SettingError for networks that cannot be built, DataError for data that cannot be opened.
    """
    asked = list({trial.id: trial for trial in trials}.values())
    if not asked:
        raise SettingError("there are no trials to plan: name values for each axis")
    machine, notes = machine or machine_of(asked[0].job), list[str]()
    know = CostModel(machine.device, domain)
    wanted = asked if shard else [trial for trial in asked if trial.id not in done]
    if processes is None and wanted:
        most, _ = machine.layout(len(wanted), None, threads)
        processes = _fitting(machine, max(know.bytes([t]) for t in wanted), most, notes)
    processes, threads = machine.layout(len(wanted), processes, threads)

    if together == "auto":
        together = "cohort" if machine.gpus else "apart"
    k, n = shard or (1, 1)
    busy = -(-len(wanted) // (processes * n))  # more in one would leave a process without work

    def fit(group: Sequence[Trial]) -> int:
        return 1 if together == "apart" else min(know.fitting(group, machine.room(processes)), busy)

    packages = packages_of(wanted, know.shape, fit)[k - 1 :: n]
    if shard:
        asked = [trial for package in packages for trial in package]
        packages = [left for p in packages if (left := [t for t in p if t.id not in done])]
    found = SweepPlan(packages, processes, threads, {}, 0.0, asked, machine, [], notes)
    _estimate(found, know, records, timer if measure else None, say)
    return found


def _estimate(
    plan: SweepPlan, know: CostModel, records: Records, timer: Timer | None, say: Say,
) -> None:  # fmt: skip
    """Add the plan's times, and what they rest on."""
    machine, left = plan.machine, [trial for package in plan.packages for trial in package]
    here = [r for r in records if r.get("state") == "done" and r.get("host") == machine.host]
    threads = plan.threads if machine.device.type == "cpu" else None
    points = points_of(here, plan.asked, know.work, machine.device.type, threads)
    measured = timed(left, know.work, points, plan.threads, timer, say) if timer else []
    scored = [float(r["scoring_seconds"]) for r in here if r.get("scoring_seconds")]
    scoring = median(scored or [SCORING])
    plan.facts += [("shapes", f"{len({know.shape(trial) for trial in left})}")]
    plan.facts += [
        ("measured", f"{seconds:.3g} s a step, {work / 1e9:.2g} GFLOP")
        for work, seconds in sorted(measured)
    ]
    if points:
        plan.facts.append(("from records", f"steps of {plural(len(points), 'trial')} done here"))
    plan.facts.append(("scoring", f"{duration(scoring)} a trial"))
    if left:
        largest, room = max(map(know.bytes, plan.packages)), machine.room(plan.processes)
        plan.facts.append(
            ("memory", f"{size_text(largest)} at most, of {size_text(room)} for each process")
        )
    points += measured
    if left and not points:
        plan.notes.append(f"nothing is measured: {SPEED:.0e} operations a second are guessed")
    if not scored:
        plan.notes.append(f"{SCORING:.0f} s to score a trial is a guess, until one is done here")
    step = StepTimes(points or [(SPEED * seconds, seconds) for seconds in (SHORTEST, 1.0)])
    times = []
    for package in plan.packages:
        steps = max(trial.job.settings.training.steps for trial in package)
        seconds = steps * step(sum(map(know.work, package))) + len(package) * scoring
        times.append(seconds)
        plan.seconds |= {trial.id: seconds / len(package) for trial in package}
    plan.total_seconds = makespan(times, plan.processes)


def _fitting(machine: Machine, largest: int, processes: int, notes: list[str]) -> int:
    """No more processes than can hold the largest trial at once."""
    fits = max((n for n in range(1, processes + 1) if machine.room(n) >= largest), default=1)
    if fits < processes:
        notes.append(f"{fits} processes of {processes}: memory holds no more of the largest trial")
    return fits


def makespan(seconds: Iterable[float], processes: int) -> float:
    """Until all is done, if each process takes the next in order as soon as it is free."""
    free = [0.0] * processes
    heapify(free)
    for length in seconds:
        heapreplace(free, free[0] + length)
    return max(free)
