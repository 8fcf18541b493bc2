"""The residual energy network of IGEBM (Du & Mordatch 2019, appendix): no norm but spectral norm.

    3×3 conv; for each stage its blocks, the first of which halves the sides; LeakyReLU; the sum
    over all places; one output. A block is x -> s(x) + c(act(c(act(x)))), its convolutions 3×3.

Blocks that halve take the mean over 2×2 windows at their end. A mean and a convolution commute: so
the means come first, those over all 2×2 windows, and a convolution of stride 2 of them, which has 9
products an output instead of 36. The mean of the way around comes before its 1×1 convolution.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from energan.core import SettingError, Stream, exact, full_precision
from energan.nets.winograd import after_leaky

SLOPE = 0.2


class _HalvingConv(nn.Conv2d):
    """A 3×3 convolution that keeps the sides, and the mean of 2×2 of what it gives."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(F.avg_pool2d(x, 2, 1, 1))


def conv(
    inputs: int, outputs: int, side: int = 3, *, spectral: bool, halve: bool = False
) -> nn.Conv2d:
    """A convolution that keeps the sides, or with `halve` one of which the mean of 2×2 is taken."""
    layer = (
        _HalvingConv(inputs, outputs, side, 2)
        if halve
        else nn.Conv2d(inputs, outputs, side, padding=side // 2)
    )
    if spectral:
        spectral_norm(layer)
    return layer


class Block(nn.Module):
    """s(x) + c₂(act(c₁(act(x)))), c₂ halving the sides where `halve` says so.

    classes: of labels, each of which has a gain and a bias of its own on the maps between the two
        convolutions; 0 for none. They start at 1 and 0.
    """

    def __init__(
        self, inputs: int, outputs: int, *, halve: bool, spectral: bool, classes: int = 0
    ) -> None:
        super().__init__()
        self.first = conv(inputs, outputs, spectral=spectral)
        self.second = conv(outputs, outputs, spectral=spectral, halve=halve)
        self.around = conv(inputs, outputs, 1, spectral=spectral) if inputs != outputs else None
        self.halve = halve
        self.gain = nn.Parameter(torch.zeros(classes, outputs)) if classes else None
        self.bias = nn.Parameter(torch.zeros(classes, outputs)) if classes else None

    def forward(self, x: Tensor, labels: Tensor | None) -> Tensor:
        hidden = after_leaky(x, self.first.weight, self.first.bias, SLOPE)
        if self.gain is not None and self.bias is not None:
            gain, bias = (of[labels][:, :, None, None] for of in (self.gain, self.bias))
            hidden = torch.addcmul(hidden + bias, hidden, gain)
        if self.halve:
            hidden = self.second(F.leaky_relu_(hidden, SLOPE))
            x = F.avg_pool2d(x, 2)
        else:
            hidden = after_leaky(hidden, self.second.weight, self.second.bias, SLOPE)
        if self.around is not None:
            x = self.around(x)
        left: Tensor = hidden + x
        return left


class ResidualEnergy(nn.Module):
    """x (B, C, H, W), and labels (B,) where there are classes -> (B, outputs).

    stages: maps of each; blocks: how many each has, or one number for all. halve_first: the first
    convolution halves the sides too, which makes all that follows four times as fast. Raises
    SettingError if the sides cannot be halved so often.
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        stages: Sequence[int],
        blocks: Sequence[int],
        *,
        spectral: bool = True,
        classes: int = 0,
        halve_first: bool = False,
        outputs: int = 1,
    ) -> None:
        super().__init__()
        channels, *sides = shape
        self.takes_condition = classes > 0
        counts = list(blocks) * len(stages) if len(blocks) == 1 else list(blocks)
        if len(counts) != len(stages):
            raise SettingError(
                f"model.blocks: {len(counts)} numbers for {len(stages)} stages; give one for each "
                "stage, or one for all"
            )
        if min(sides) >> (len(stages) + halve_first) < 1:
            raise SettingError(
                f"model.stages: {len(stages)} stages halve sides of {sides[0]}×{sides[1]} below "
                "1; use fewer stages"
            )
        self.enter = conv(channels, stages[0], spectral=spectral, halve=halve_first)
        body, width = [], stages[0]
        for stage, count in zip(stages, counts, strict=True):
            for place in range(count):
                halve = place == 0
                body.append(Block(width, stage, halve=halve, spectral=spectral, classes=classes))
                width = stage
        self.body = nn.ModuleList(body)
        out = nn.Linear(width, outputs)
        self.out = spectral_norm(out) if spectral else out

    def forward(self, x: Tensor, *condition_and_stream: Tensor | Stream) -> Tensor:
        labels = condition_and_stream[0] if self.takes_condition else None
        maps = self.enter(x)
        for block in self.body:
            maps = block(maps, labels)
        # Half precision would leave an energy of 11 in steps of 1/16.
        with full_precision(x):
            found: Tensor = self.out(exact(F.leaky_relu(maps, SLOPE)).sum((2, 3)))
        return found
