"""What trains with what, in how many processes, and how long it takes."""

import socket
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from heapq import heapreplace
from statistics import median
from typing import Literal

import numpy as np
import torch

from energan.core import EnerganError, SettingError
from energan.core.accelerators import accelerator_memory, accelerators_of
from energan.data import open_data
from energan.experiment.settings import Job
from energan.io.cores import cores, environment_threads
from energan.io.memory import free_memory
from energan.io.text import duration, plural, size_text
from energan.sweeps.costs import BUDGET, Cost, DomainOf, StepTimes, costs_of, points_of, time_step
from energan.sweeps.store import Record
from energan.sweeps.trials import Trial
from energan.training.device import choose

Together = Literal["auto", "cohort", "apart"]
Shard = tuple[int, int]
"""(k, n): of n shards the k-th, from 1."""
Say = Callable[[str], object]
Timer = Callable[[Job, int], float]
"""(job, threads) -> seconds of a step. Raises EnerganError for a job that cannot train."""
SCORING = 10.0
"""Seconds to score a trial, where no record tells: a guess."""
SHARE = 0.8
"""Of the free memory, what trials may take: the rest is for what was not counted."""
OWN = 600_000_000
"""Bytes of a process before it trains: torch's libraries, or a GPU's context; and data."""


@dataclass(frozen=True)
class Machine:
    """free: bytes, of one GPU or of the machine. gpus: 0 on a CPU. threads: of each process, if the
    environment says."""

    device: torch.device
    gpus: int
    cores: int
    free: int
    host: str
    threads: int | None = None

    def layout(
        self, packages: int, processes: int | None, threads: int | None, largest: int = 0
    ) -> tuple[int, int]:
        """(processes, threads of each) for at most `packages` at once; what is given stays.

        A process for each core, or GPU, as far as all can hold a trial of `largest` bytes; if there
        is less to do, more threads for each.
        """
        threads = threads or self.threads
        if processes is None:
            most = min(packages, self.gpus or self.cores // (threads or 1))
            fitting = (n for n in range(1, most + 1) if self.room(n) >= largest)
            processes = max(fitting, default=1)
        return processes, threads or max(1, self.cores // processes)

    def room(self, processes: int) -> int:
        """Bytes that a package of one of so many processes may take."""
        beside = -(-processes // self.gpus) if self.gpus else processes
        return max(0, int(SHARE * self.free / beside) - OWN)


def machine_of(job: Job) -> Machine:
    """Where the job would train. Raises SettingError for a device that is not there."""
    device = choose(job.settings.engine, switches=False).device
    gpus, free = accelerators_of(device), accelerator_memory(device)
    free = free_memory() if free is None else free
    return Machine(device, gpus, cores(), free, socket.gethostname(), environment_threads())


@dataclass
class SweepPlan:
    """asked: its trials, done or not. packages: of those to do, in that order. processes, with
    `threads` each. seconds: of each trial to do, its share of a cohort; none if nothing could be
    measured. facts: (what, how much) of what the estimate rests on."""

    packages: list[list[Trial]]
    processes: int
    threads: int
    asked: list[Trial]
    machine: Machine
    seconds: dict[str, float] = field(default_factory=dict)
    facts: list[tuple[str, str]] = field(default_factory=list)

    @property
    def total_seconds(self) -> float:
        """Until all are done, if each process takes the next package as soon as it is free."""
        free = [0.0] * self.processes
        for package in self.packages:
            length = sum(self.seconds.get(trial.id, 0.0) for trial in package)
            heapreplace(free, free[0] + length)
        return max(free)

    def text(self) -> str:
        device, host = self.machine.device, self.machine.host
        asked, left = len(self.asked), sum(map(len, self.packages))
        threads = plural(self.threads, "thread")
        time_left = "unknown until the first trial is done"
        if self.seconds or not left:
            time_left = duration(self.total_seconds)
            if self.processes > 1:
                time_left += f"; one trial after the other {duration(sum(self.seconds.values()))}"
        rows = [
            ("trials", f"{asked} asked for, {asked - left} done, {left} to do"),
            ("training", self._training()),
            ("processes", f"{self.processes} with {threads} each, on {device} of {host}"),
            *self.facts,
            ("time left", time_left),
        ]
        wide = max(len(what) for what, _ in rows)
        return "\n".join(f"{what:{wide}}  {said}" for what, said in rows)

    def _training(self) -> str:
        parts = [
            f"{plural(count, 'cohort')} of {size} trials"
            if size > 1
            else plural(count, "single trial")
            for size, count in sorted(Counter(map(len, self.packages)).items())
        ]
        return ", ".join(parts) or "none"


def plan(
    trials: Iterable[Trial],
    done: set[str],
    *,
    processes: int | None = None,
    threads: int | None = None,
    together: Together = "auto",
    shard: Shard | None = None,
    records: Sequence[Record] = (),
    say: Say = lambda text: None,
    domain_of: DomainOf = lambda data: open_data(data).domain,
    machine: Machine | None = None,
    timer: Timer = time_step,
) -> SweepPlan:
    """How to work on the trials that are not done.

    processes, threads: as asked for; chosen if not. together: auto is cohort on a GPU, where trials
    of one shape go together, as many as memory holds, and apart on a CPU. shard: every n-th package
    from the k-th; packages are then made of all trials, done or not, so that all shards see the
    same. records: of trials of this sweep; the times of those that ran like this on this machine
    count, and else a few steps are timed. domain_of, machine, timer: if not those that are here.

    Raises SettingError for networks that cannot be built, DataError for data that cannot be opened.
    """
    asked = list({trial.id: trial for trial in trials}.values())
    if not asked:
        raise SettingError("there are no trials to plan: give values for each axis")
    machine = machine or machine_of(asked[0].job)
    costs = costs_of(asked, domain_of)
    wanted = asked if shard else [trial for trial in asked if trial.id not in done]
    largest = max((costs[trial.id].memory() for trial in wanted), default=0)
    processes, threads = machine.layout(len(wanted), processes, threads, largest)
    cohorts = together == "cohort" or (together == "auto" and machine.gpus > 0)
    k, n = shard or (1, 1)
    # more in a cohort would leave a process without work
    members = -(-len(wanted) // (processes * n)) if cohorts else 1
    packages = group_trials(wanted, costs, members, machine.room(processes))[k - 1 :: n]
    if shard:
        asked = [trial for package in packages for trial in package]
        packages = [left for p in packages if (left := [t for t in p if t.id not in done])]
    found = SweepPlan(packages, processes, threads, asked, machine)
    if packages:
        _estimate(found, costs, records, timer, say)
    return found


def group_trials(
    trials: Sequence[Trial], costs: Mapping[str, Cost], most: int, room: int
) -> list[list[Trial]]:
    """All trials in packages, each of which trains as one program, in the order of their first.

    Those of one shape go together, `most` at most, and no more than `room` bytes hold; they are
    split into as few even parts as there can be: 24 where 20 fit are 12 and 12.
    """
    groups: dict[str, list[int]] = {}
    for place, trial in enumerate(trials):
        groups.setdefault(costs[trial.id].shape, []).append(place)
    parts: list[list[int]] = []
    for group in groups.values():
        fit = min(most, costs[trials[group[0]].id].fitting(room))
        parts += [part.tolist() for part in np.array_split(group, -(-len(group) // fit))]
    return [[trials[place] for place in part] for part in sorted(parts)]


def _estimate(
    plan: SweepPlan, costs: Mapping[str, Cost], records: Sequence[Record], timer: Timer, say: Say
) -> None:
    """Add the plan's times, and what they rest on."""
    machine = plan.machine
    here = [r for r in records if r.get("state") == "done" and r.get("host") == machine.host]
    scored = [float(r["scoring_seconds"]) for r in here if r.get("scoring_seconds")]
    scoring = median(scored or [SCORING])
    points = points_of(here, costs, machine.device.type, plan.threads)
    basis = f"as in {plural(len(points), 'trial')} done here" if points else "measured"
    points = points or _measured(plan, costs, timer, say)
    if points:
        step, lengths = StepTimes(points), list[float]()
        for package in plan.packages:
            lengths.append(step(sum(costs[trial.id].operations for trial in package)))
            steps = max(trial.job.settings.training.steps for trial in package)
            seconds = steps * lengths[-1] / len(package) + scoring
            plan.seconds |= {trial.id: seconds for trial in package}
        ends = dict.fromkeys(f"{end(lengths):.3g} s" for end in (min, max))
        plan.facts.append(("one step", f"{' to '.join(ends)}, {basis}"))
    guess = "" if scored else ", a guess until one is done here"
    plan.facts.append(("scoring", f"{duration(scoring)} per trial{guess}"))
    largest = max(costs[package[0].id].memory(len(package)) for package in plan.packages)
    room = size_text(machine.room(plan.processes))
    plan.facts.append(("memory", f"{size_text(largest)} at most, of {room} for each process"))


def _measured(
    plan: SweepPlan, costs: Mapping[str, Cost], timer: Timer, say: Say
) -> list[tuple[float, float]]:
    """Steps of the trials with the fewest and with the most operations, timed now."""
    trials = {costs[t.id].operations: t for package in plan.packages for t in package}
    ends, found = {min(trials), max(trials)}, []
    say(f"measuring how long a step takes, for {BUDGET * len(ends):.0f} s at most")
    for operations in sorted(ends):
        try:
            found.append((operations, timer(trials[operations].job, plan.threads)))
        except EnerganError as error:
            say(f"not measured: {error}")
    return found
