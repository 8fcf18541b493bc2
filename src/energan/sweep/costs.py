"""What a step of a trial costs, in operations and in memory, before it runs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from energan.core import Domain, Optimiser
from energan.data import open_data
from energan.data.settings import DataSettings
from energan.experiment.build import build
from energan.experiment.compatibility import cohort_key
from energan.experiment.settings import Job
from energan.sweep.trials import Trial
from energan.training.device import native_bf16
from energan.training.step_cost import META, count_step

DomainOf = Callable[[DataSettings], Domain]
BALANCE = 10
"""Operations that take as long as moving a byte: machines have between 5 and 50. It only brings
trials that differ in their optimisers into an order; times are measured."""


@dataclass(frozen=True)
class Cost:
    """What trials that may train as a cohort have in common.

    operations: floating-point ones of a member's step, its optimisers' left out. activations: bytes
    of float32 kept for a backward pass, at most. energy, sampler: parameters.
    """

    operations: float
    activations: float
    energy: int
    sampler: int

    @classmethod
    def of(cls, job: Job, domain: Domain) -> "Cost":
        """Raises SettingError if the job's networks cannot be built."""
        with META:
            model = build(job, domain, job.settings.seed)
        sizes = [sum(p.numel() for p in n.parameters()) for n in (model.energy, model.sampler)]
        return cls(*count_step(model, domain, job.settings.training.batch_size), *sizes)

    def work(self, job: Job) -> float:
        """Operations of a step of this trial, its optimisers' work too."""
        return self.operations + BALANCE * 4 * (
            3 * self.energy + 3 * self.sampler + 2 * self._states(job)
        )

    def bytes(self, job: Job, device: torch.device) -> int:
        """Memory of one member: weights, gradients, optimisers' states, averages, activations."""
        engine, wide = job.settings.engine, _wide(job)
        copies = 2.0 + bool(job.settings.training.ema)
        if engine.precision == "bf16" or (engine.precision == "auto" and native_bf16(device)):
            copies += 0.5  # autocast keeps the weights in half precision too
        numbers = copies * (self.energy + self.sampler) + self._states(job)
        return int(wide * numbers + self.activations * wide / 4)

    def checkpoint_bytes(self, job: Job) -> int:
        """Of a copy of one member's weights, averages and states, as a checkpoint makes one."""
        copies = 1 + bool(job.settings.training.ema)
        return _wide(job) * (copies * (self.energy + self.sampler) + self._states(job))

    def _states(self, job: Job) -> int:
        """Numbers that the optimisers of this trial keep."""
        model, default = job.settings.model, Optimiser()
        return _kept(getattr(model, "energy_optimiser", default)) * self.energy + (
            _kept(getattr(model, "sampler_optimiser", default)) * self.sampler
        )


def _kept(optimiser: Optimiser) -> int:
    """Numbers that an optimiser keeps for each parameter."""
    if optimiser.kind == "adam":
        return 2
    return 0 if optimiser.momentum == 0 else 1


def _wide(job: Job) -> int:
    return 8 if job.settings.engine.precision == "64" else 4


class CostModel:
    """What trials cost on a device. Data is opened once; trials of one shape are counted once.

    domain: of data, if not by opening it.
    """

    def __init__(self, device: torch.device, domain: DomainOf | None = None) -> None:
        self.device, self._domain_of = device, domain or (lambda data: open_data(data).domain)
        self._domains: dict[str, Domain] = {}
        self._costs: dict[str, Cost] = {}
        self._shapes: dict[str, str] = {}

    def shape(self, trial: Trial) -> str:
        """Equal for those that may train together."""
        if trial.id not in self._shapes:
            data = trial.job.settings.data
            key = data.model_dump_json()
            if key not in self._domains:
                self._domains[key] = self._domain_of(data)
            domain = self._domains[key]
            self._shapes[trial.id] = shape = cohort_key(trial.job, domain)
            if shape not in self._costs:
                self._costs[shape] = Cost.of(trial.job, domain)
        return self._shapes[trial.id]

    def work(self, trial: Trial) -> float:
        """Operations of a step."""
        return self._costs[self.shape(trial)].work(trial.job)

    def bytes(self, package: Sequence[Trial]) -> int:
        """Of memory, of all members together, with the copy of one that a checkpoint makes."""
        members, beside = self._bytes(package)
        return sum(members) + max(beside)

    def fitting(self, group: Sequence[Trial], room: int) -> int:
        """How many of a group of one shape memory holds; 1 at least."""
        members, beside = self._bytes(group)
        return max(1, (room - max(beside)) // max(1, *members))

    def _bytes(self, trials: Sequence[Trial]) -> tuple[list[int], list[int]]:
        """Of each as a member, and of what a checkpoint adds."""
        costs = [(trial.job, self._costs[self.shape(trial)]) for trial in trials]
        return (
            [cost.bytes(job, self.device) for job, cost in costs],
            [cost.checkpoint_bytes(job) for job, cost in costs],
        )
