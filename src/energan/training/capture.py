"""The passes of a training step as CUDA graphs: the host launches each pass as a whole, and not
operation by operation.

A graph is replayed in the memory that it was captured in: what a pass reads is copied there, and
what it gave last time is overwritten. Generators that are registered with a graph draw, in each
replay, the numbers that they would draw from their seed without it.
"""

import warnings
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import Any, TypeVar, cast

import torch
from torch import Tensor, nn

from energan.core import Batch, Context, Draw, Randomness, State

WATCHED, CAPTURED = 2, 3
"""Which step of a kind is watched for waits, and which is captured: the first of all differs, and
libraries set themselves up in it."""
WAITED = "called a synchronizing"
"""How torch's warning of an operation that waits for the GPU begins."""
T = TypeVar("T")


@dataclass(frozen=True)
class Given:
    """What a pass reads, beside parameters and buffers."""

    batch: Batch
    context: Context
    state: State = field(default_factory=dict)
    objective_state: State = field(default_factory=dict)
    draw: Draw | None = None


@dataclass(frozen=True)
class Passed:
    """What a pass gives, beside gradients in its network's parameters."""

    figures: Mapping[str, Tensor]
    state: State = field(default_factory=dict)
    objective_state: State = field(default_factory=dict)
    draw: Draw | None = None


Pass = Callable[[Given], Passed]


class Eager:
    """Runs the passes of a step operation by operation."""

    say: Callable[[str], None] = staticmethod(lambda text: None)

    def begin(self, kind: object) -> None:
        """A step begins. Steps of one kind do the same operations."""

    def run(self, name: str, network: nn.Module, do: Pass, given: Given) -> Passed:
        """One pass: `do(given)`, with a backward pass into the parameters of `network`."""
        return do(given)

    def keep(self, figures: dict[str, Tensor]) -> dict[str, Tensor]:
        """The figures of a step, as they stay while later ones are made."""
        return figures


class Graphs(Eager):
    """Captures the passes in a step of each kind, and replays them in those that follow.

    A pass must do the same operations in all steps of a kind, and wait for no number. The step that
    is captured is computed both ways, and only a graph that gives the same numbers, bit for bit, is
    used. Otherwise `say` is told once why not, and all steps run eagerly.
    """

    def __init__(self, networks: nn.Module, randomness: Randomness) -> None:
        self.networks, self.randomness = networks, randomness
        self._graphs: dict[object, _Graph] = {}
        self._steps: Counter[object] = Counter()
        self._kind: object = None
        self._twins: dict[int, tuple[Tensor, Tensor]] = {}
        self._works = True

    def begin(self, kind: object) -> None:
        self._kind, self._twins = kind, {}
        self._steps[kind] += 1

    def run(self, name: str, network: nn.Module, do: Pass, given: Given) -> Passed:
        graph = self._graphs.get((self._kind, name))
        if graph is not None:
            return graph.replay(given)
        steps = self._steps[self._kind]
        if not self._works or steps < WATCHED:
            return do(given)
        return (
            self._watch(do, given) if steps < CAPTURED else self._capture(name, network, do, given)
        )

    def keep(self, figures: dict[str, Tensor]) -> dict[str, Tensor]:
        if not self._graphs or not figures:
            return figures
        each = [value.reshape(-1) for value in figures.values()]
        return dict(zip(figures, torch.cat(each).split([len(v) for v in each]), strict=True))

    def _watch(self, do: Pass, given: Given) -> Passed:
        """Run a pass eagerly and see that the host waits for nothing, which a capture forbids."""
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            torch.cuda.set_sync_debug_mode("warn")
            try:
                passed = do(given)
            finally:
                torch.cuda.set_sync_debug_mode("default")
        if any(str(one.message).startswith(WAITED) for one in told):
            self._give_up("this model reads numbers of the GPU within a step")
        return passed

    def _capture(self, name: str, network: nn.Module, do: Pass, given: Given) -> Passed:
        """Capture a pass and replay it, undo what that changed, and run the pass eagerly."""
        buffers = [(buffer, buffer.clone()) for buffer in self.networks.buffers()]
        of_torch = torch.cuda.default_generators[torch.cuda.current_device()]
        generators = [*self.randomness.generators, of_torch]
        drawn = [generator.get_state() for generator in generators]
        parameters = list(network.parameters())
        graph, found = None, []
        try:
            graph = _Graph(do, map_tensors(given, self._static), parameters, generators[:-1])
            found = [value.clone() for value in results(graph.replay(given), parameters)]
        except RuntimeError as error:  # whatever a driver says: training goes on without
            self._give_up(str(error).strip().splitlines()[0])
            renew(generators)
        with torch.no_grad():
            for buffer, value in buffers:
                buffer.copy_(value)
        for generator, state in zip(generators, drawn, strict=True):
            generator.set_state(state)
        passed = do(given)
        if graph is None:
            return passed
        if not equal(found, results(passed, parameters)):
            self._give_up("a graph of this model's step gives other numbers")
        if self._works:
            self._graphs[self._kind, name] = graph
            pairs = zip(tensors_of(passed), tensors_of(graph.passed), strict=True)
            self._twins |= {id(own): (own, static) for own, static in pairs}
        return passed

    def _static(self, value: Tensor) -> Tensor:
        """Where a graph reads this input: where the graph before it in the step gives it, or memory
        of its own."""
        own, twin = self._twins.get(id(value), (None, None))
        return value.detach().clone() if twin is None or own is not value else twin

    def _give_up(self, reason: str) -> None:
        if self._works:
            self.say(f"engine.compile: {reason}, so steps are not captured as CUDA graphs")
        self._works = False
        self._graphs.clear()


class _Graph:
    """One pass as a CUDA graph, with the memory that it reads and writes."""

    def __init__(
        self,
        do: Pass,
        given: Given,
        parameters: Sequence[nn.Parameter],
        generators: Sequence[torch.Generator],
    ) -> None:
        self.given = tensors_of(given)
        self.graph = torch.cuda.CUDAGraph()
        for generator in generators:
            self.graph.register_generator_state(generator)
        with torch.cuda.graph(self.graph, capture_error_mode="thread_local"):
            self.passed = do(given)
        self.gradients = [(p, p.grad) for p in parameters]

    def replay(self, given: Given) -> Passed:
        pairs = zip(self.given, tensors_of(given), strict=True)
        moved = [(a.detach(), b.detach()) for a, b in pairs if a.data_ptr() != b.data_ptr()]
        if moved:
            to, source = zip(*moved, strict=True)
            torch._foreach_copy_(to, source)
        self.graph.replay()
        for parameter, gradient in self.gradients:
            parameter.grad = gradient
        return self.passed


def map_tensors(value: T, of: Callable[[Tensor], Tensor]) -> T:
    """`value` with of(t) for each tensor t in it, in dataclasses and mappings."""
    if isinstance(value, Tensor):
        return cast(T, of(value))
    if isinstance(value, Mapping):
        return cast(T, {name: map_tensors(one, of) for name, one in value.items()})
    if is_dataclass(value) and not isinstance(value, type):
        each: dict[str, Any] = {f.name: getattr(value, f.name) for f in fields(value)}
        return cast(T, replace(value, **map_tensors(each, of)))
    return value


def tensors_of(value: object) -> list[Tensor]:
    """The tensors in a value, in the order of `map_tensors`."""
    found: list[Tensor] = []

    def note(tensor: Tensor) -> Tensor:
        found.append(tensor)
        return tensor

    map_tensors(value, note)
    return found


def results(passed: Passed, parameters: Sequence[nn.Parameter]) -> list[Tensor]:
    """All that a pass gave, gradients too."""
    gradients = [p.grad for p in parameters if p.grad is not None]
    return [value.detach() for value in (*tensors_of(passed), *gradients)]


def equal(found: Sequence[Tensor], other: Sequence[Tensor]) -> bool:
    return len(found) == len(other) and all(
        torch.equal(a, b) for a, b in zip(found, other, strict=True)
    )


def renew(generators: Sequence[torch.Generator]) -> None:
    """Give generators a state again that no graph is being captured with: after a capture that
    failed they refuse to draw."""
    for generator in generators:
        fresh = torch.Generator(generator.device)
        generator.graphsafe_set_state(fresh.graphsafe_get_state())
