"""Gradient checkpointing: maps are computed again on the way back instead of being kept.

A layer's convolution, norm and activation each keep their result for the gradient; recomputed,
only the convolution's input stays (Chen et al. 2016), for one more forward pass a step.
"""

from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from energan.core import Noisy, Stream
from energan.nets.dense import Sequential

Network = TypeVar("Network", bound=nn.Module)


class Recomputed(Sequential):
    """A chain that keeps the input of each of its convolutions, and of what precedes the first.

    The gradients are those of the plain chain to the bit, and batch norm may run twice: in training
    it leaves no trace. Where no gradient is wanted, and in stream "eval", which may measure
    statistics, it is the plain chain.
    """

    def forward(self, x: Tensor, stream: Stream) -> Tensor:  # type: ignore[override]
        if stream == "eval" or not torch.is_grad_enabled():
            return super().forward(x, stream)
        for stage in self._stages():
            # torch's own generator is not asked for: no layer here draws
            x = checkpoint(stage, x, stream, use_reentrant=False, preserve_rng_state=False)
        return x

    def _stages(self) -> list[Sequential]:
        """The layers from one convolution up to the next."""
        stages: list[list[nn.Module]] = [[]]
        for layer in self:
            weight = getattr(layer, "weight", None)
            if stages[-1] and isinstance(weight, Tensor) and weight.dim() == 4:
                stages.append([])
            stages[-1].append(layer)
        return [Sequential(*stage) for stage in stages]


def recomputed(network: Network) -> Network:
    """`network` with all its chains recomputed, in place; the names of its parameters stay.

    Raises ValueError if a layer draws random numbers: the second pass would draw others.
    """
    if any(isinstance(layer, Noisy) for layer in network.modules()):
        raise ValueError("a network with layers that draw random numbers cannot be recomputed")
    for name, child in network.named_children():
        if isinstance(child, Sequential):
            setattr(network, name, Recomputed(*child))
        else:
            recomputed(child)
    return network
