"""What a training step costs: operations and memory, counted on tensors without numbers, and the
seconds of a few steps."""

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from energan.core import (
    Batch,
    Context,
    DivergenceError,
    Domain,
    Model,
    Randomness,
    attach,
    frozen,
)
from energan.core.schedules import parse
from energan.training.loop import Loop

META = torch.device("meta")
MOST_STEPS = 200
"""Largest number of steps that are timed."""


def count_step(model: Model, domain: Domain, size: int, step: int = 0) -> tuple[float, float]:
    """(operations, bytes kept for a backward pass at most) of training step `step` of a model that
    was built on the device META, for batches of `size`.

    A model that cannot run without numbers is guessed by its parameters: each is used once by each
    sample, as in dense layers.
    """
    try:
        return _count(model, domain, size, step)
    except Exception:  # whatever a model does that needs numbers: only an estimate depends on it
        return guess_step(model, size)


def guess_step(model: Model, size: int) -> tuple[float, float]:
    """The same by parameters alone."""
    energy, sampler = (
        sum(p.numel() for p in network.parameters()) for network in (model.energy, model.sampler)
    )
    passes = 12 * energy * model.energy_steps + 4 * energy + 8 * sampler
    return float(size * passes), size * (energy + sampler) / 25


def _count(model: Model, domain: Domain, size: int, step: int) -> tuple[float, float]:
    draws = _Shapeless()
    for network in (model.energy, model.sampler):
        network.to(META)
        attach(network, draws)
    hyper = {
        name: torch.full((1, 1), 1.0 if value == "auto" else parse(value)(step), device=META)
        for name, value in model.hyper.items()
    }
    context = Context(step, hyper, draws)
    batch = _batch(model, domain, size)
    parameters = {id(p) for n in (model.energy, model.sampler) for p in n.parameters()}
    tally = _Tally()

    def keep(tensor: Tensor) -> _Kept:
        own = id(tensor) in parameters or id(tensor._base) in parameters
        return _Kept(tensor, tally, 0 if own else tensor.numel() * tensor.element_size())

    learns = model.sampler.learns(step)
    with _Counter() as counter, saved_tensors_hooks(keep, _Kept.again):
        state = model.sampler.init(context)
        model.objective.state = model.objective.init(context)
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


def time_steps(loop: Loop, seconds: float, *, warm_up: int = 1) -> float:
    """Seconds of a training step, the mean over about so many seconds of steps.

    warm_up: steps before those that are timed, since the first are slower; fewer if they take more
    than `seconds`. The loop is left after the steps that were made. Several ranks time the same
    steps.
    """
    _advance(loop, warm_up, seconds)
    begun = time.perf_counter()
    steps = _advance(loop, MOST_STEPS, seconds)
    return (time.perf_counter() - begun) / steps


def _advance(loop: Loop, most: int, seconds: float) -> int:
    """How many steps were made: at least one, and no more once so many seconds are over."""
    begun, steps = time.perf_counter(), 0

    def goes_on() -> bool:
        return steps < most and (not steps or time.perf_counter() - begun < seconds)

    while loop.ranks.choose(goes_on):
        loop.advance()
        steps += 1
    with suppress(DivergenceError):  # only time counts here; training reports it
        loop.flush_figures()  # waits for the device
    return steps


def time_phases(
    loop: Loop, phases: Sequence[int], seconds: float, *, warm_up: int = 1
) -> tuple[float, ...]:
    """Seconds of a step from step 0 on, and from each of `phases` on, all within about so many
    seconds. The loop is used up."""
    share = seconds / (1 + len(phases))
    times = [time_steps(loop, share, warm_up=warm_up)]
    for begin in phases:
        loop.step = begin
        times.append(time_steps(loop, share))
    return tuple(times)


def phase_lengths(phases: Sequence[int], steps: int) -> list[int]:
    """How many of a run's steps come before the first of `phases`, and from each of them on."""
    bounds = [0, *(min(begin, steps) for begin in phases), steps]
    return [end - begin for begin, end in pairwise(bounds)]


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
