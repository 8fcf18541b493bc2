"""Convolutional layers and networks. x is (B, C, H, W); they have no member axis."""

from collections.abc import Callable, Sequence
from itertools import chain, pairwise
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from energan.core import Domain, SettingError
from energan.nets.autoencoder import AutoEncoder
from energan.nets.dense import BatchNorm, Dense, Sequential
from energan.nets.mlp import OUTPUTS, Output

SLOPE = 0.2
"""Slope of the LeakyReLU in discriminators (Radford et al. 2015)."""


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
            "images, or a model for points such as ebgan or igebm_points"
        )
    channels, height, width = domain.shape
    return channels, height, width


def halvings(height: int, width: int, smallest: int) -> int:
    """How often both sides can be halved without falling below `smallest`."""
    times = 0
    while height % 2 == width % 2 == 0 and min(height, width) // 2 >= smallest:
        height, width, times = height // 2, width // 2, times + 1
    return times


def growing(width: int, depth: int) -> tuple[int, ...]:
    """`depth` widths that double from `width`, to eight times it at most."""
    return tuple(width * min(2**i, 8) for i in range(depth))


def check_depth(name: str, depth: int, shape: tuple[int, int, int]) -> None:
    """Raise SettingError unless both sides can be halved `depth` times, and once at least."""
    factor = 2 ** max(depth, 2)
    if depth == 0 or shape[1] % 2**depth or shape[2] % 2**depth:
        near = max(round(min(shape[1:]) / factor) * factor, 8)
        raise SettingError(
            f"the {name} halves the sides {max(depth, 1)} times, which images of "
            f"{shape[1]}x{shape[2]} do not allow: resize them, for example with --data.size "
            f"{near}, or change the number of layers in --model.{name}"
        )


def down(inputs: int, outputs: int, *, bias: bool) -> nn.Conv2d:
    """4c2s: a 4×4 convolution of stride 2 that halves the sides."""
    return nn.Conv2d(inputs, outputs, 4, stride=2, padding=1, bias=bias)


def up(inputs: int, outputs: int, *, bias: bool) -> nn.ConvTranspose2d:
    """4c2s: a 4×4 transposed convolution of stride 2 that doubles the sides."""
    return nn.ConvTranspose2d(inputs, outputs, 4, stride=2, padding=1, bias=bias)


Doubling = Literal["transposed", "upsample"]
DOUBLINGS: dict[str, Callable[..., nn.Module]] = {"transposed": up, "upsample": UpConv}
"""How a layer doubles the sides: 4c2s, or nearest up-sampling by 2 and a 3×3 convolution."""


def doubling(
    inputs: int, outputs: int, activation: nn.Module, kind: Doubling = "transposed"
) -> list[nn.Module]:
    """(outputs)4c2s with batch norm and its activation: a layer of a generator or a decoder."""
    return [DOUBLINGS[kind](inputs, outputs, bias=False), BatchNorm(outputs), activation]


def halving(channels: int, widths: Sequence[int], slope: float = SLOPE) -> list[list[nn.Module]]:
    """(w₁)4c2s-(w₂)4c2s-… of a discriminator, a list for each: convolution, norm, LeakyReLU.

    The first has no batch norm: none at D's input (Radford et al. 2015).
    """
    layers: list[list[nn.Module]] = []
    for inputs, outputs in pairwise([channels, *widths]):
        norm: list[nn.Module] = [BatchNorm(outputs)] if layers else []
        layers.append([down(inputs, outputs, bias=not norm), *norm, nn.LeakyReLU(slope)])
    return layers


def conv_generator(
    latent: int, widths: Sequence[int], shape: tuple[int, int, int], output: Output
) -> Sequential:
    """The DCGAN generator: z (B, latent) -> x (B, C, H, W).

    z is projected to widths[0] maps; each further width, and the output, doubles the sides. Batch
    norm and ReLU follow all but the output (Radford et al. 2015).
    """
    channels, height, width = shape
    start = (height >> len(widths), width >> len(widths))
    layers: list[nn.Module] = [
        Dense(latent, widths[0] * start[0] * start[1], bias=False),
        UnflattenMaps(widths[0], *start), BatchNorm(widths[0]), nn.ReLU(),
    ]  # fmt: skip
    for inputs, outputs in pairwise(widths):
        layers += doubling(inputs, outputs, nn.ReLU())
    return Sequential(*layers, up(widths[-1], channels, bias=True), OUTPUTS[output]())


def conv_logit(
    widths: Sequence[int], shape: tuple[int, int, int], *, slope: float = SLOPE
) -> Sequential:
    """The DCGAN discriminator: x (B, C, H, W) -> logit (B, 1).

    Strides in place of pooling; the last maps are flattened into one output, without a hidden dense
    layer (Radford et al. 2015).
    """
    channels, height, width = shape
    maps = widths[-1] * (height >> len(widths)) * (width >> len(widths))
    layers = chain.from_iterable(halving(channels, widths, slope))
    return Sequential(*layers, FlattenMaps(), Dense(maps, 1))


def conv_autoencoder(
    channels: int,
    widths: Sequence[int],
    output: Output,
    *,
    kind: Doubling = "transposed",
    beside: int = 0,
) -> AutoEncoder:
    """Section 5.3's: Enc (w₁)4c2s-(w₂)4c2s-…, Dec mirrors it, LeakyReLU throughout.

    widths: of the encoder; the last maps are the code. Batch norm follows all but D's input layer
    and the output. kind: how the decoder doubles the sides. beside: further maps that encoder and
    decoder are given, as of a label.
    """
    *before, (last, *bridge) = halving(channels + beside, widths)
    *layers, outer = pairwise([widths[-1] + beside, *widths[-2::-1], channels])
    decoder: list[nn.Module] = []
    for inputs, outputs in layers:
        decoder += doubling(inputs, outputs, nn.LeakyReLU(SLOPE), kind)
    decoder += [DOUBLINGS[kind](*outer, bias=True), OUTPUTS[output]()]
    return AutoEncoder(
        Sequential(*chain.from_iterable(before), last), Sequential(*bridge), Sequential(*decoder)
    )
