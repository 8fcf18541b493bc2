"""What a step of a trial costs, counted on tensors that have a shape and no numbers.

The event's shape is all that a generator and an energy know of each other, so the cost of a pair is
the sum of theirs: of a grid of 16 generators and 32 energies 47 pairs are counted, not 512.
"""

from collections.abc import Hashable
from dataclasses import dataclass, replace

from torch import nn

from energan.core import Domain, Model, Optimiser
from energan.experiment.build import build
from energan.experiment.settings import Job
from energan.sweep.counting import META, counted

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

    def work(self, job: Job) -> float:
        """Operations of a step of this trial, its optimisers' work too."""
        moved = 4 * (3 * self.energy + 3 * self.sampler + 2 * self.states(job))
        return self.operations + BALANCE * moved

    def states(self, job: Job) -> int:
        """Numbers that the optimisers of this trial keep."""
        model, default = job.settings.model, Optimiser()
        return _kept(getattr(model, "energy_optimiser", default)) * self.energy + (
            _kept(getattr(model, "sampler_optimiser", default)) * self.sampler
        )


Pair = tuple[float, float]
"""Operations, bytes."""


class Costs:
    """Of many trials, each pair of networks counted once at most."""

    def __init__(self) -> None:
        self._counted: dict[tuple[Hashable, ...], Pair] = {}
        self._first: dict[Hashable, tuple[Model, Hashable, Hashable]] = {}

    def of(self, job: Job, domain: Domain) -> Cost:
        """Raises SettingError if the job's networks cannot be built."""
        size = job.settings.training.batch_size
        with META:
            model = build(job, domain, job.settings.seed)
        about = (
            job.model, domain.shape, domain.condition_shape, size, model.energy_steps,
            model.conditional, model.labelled, type(model.objective), tuple(model.hyper),
        )  # fmt: skip
        energy, sampler = _layers(model.energy), _layers(model.sampler)
        first, energy_0, sampler_0 = self._first.setdefault(about, (model, energy, sampler))

        def cost(mixed: Model, *which: Hashable) -> Pair:
            if (about, *which) not in self._counted:
                self._counted[about, *which] = counted(mixed, domain, size)
            return self._counted[about, *which]

        whole = [
            e + s - both
            for e, s, both in zip(
                cost(replace(model, sampler=first.sampler), energy, sampler_0),
                cost(replace(model, energy=first.energy), energy_0, sampler),
                cost(first, energy_0, sampler_0),
                strict=True,
            )
        ]
        return Cost(
            max(whole[0], 0.0), max(whole[1], 0.0), _size(model.energy), _size(model.sampler)
        )


def _layers(network: nn.Module) -> Hashable:
    """What the cost of a network depends on."""
    return tuple(
        (name, type(layer).__name__, *(tuple(p.shape) for p in layer.parameters(recurse=False)))
        for name, layer in network.named_modules()
    )


def _size(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def _kept(optimiser: Optimiser) -> int:
    """Numbers that an optimiser keeps for each parameter."""
    if optimiser.kind == "adam":
        return 2
    return 0 if optimiser.momentum == 0 else 1
