"""The convolutional networks of the 2014 GAN: maxout convolutions, and one deconvolution."""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor, nn

from energan.core import SettingError
from energan.nets.conv import FlattenMaps, UnflattenMaps
from energan.nets.dense import Dense, Dropout, Maxout, Sequential
from energan.nets.mlp import OUTPUTS, Output, hidden_layers

KERNEL, STRIDE = 5, 3
"""Side of the deconvolution's kernel."""


class Geometry(NamedTuple):
    """Of a maxout convolution: the sides of its kernel and of its window, and the zeros around the
    maps. Windows are 2 apart."""

    kernel: int
    padding: int
    pool: int


LAYERS = (Geometry(8, 4, 4), Geometry(8, 3, 4), Geometry(5, 3, 2))
"""Sizes in the published discriminator for CIFAR-10."""


class MaxoutConv(nn.Module):
    """The largest of `pieces` convolutions for each map, and of each window of places (Goodfellow
    et al. 2013). The last window may reach past the maps."""

    def __init__(self, inputs: int, maps: int, pieces: int, geometry: Geometry) -> None:
        super().__init__()
        self.pieces, self.pool = pieces, geometry.pool
        self.conv = nn.Conv2d(inputs, maps * pieces, geometry.kernel, padding=geometry.padding)

    def forward(self, x: Tensor) -> Tensor:
        found = self.conv(x).unflatten(1, (self.pieces, -1)).amax(1)
        return F.max_pool2d(found, self.pool, stride=2, ceil_mode=True)


def pooled_side(side: int, geometry: Geometry) -> int:
    """The side of the maps that come out of maps of this side; below 1 where none do."""
    there = side + 2 * geometry.padding - geometry.kernel + 1
    return -((geometry.pool - there) // 2) + 1 if there > 0 else 0


def maxout_conv_logit(
    shape: tuple[int, int, int],
    widths: Sequence[int],
    units: int,
    pieces: tuple[int, int],
    *,
    input_dropout: float,
    dropout: float,
) -> Sequential:
    """x (B, C, H, W) -> logit (B, 1): maxout convolutions of `widths` maps, three at most, and a
    dense layer of `units`, with dropout before each.

    pieces: of the convolutions, and of the dense layer. Raises SettingError for images that are too
    small for as many convolutions.
    """
    channels, height, width = shape
    layers: list[nn.Module] = []
    rates = [input_dropout, *[dropout] * len(widths)]
    sizes = pairwise([channels, *widths])
    for (inputs, maps), geometry, rate in zip(sizes, LAYERS, rates, strict=False):
        layers += [Dropout(rate), MaxoutConv(inputs, maps, pieces[0], geometry)]
        height, width = pooled_side(height, geometry), pooled_side(width, geometry)
        if min(height, width) < 1:
            raise SettingError(
                f"images of {shape[1]}x{shape[2]} are too small for {len(widths)} maxout "
                "convolutions: use larger ones (--data.size 32), or fewer layers in "
                "--model.discriminator"
            )
    return Sequential(
        *layers,
        FlattenMaps(),
        Dropout(dropout),
        Maxout(widths[-1] * height * width, units, pieces[1]),
        Dropout(dropout),
        Dense(units, 1),
    )


def deconv_generator(
    latent: int, hidden: Sequence[int], maps: int, shape: tuple[int, int, int], output: Output
) -> Sequential:
    """z (B, latent) -> x (B, C, H, W): ReLU layers, the last of which is read as `maps` maps, and
    a transposed convolution of 5×5 and stride 3 to the image.

    Raises SettingError for sides that are not 3n + 2.
    """
    channels, *sides = shape
    if any(side < KERNEL or (side - KERNEL) % STRIDE for side in sides):
        near = max(KERNEL, STRIDE * round((min(sides) - KERNEL) / STRIDE) + KERNEL)
        raise SettingError(
            f"the deconvolution makes sides of 5, 8, 11, … pixels (3n + 2), and the images are "
            f"{sides[0]}x{sides[1]}: resize them (--data.size {near}), or pad them (--data.pad 32)"
        )
    start = [(side - KERNEL) // STRIDE + 1 for side in sides]
    units = maps * start[0] * start[1]
    return Sequential(
        *hidden_layers([latent, *hidden, units], norm=False, norm_first=False),
        UnflattenMaps(maps, *start),
        nn.ConvTranspose2d(maps, channels, KERNEL, stride=STRIDE),
        OUTPUTS[output](),
    )
