"""Layers that do in evaluation what they do in training, as image to image wants them."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from energan.core import Stream, Streamed
from energan.nets.dense import Dropout


class PresentNorm(Streamed):
    """Batch normalisation of x (B, C, H, W) by what is present, in every stream: nothing is kept.

    In training by the statistics of the batch; in stream "eval" by those of each image alone, as a
    batch of one, which is how the published networks are tested: what becomes of an image does not
    depend on the others that happen to be beside it. With batches of one the two are the same.

    each: by each image alone in training too (instance normalisation), for larger batches.
    """

    def __init__(self, features: int, *, each: bool = False) -> None:
        super().__init__()
        self.each = each
        self.weight = nn.Parameter(torch.ones(features))
        self.bias = nn.Parameter(torch.zeros(features))

    def forward(self, x: Tensor, stream: Stream) -> Tensor:
        if self.each or stream == "eval":
            return F.instance_norm(x, weight=self.weight, bias=self.bias)
        return F.batch_norm(x, None, None, self.weight, self.bias, training=True)

    def extra_repr(self) -> str:
        return f"{len(self.bias)}{', each' if self.each else ''}"


class DropoutNoise(Dropout):
    """Dropout that is on in every stream: a generator's noise, not its regularisation."""

    def forward(self, x: Tensor, stream: Stream) -> Tensor:
        return super().forward(x, "fake")
