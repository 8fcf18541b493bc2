"""The generator with noise in every layer but the last (Zhao et al. 2017, section 4.4, app. C)."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from energan.core import Stream, Streamed
from energan.nets.conv import UnflattenMaps, doubling
from energan.nets.dense import BatchNorm, Sequential
from energan.nets.mlp import OUTPUTS, Output

START = 4
"""Side of the feature maps that the first layer makes from z."""


class NoisyGenerator(Streamed):
    """(w₁)4c-(w₂)4c2s-…-(wₙ)4c2s-(C)3c: z (B, latent_size) -> x (B, C, side, side).

    noise: planes that stand beside the maps of each layer but the last as input of the next. All
    the noise is one flat vector: z of `latent` first, then each layer's planes, pixel by pixel. So
    G is a function of z alone; interpolation, fixed previews, the split among processes and a
    resume are those of any generator, and no forward pass draws: it may be recomputed.

    4c is a 4×4 transposed convolution of the 1×1 input, 4c2s doubles the sides, 3c keeps them.
    Batch norm and ReLU follow all but the output.
    """

    def __init__(
        self,
        latent: int,
        widths: Sequence[int],
        noise: Sequence[int],
        channels: int,
        output: Output,
    ) -> None:
        super().__init__()
        self.entries = [(latent, 1), *((n, START << i) for i, n in enumerate(noise))]
        self.planes = nn.ModuleList(UnflattenMaps(n, side, side) for n, side in self.entries)
        first = nn.ConvTranspose2d(latent, widths[0], START, bias=False)
        self.layers = nn.ModuleList([Sequential(first, BatchNorm(widths[0]), nn.ReLU())])
        for (inputs, outputs), beside in zip(pairwise(widths), noise, strict=True):
            self.layers.append(Sequential(*doubling(inputs + beside, outputs, nn.ReLU())))
        last = nn.Conv2d(widths[-1], channels, 3, padding=1)
        self.output = Sequential(last, OUTPUTS[output]())

    @property
    def latent_size(self) -> int:
        """Numbers in z and all the planes."""
        return sum(self.sizes)

    @property
    def sizes(self) -> list[int]:
        """Numbers that enter each layer but the last."""
        return [count * side * side for count, side in self.entries]

    def forward(self, z: Tensor, stream: Stream) -> Tensor:
        parts = z.split(self.sizes, -1)
        start, *planes = (
            unflatten(part) for unflatten, part in zip(self.planes, parts, strict=True)
        )
        x: Tensor = self.layers[0](start, stream)
        for layer, beside in zip(list(self.layers)[1:], planes, strict=True):
            # (B, w, side, side) and (B, n, side, side) -> (B, w + n, side, side)
            x = layer(torch.cat([x, beside.to(x.dtype)], 1), stream)
        result: Tensor = self.output(x, stream)
        return result
