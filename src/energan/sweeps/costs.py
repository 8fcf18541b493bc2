"""What a step of a trial costs: operations, memory, and seconds from a few steps that are timed."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import exp, log
from statistics import median
from typing import Any

import numpy as np
import torch

from energan.core import Domain
from energan.data import open_data
from energan.data.settings import DataSettings
from energan.experiment.build import build, cohort_of
from energan.experiment.compatibility import cohort_key
from energan.experiment.margin import with_any_margin
from energan.experiment.settings import Job
from energan.sweeps.trials import Trial
from energan.training.device import choose
from energan.training.step_cost import META, count_step, phase_lengths, time_phases

DomainOf = Callable[[DataSettings], Domain]
Point = tuple[float, float]
"""Operations of a step, and the seconds that it took."""
STATES = 2
"""Numbers that an optimiser keeps for each parameter, at most: Adam's."""
BUDGET = 10.0
"""Seconds for the timing of a trial."""


@dataclass(frozen=True)
class Cost:
    """What trials that may train as a cohort have in common.

    shape: equal for those. operations: floating-point ones of a member's step, the mean over a
    run. bytes: of one member's weights, gradients, optimisers' states, averages and activations.
    checkpoint_bytes: of the copy that a checkpoint makes of one.
    """

    shape: str
    operations: float
    bytes: int
    checkpoint_bytes: int

    @classmethod
    def of(cls, shape: str, job: Job, domain: Domain) -> "Cost":
        """Raises SettingError if the job's networks cannot be built."""
        with META:
            model = build(job, domain, job.settings.seed)
        networks = (model.energy, model.sampler)
        parameters = sum(p.numel() for network in networks for p in network.parameters())
        size, phases = job.settings.training.batch_size, job.settings.model.phases
        counts = [count_step(model, domain, size, step) for step in (0, *phases)]
        operations = _mean(job, [operations for operations, _ in counts])
        activations = max(kept for _, kept in counts)
        width = 8 if job.settings.engine.precision == "64" else 4
        of_checkpoint = width * (1 + bool(job.settings.training.ema) + STATES) * parameters
        of_member = of_checkpoint + width * (parameters + activations / 4)
        return cls(shape, operations, int(of_member), of_checkpoint)

    def memory(self, members: int = 1) -> int:
        """Bytes of so many trials that train as one program."""
        return members * self.bytes + self.checkpoint_bytes

    def fitting(self, room: int) -> int:
        """How many fit into so many bytes of memory; 1 at least."""
        return max(1, (room - self.checkpoint_bytes) // max(1, self.bytes))


def costs_of(trials: Iterable[Trial], domain_of: DomainOf) -> dict[str, Cost]:
    """Of each trial, by its id. Data is opened once; trials of one shape are counted once."""
    domains, known, found = dict[str, Domain](), dict[str, Cost](), dict[str, Cost]()
    for trial in trials:
        data = trial.job.settings.data
        key = data.model_dump_json()
        if key not in domains:
            domains[key] = domain_of(data)
        shape = cohort_key(trial.job, domains[key])
        if shape not in known:
            known[shape] = Cost.of(shape, trial.job, domains[key])
        found[trial.id] = known[shape]
    return found


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


def time_step(job: Job, threads: int) -> float:
    """Seconds of a step, the mean over a run, in this process. It takes longer than `BUDGET` if the
    networks or a single step do. Raises EnerganError for a job that cannot train."""
    before = torch.get_num_threads()
    try:
        engine = choose(job.settings.engine.model_copy(update={"threads": threads}))
        loop = cohort_of([with_any_margin(job)], open_data(job.settings.data), engine).loop
        return _mean(job, time_phases(loop, job.settings.model.phases, BUDGET))
    finally:
        torch.set_num_threads(before)


def _mean(job: Job, costs: Sequence[float]) -> float:
    """Over the job's steps, of a step's cost in each of its phases."""
    steps = job.settings.training.steps
    lengths = phase_lengths(job.settings.model.phases, steps)
    return sum(n * cost for n, cost in zip(lengths, costs, strict=True)) / steps


def points_of(
    records: Iterable[Mapping[str, Any]], costs: Mapping[str, Cost], device: str, threads: int
) -> list[Point]:
    """What records tell of those trials that ran like this; of a cohort the steps of all members.

    threads: of a process; they matter on a CPU.
    """
    found = []
    for r in records:
        alike = str(r.get("device", "")).split(":")[0] == device
        alike = alike and (device != "cpu" or r.get("threads") == threads)
        if alike and r["id"] in costs and r.get("steps") and r.get("seconds"):
            members = int(r.get("cohort") or 1)
            seconds = members * float(r["seconds"]) / int(r["steps"])
            found.append((members * costs[r["id"]].operations, seconds))
    return found
