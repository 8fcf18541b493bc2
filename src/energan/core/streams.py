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
    """A layer whose forward takes the stream: `layer(x, stream)`."""


class Noisy(Streamed):
    """A layer that draws. Without an attached Randomness it uses torch's default generator."""

    randomness: Randomness | None = None


class Calibrated(Streamed):
    """A layer whose evaluation statistics are measured by `calibrating`, never in training.

    at_rest: whether they stay as they are, those of a network that is frozen.
    """

    at_rest = False
    reads_data = True
    """Whether they are of batches that pass within `calibrating`; a layer that collects them in
    training only adopts them there."""

    @abstractmethod
    def begin(self) -> None:
        """Forget the statistics and pool those of the batches that follow."""

    @abstractmethod
    def end(self) -> None:
        """Adopt what was pooled, for stream "eval"."""


def through(
    network: nn.Module, x: torch.Tensor, condition: torch.Tensor | None, stream: Stream
) -> Any:
    """network(x, stream), or network(x, condition, stream) of one that says `takes_condition`.

    Without the stream for one whose forward has none, as torch's own.
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
    """Let every noisy layer of `network` draw from `randomness`."""
    for layer in network.modules():
        if isinstance(layer, Noisy):
            layer.randomness = randomness


@contextmanager
def calibrating(network: nn.Module) -> Iterator[bool]:
    """Within it, passes with stream="eval" measure the statistics that "eval" uses afterwards.

    Yields whether there is anything to measure on data. Batch norm's running averages follow
    weights that have long changed, and mix real batches with fakes; a pass over data with the
    weights at rest does not.
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
    """Within it no parameter of `network` collects gradient, and no buffer changes for good.

    Gradient in the network's input still flows. The buffers are those of layers that write them in
    every pass, such as the vectors of a spectral norm; those of a Calibrated layer do not.
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
    """Within it no weight changes, so what is computed from weights alone is computed once.

    That is what `torch.nn.utils.parametrize` makes of them, as spectral norm does, and what layers
    keep in `kept_while_frozen()`. It nests: all is forgotten at the outermost end.
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
    """{id of a weight: (the weight, what was made of it)}; None outside of `frozen_weights`.

    The weight is kept beside what was made, so that no other can get its id meanwhile.
    """
    return _kept


@contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """Within it `network` is in evaluation mode and builds no graph: looking at it changes nothing.

    The layers of energan go by the stream; this is for torch's own, which go by the mode.
    """
    training = [layer for layer in network.modules() if layer.training]
    network.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for layer in training:
            layer.training = True
