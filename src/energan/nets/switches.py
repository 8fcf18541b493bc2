"""An auto-encoder whose decoder puts maps back where the encoder's max-pooling took them from.

Zhao, Mathieu & LeCun 2017 (appendix C) name it as future work after the stacked what-where
auto-encoder (Zhao et al. 2015): the pooled values go on as the code, the places they were taken
from, the switches, pass beside it to the decoder.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn

from energan.core import Stream
from energan.nets.autoencoder import Join, identity
from energan.nets.dense import BatchNorm, Sequential
from energan.nets.mlp import OUTPUTS, Output


def pool(x: Tensor) -> tuple[Tensor, Tensor]:
    """The largest of each 2×2 window of x (B, C, H, W), (B, C, H/2, W/2), and their switches.

    switches: int64 of the same shape, the place of each in its map, row by row.
    """
    return F.max_pool2d(x, 2, return_indices=True)


def unpool(x: Tensor, switches: Tensor) -> Tensor:
    """Maps of twice the sides: each value of x at its switch, 0 elsewhere."""
    batch, channels, height, width = x.shape
    # not F.max_unpool2d, which ONNX does not know
    empty = x.new_zeros(batch, channels, 4 * height * width)
    back = empty.scatter(2, switches.flatten(2), x.flatten(2))
    return back.view(batch, channels, 2 * height, 2 * width)


class SwitchedAutoEncoder(nn.Module):
    """x -> encoder -> raw code -> bridge -> decoder, as AutoEncoder, with the switches beside it.

    encoder: its layers, each of which is pooled; decoder: its layers, before each of which the maps
    are unpooled, in the inverse order.
    """

    def __init__(
        self, encoder: Sequence[Sequential], bridge: Sequential, decoder: Sequence[Sequential]
    ) -> None:
        super().__init__()
        self.encoder, self.bridge = nn.ModuleList(encoder), bridge
        self.decoder = nn.ModuleList(decoder)

    def forward(
        self, x: Tensor, stream: Stream, join: Join = identity
    ) -> tuple[Tensor, Tensor, Tensor]:
        """(reconstruction (B, C, H, W), raw code, code after the bridge)."""
        raw, taken = join(x), []
        for layer in self.encoder:
            raw, switches = pool(layer(raw, stream))
            taken.append(switches)
        activated = self.bridge(raw, stream)
        first, *others = self.decoder
        x = first(join(unpool(activated, taken.pop())), stream)  # a label's maps have no switches
        for layer in others:
            x = layer(unpool(x, taken.pop()), stream)
        return x, raw, activated


def switched_autoencoder(
    channels: int, widths: Sequence[int], output: Output, *, slope: float, beside: int = 0
) -> SwitchedAutoEncoder:
    """Enc (w₁)3c, pool, (w₂)3c, pool, …; Dec mirrors it: unpool, (w)3c, …; LeakyReLU throughout.

    widths: of the encoder; the last maps are the code. Batch norm follows all but D's input layer
    and the output. beside: further maps that encoder and decoder are given, as of a label.
    """
    encoder: list[Sequential] = []
    between: list[nn.Module] = []
    for inputs, outputs in pairwise([channels + beside, *widths]):
        norm: list[nn.Module] = [BatchNorm(outputs)] if encoder else []
        encoder.append(Sequential(*between, same(inputs, outputs, bias=not norm)))
        between = [*norm, nn.LeakyReLU(slope)]
    *layers, outer = pairwise([widths[-1] + beside, *widths[-2::-1], channels])
    decoder = [
        Sequential(same(inputs, outputs, bias=False), BatchNorm(outputs), nn.LeakyReLU(slope))
        for inputs, outputs in layers
    ]
    decoder.append(Sequential(same(*outer, bias=True), OUTPUTS[output]()))
    return SwitchedAutoEncoder(encoder, Sequential(*between), decoder)


def same(inputs: int, outputs: int, *, bias: bool) -> nn.Conv2d:
    """3c: a 3×3 convolution that keeps the sides."""
    return nn.Conv2d(inputs, outputs, 3, padding=1, bias=bias)
