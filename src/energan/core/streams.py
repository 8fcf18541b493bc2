"""What layers need to know beside their input: the stream it comes from, and where draws come from.

Real and fake batches pass a network separately, and its layers must not mix them.
"""

from abc import abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from inspect import signature
from typing import Any, Literal, TypeVar

import torch
from torch import nn
from torch.nn.utils import parametrize

from energan.core.randomness import Randomness

Stream = Literal["real", "labelled", "fake", "eval"]
T = TypeVar("T", bound=nn.Module)


class Streamed(nn.Module):
    """Base class of layers that receive the stream: `layer(x, stream)`."""


class Noisy(Streamed):
    """Base class of layers that draw random numbers.

    They use torch's default generator until `attach` gives them a Randomness.
    """

    randomness: Randomness | None = None


class Calibrated(Streamed):
    """Base class of layers whose evaluation statistics are measured within `calibrating`, not in
    training.

    `at_rest` is True for layers of a frozen network, whose statistics never change.
    """

    at_rest = False
    reads_data = True
    """Whether they are of batches that pass within `calibrating`; a layer that collects them in
    training only adopts them there."""

    @abstractmethod
    def begin(self) -> None:
        """Forget the statistics, and collect those of the batches that follow."""

    @abstractmethod
    def end(self) -> None:
        """Adopt the collected statistics for stream "eval"."""


def through(
    network: nn.Module, x: torch.Tensor, condition: torch.Tensor | None, stream: Stream
) -> Any:
    """Call a network with what it takes: x, the condition if it sets `takes_condition`, and the
    stream if its forward has a parameter of that name.

    Raises:
        ValueError: if the network needs a condition and there is none.
    """
    forward = getattr(network.forward, "__func__", network.forward)
    last = (stream,) if _takes_stream(forward) else ()
    if not getattr(network, "takes_condition", False):
        return network(x, *last)
    if condition is None:
        raise ValueError(f"{type(network).__name__} needs a condition")
    return network(x, condition, *last)


@lru_cache
def _takes_stream(forward: Callable[..., Any]) -> bool:
    parameters = signature(forward).parameters.values()
    return any(p.name == "stream" or p.kind is p.VAR_POSITIONAL for p in parameters)


def attach(network: nn.Module, randomness: Randomness | None) -> None:
    """Let all Noisy layers of a network draw from `randomness`; None for torch's generator."""
    for layer in network.modules():
        if isinstance(layer, Noisy):
            layer.randomness = randomness


@contextmanager
def calibrating(network: nn.Module) -> Iterator[bool]:
    """Context manager within which passes with stream="eval" measure the statistics that "eval"
    uses.

    Running averages of batch norm follow weights that have changed since, and mix real batches
    with fakes; one pass over data with fixed weights does not. Yields whether there is anything
    to measure on data.
    """
    calibrated = [layer for layer in network.modules() if isinstance(layer, Calibrated)]
    layers = [layer for layer in calibrated if not layer.at_rest]
    for layer in layers:
        layer.begin()
    try:
        yield any(layer.reads_data for layer in layers)
    finally:
        for layer in layers:
            layer.end()


@contextmanager
def frozen(network: T) -> Iterator[T]:
    """Context manager within which no parameter of a network collects gradient, and no buffer
    changes for good.

    Gradients with respect to the input still flow. Buffers that layers write in every pass, such
    as the vectors of spectral norm, are restored; those of Calibrated layers do not change.
    """
    training = [p for p in network.parameters() if p.requires_grad]
    before = [
        (buffer, buffer.clone())
        for layer in network.modules()
        if not isinstance(layer, Calibrated)
        for buffer in layer.buffers(recurse=False)
    ]
    for p in training:
        p.requires_grad_(False)
    try:
        yield network
    finally:
        for p in training:
            p.requires_grad_(True)
        for buffer, value in before:
            buffer.copy_(value)


_kept: dict[int, tuple[torch.Tensor, Any]] | None = None


@contextmanager
def frozen_weights() -> Iterator[None]:
    """Context manager within which no weight changes, so that values computed from weights alone
    are computed once.

    These are parametrizations of `torch.nn.utils.parametrize`, such as spectral norm, and what
    layers store in `kept_while_frozen()`. It can be nested; values are dropped at the outermost
    end.
    """
    global _kept
    outer = _kept
    _kept = {} if outer is None else outer
    try:
        with parametrize.cached():
            yield
    finally:
        _kept = outer


def kept_while_frozen() -> dict[int, tuple[torch.Tensor, Any]] | None:
    """The store of `frozen_weights`, {id of a weight: (the weight, what was computed from it)};
    None outside of it.

    The weight is stored too, so that no other tensor can take its id meanwhile.
    """
    return _kept


@contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """Context manager within which a network is in evaluation mode and builds no graph.

    Layers of energan follow the stream; this is for layers of torch, which follow the mode.
    """
    training = [layer for layer in network.modules() if layer.training]
    network.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for layer in training:
            layer.training = True
