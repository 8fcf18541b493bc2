"""Convolutional layers and networks. x is (B, C, H, W); they have no member axis."""

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from energan.core import Domain, SettingError
from energan.nets.autoencoder import AutoEncoder
from energan.nets.dense import BatchNorm, Chain, Dense
from energan.nets.mlp import OUTPUTS, Output

SLOPE = 0.2
"""Of the LeakyReLU in discriminators (Radford et al. 2015)."""


class UpConv(nn.Module):
    """Up-sampling by 2 (nearest) and a 3×3 convolution, as one transposed convolution.

    Each output pixel of the pair sees the nine taps fall on only four different inputs, so the taps
    are summed first: w₄ = A w Aᵀ, a 4×4 kernel of stride 2 and padding 1. The result is the same up
    to rounding for 16 products an input instead of 36, forward and backward.
    """

    taps: Tensor

    def __init__(self, inputs: int, outputs: int, *, bias: bool = True) -> None:
        super().__init__()
        like = nn.Conv2d(inputs, outputs, 3, bias=bias)  # torch's default initialisation
        self.weight, self.bias = like.weight, like.bias
        # Row t: which of the three taps an output adds to the input t - 1 places away.
        taps = torch.tensor([[0.0, 0, 1], [0, 1, 1], [1, 1, 0], [1, 0, 0]])
        self.register_buffer("taps", taps, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        kernel = torch.einsum("ta,oiab,sb->iots", self.taps, self.weight, self.taps)
        if self.weight.is_contiguous(memory_format=torch.channels_last):
            kernel = kernel.contiguous(memory_format=torch.channels_last)
        return F.conv_transpose2d(x, kernel, self.bias, stride=2, padding=1)

    def extra_repr(self) -> str:
        return f"{self.weight.shape[1]} -> {self.weight.shape[0]}"


class FlattenMaps(nn.Module):
    """(B, C, H, W) -> (B, H·W·C): in the order of channels-last memory, where it copies nothing."""

    def forward(self, x: Tensor) -> Tensor:
        return x.movedim(1, -1).flatten(1)


class UnflattenMaps(nn.Module):
    """(B, H·W·C) -> (B, C, H, W), the inverse of FlattenMaps; the result is channels-last."""

    def __init__(self, channels: int, height: int, width: int) -> None:
        super().__init__()
        self.shape = (height, width, channels)

    def forward(self, x: Tensor) -> Tensor:
        return torch.unflatten(x, 1, self.shape).movedim(-1, 1)


def image_shape(domain: Domain, model: str) -> tuple[int, int, int]:
    """(C, H, W). Raises SettingError if the data holds no images."""
    if len(domain.shape) != 3:
        raise SettingError(
            f"{model} is convolutional and the data holds points of shape {domain.shape}: use "
            "images, or a fully connected model such as ebgan"
        )
    channels, height, width = domain.shape
    return channels, height, width


def halvings(height: int, width: int, smallest: int) -> int:
    """How often both sides can be halved without falling below `smallest`."""
    times = 0
    while height % 2 == width % 2 == 0 and min(height, width) // 2 >= smallest:
        height, width, times = height // 2, width // 2, times + 1
    return times


def down(inputs: int, outputs: int, *, bias: bool) -> nn.Conv2d:
    """4c2s: a 4×4 convolution of stride 2 that halves the sides."""
    return nn.Conv2d(inputs, outputs, 4, stride=2, padding=1, bias=bias)


def up(inputs: int, outputs: int, *, bias: bool) -> nn.ConvTranspose2d:
    """4c2s: a 4×4 transposed convolution of stride 2 that doubles the sides."""
    return nn.ConvTranspose2d(inputs, outputs, 4, stride=2, padding=1, bias=bias)


def conv_generator(
    latent: int, widths: Sequence[int], event: tuple[int, int, int], output: Output
) -> Chain:
    """The DCGAN generator: z (B, latent) -> x (B, C, H, W).

    z is projected to widths[0] maps; each further width, and the output, doubles the sides. Batch
    norm and ReLU follow all but the output (Radford et al. 2015).
    """
    channels, height, width = event
    start = (height >> len(widths), width >> len(widths))
    layers: list[nn.Module] = [
        Dense(latent, widths[0] * start[0] * start[1], bias=False),
        UnflattenMaps(widths[0], *start), BatchNorm(widths[0]), nn.ReLU(),
    ]  # fmt: skip
    for inputs, outputs in pairwise(widths):
        layers += [up(inputs, outputs, bias=False), BatchNorm(outputs), nn.ReLU()]
    return Chain(*layers, up(widths[-1], channels, bias=True), OUTPUTS[output]())


def conv_autoencoder(channels: int, widths: Sequence[int], output: Output) -> AutoEncoder:
    """Section 5.3's: Enc (w₁)4c2s-(w₂)4c2s-…, Dec mirrors it, LeakyReLU 0.2 throughout.

    widths: of the encoder; the last maps are the code. Batch norm follows all but D's input layer
    and the output.
    """
    encoder: list[nn.Module] = []
    for i, (inputs, outputs) in enumerate(pairwise([channels, *widths])):
        last = i == len(widths) - 1
        normed = i > 0
        encoder.append(down(inputs, outputs, bias=not normed))
        if not last:
            encoder += _activated(outputs, normed)
    back = list(reversed(widths))
    decoder: list[nn.Module] = []
    for inputs, outputs in pairwise(back):
        decoder += [up(inputs, outputs, bias=False), *_activated(outputs, True)]
    decoder += [up(back[-1], channels, bias=True), OUTPUTS[output]()]
    return AutoEncoder(
        Chain(*encoder), Chain(*_activated(widths[-1], len(widths) > 1)), Chain(*decoder)
    )


def _activated(features: int, normed: bool) -> list[nn.Module]:
    norm: list[nn.Module] = [BatchNorm(features)] if normed else []
    return [*norm, nn.LeakyReLU(SLOPE)]
