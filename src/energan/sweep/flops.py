"""What a step of a trial costs, counted on tensors that have a shape and no numbers.

The event's shape is all that a generator and an energy know of each other, so the cost of a pair is
the sum of theirs: of a grid of 16 generators and 32 energies 47 pairs are counted, not 512.
"""

from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from energan.core import Batch, Context, Domain, Model, Optimiser, Randomness, attach, frozen
from energan.core.schedules import parse
from energan.experiment.build import build
from energan.experiment.settings import Job

META = torch.device("meta")
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


# --- one step ---


def counted(model: Model, domain: Domain, size: int) -> tuple[float, float]:
    """(operations, bytes kept for a backward pass at most) of a step of a model that was built on
    the device META, for batches of `size`.

    A model that cannot run without numbers is guessed by its parameters: each is used once by each
    sample, as in dense layers.
    """
    try:
        return _counted(model, domain, size)
    except Exception:  # whatever a model does that needs numbers: only an estimate depends on it
        return guessed(model, size)


def guessed(model: Model, size: int) -> tuple[float, float]:
    """The same by parameters alone."""
    energy, sampler = (
        sum(p.numel() for p in network.parameters()) for network in (model.energy, model.sampler)
    )
    passes = 12 * energy * model.energy_steps + 4 * energy + 8 * sampler
    return float(size * passes), size * (energy + sampler) / 25


def _counted(model: Model, domain: Domain, size: int) -> tuple[float, float]:
    draws = _Shapeless()
    for network in (model.energy, model.sampler):
        network.to(META)
        attach(network, draws)
    hyper = {
        name: torch.full((1, 1), 1.0 if value == "auto" else parse(value)(0), device=META)
        for name, value in model.hyper.items()
    }
    context = Context(0, hyper, draws)
    batch = _batch(model, domain, size)
    parameters = {id(p) for n in (model.energy, model.sampler) for p in n.parameters()}
    tally = _Tally()

    def keep(tensor: Tensor) -> _Kept:
        own = id(tensor) in parameters or id(tensor._base) in parameters
        return _Kept(tensor, tally, 0 if own else tensor.numel() * tensor.element_size())

    learns = model.sampler.learns(0)
    with _Counter() as counter, saved_tensors_hooks(keep, _Kept.again):
        state = model.sampler.init(context)
        for substep in range(model.energy_steps):  # as `Loop.advance` has it
            with torch.set_grad_enabled(learns and substep == model.energy_steps - 1):
                draw, state = model.sampler.draw(model.energy, batch, state, context)
            resting = draw.detach() if draw is not None else None
            loss = model.objective.energy_loss(model.energy, batch, resting, context)
            loss.total.sum().backward()
        if learns and draw is not None:
            with frozen(model.energy):
                loss = model.objective.sampler_loss(model.energy, batch, draw, context)
                loss.total.sum().backward()
    return counter.total, float(tally.most)


def _batch(model: Model, domain: Domain, size: int) -> Batch:
    def of(count: int, classes: bool) -> Batch:
        condition = None
        if classes:
            condition = torch.zeros(count, dtype=torch.long, device=META)
        elif domain.condition_shape is not None:
            condition = torch.empty(count, *domain.condition_shape, device=META)
        return Batch(torch.empty(count, *domain.shape, device=META), condition)

    whole = of(size, model.conditional and domain.condition_shape is None)
    if not model.labelled:
        return whole
    return Batch(whole.x, whole.condition, of(model.labelled, True))


class _Shapeless(Randomness):
    """Draws of one member, without numbers."""

    def __init__(self) -> None:
        super().__init__([0])
        self.device = META

    def _draw(
        self,
        fill: Callable[[Tensor, torch.Generator], Tensor],
        dtype: torch.dtype,
        shape: tuple[int, ...],
    ) -> Tensor:
        return torch.empty(shape, dtype=dtype, device=META)


class _Counter(TorchDispatchMode):
    """Sums the operations of products and convolutions. (torch's own FlopCounterMode follows
    modules, which it cannot where a gradient is taken within a step, as chains take it.)"""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.total = 0.0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> object:
        out = func(*args, **(kwargs or {}))
        if count := flop_registry.get(func._overloadpacket):
            self.total += count(*args, **(kwargs or {}), out_val=out)
        return out


@dataclass
class _Tally:
    """Bytes kept now, and at most."""

    now: int = 0
    most: int = 0


class _Kept:
    """A tensor while a graph keeps it."""

    def __init__(self, tensor: Tensor, tally: _Tally, size: int) -> None:
        self.tensor, self.tally, self.size = tensor, tally, size
        tally.now += size
        tally.most = max(tally.most, tally.now)

    def again(self) -> Tensor:
        return self.tensor

    def __del__(self) -> None:
        self.tally.now -= self.size
