"""The U-Net generator of Isola et al. 2016: an image -> another of the same sides."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from energan.core import SettingError, Stream, Streamed
from energan.nets.conv import SLOPE, down, halvings, up
from energan.nets.dense import Sequential
from energan.nets.instance_norm import DropoutNoise, PresentNorm
from energan.nets.mlp import OUTPUTS, Output

FEWEST, MOST = 3, 8
"""Most halvings of a U-Net; the published one halves 256 pixels 8 times."""
NOISY = 3
"""Number of decoder layers with dropout, from the innermost."""


class UNet(Streamed):
    """source (B, C, H, W) -> image (B, C', H, W), for any sides that its halvings divide.

    widths: maps of the encoder's layers, each a 4×4 convolution of stride 2; the decoder mirrors
    them, and each of its layers but the last also hands on the encoder's maps of the same size.
    The activations come first: LeakyReLU 0.2 in the encoder, ReLU in the decoder. All layers but
    the first and the last are normalised.

    innermost_norm: also the innermost; not where it is a single pixel, whose own statistics would
    leave nothing of it. each: see PresentNorm. dropout: its rate, of the first three decoder
    layers.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        widths: Sequence[int],
        *,
        innermost_norm: bool,
        each: bool = False,
        dropout: float = 0.5,
        output: Output = "tanh",
    ) -> None:
        super().__init__()
        if len(widths) < 2:
            raise ValueError("a U-Net halves its image twice or more")
        self.innermost_norm = innermost_norm
        encoder = [Sequential(down(inputs, widths[0], bias=True))]
        for i, (narrow, wide) in enumerate(pairwise(widths), 2):
            normed = i < len(widths) or innermost_norm
            norm = [PresentNorm(wide, each=each)] if normed else []
            encoder.append(
                Sequential(nn.LeakyReLU(SLOPE), down(narrow, wide, bias=not normed), *norm)
            )
        decoder = []
        back = list(reversed(widths))
        for i, (wide, narrow) in enumerate(pairwise(back)):
            joined = wide if i == 0 else 2 * wide
            noise = [DropoutNoise(dropout)] if i < NOISY else []
            convolution = up(joined, narrow, bias=False)
            decoder.append(
                Sequential(nn.ReLU(), convolution, PresentNorm(narrow, each=each), *noise)
            )
        decoder.append(
            Sequential(nn.ReLU(), up(2 * widths[0], outputs, bias=True), OUTPUTS[output]())
        )
        self.encoder, self.decoder = nn.ModuleList(encoder), nn.ModuleList(decoder)

    @property
    def halvings(self) -> int:
        return len(self.encoder)

    def check(self, height: int, width: int) -> None:
        """Raise SettingError if images of these sides do not fit."""
        factor, least = self._sides()
        if height % factor or width % factor or min(height, width) < least:
            more = f", at least {least}" if least > factor else ""
            raise SettingError(
                f"the generator halves the sides {self.halvings} times, and the image is "
                f"{width}x{height}: give images whose sides are multiples of {factor}{more}"
            )

    def _sides(self) -> tuple[int, int]:
        """What sides are multiples of, and their least."""
        factor = 2**self.halvings
        return factor, 2 * factor if self.innermost_norm else factor

    def nearest(self, height: int, width: int) -> tuple[int, int]:
        """The sides that fit and are nearest to these."""
        factor, least = self._sides()
        height, width = (max(round(side / factor) * factor, least) for side in (height, width))
        return height, width

    def forward(self, x: Tensor, stream: Stream) -> Tensor:
        self.check(*x.shape[-2:])
        maps: list[Tensor] = []
        for layer in self.encoder:
            x = layer(x, stream)
            maps.append(x)
        x = maps.pop()
        for layer in self.decoder[:-1]:
            x = torch.cat([layer(x, stream), maps.pop()], 1)
        last: Tensor = self.decoder[-1](x, stream)
        return last


def unet_widths(width: int, height: int, breadth: int) -> tuple[int, ...]:
    """Maps of the encoder for images of these sides: `width`, doubling to eight times it.

    As many as the sides can be halved, 8 at most: 64-128-256-512-512-512-512-512 for 256×256.
    Raises SettingError if that is less than 3 times.
    """
    times = min(halvings(height, breadth, smallest=1), MOST)
    if times < FEWEST:
        factor = 2**FEWEST
        near = max(round(min(height, breadth) / factor) * factor, factor)
        raise SettingError(
            f"a U-Net halves the sides at least {FEWEST} times, which images of "
            f"{breadth}x{height} do not allow: resize them to a multiple of {factor}, for "
            f"example with --data.size {near}"
        )
    return tuple(width * min(2**i, 8) for i in range(times))
