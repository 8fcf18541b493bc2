"""The residual energy network of IGEBM (Du & Mordatch 2019, appendix): no norm but spectral norm.

    3×3 conv; for each stage its blocks, the first of which halves the sides; LeakyReLU; the sum
    over all places; one output. A block is x -> s(x) + c(act(c(act(x)))), its convolutions 3×3.

Blocks that halve take the mean over 2×2 windows at their end. That mean and the convolution before
it are one 4×4 convolution of stride 2, with 16 products an output instead of 36; and the mean and
the 1×1 convolution of the way around commute, so the mean comes first.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.nn.utils.parametrizations import spectral_norm

from energan.core import SettingError, Stream

SLOPE = 0.2


class _MeanOfFour(nn.Module):
    """A kernel 3×3 (O, I, 3, 3) -> the 4×4 one that gives the mean of 2×2 of its outputs."""

    def forward(self, weight: Tensor) -> Tensor:
        rows = F.pad(weight, (0, 0, 0, 1)) + F.pad(weight, (0, 0, 1, 0))
        both = (F.pad(rows, (0, 1)) + F.pad(rows, (1, 0))) / 4
        channels_last = weight.is_contiguous(memory_format=torch.channels_last)
        return both.contiguous(memory_format=torch.channels_last) if channels_last else both


def conv(
    inputs: int, outputs: int, side: int = 3, *, spectral: bool, halve: bool = False
) -> nn.Conv2d:
    """A convolution that keeps the sides, or with `halve` one of which the mean of 2×2 is taken."""
    stride, padding = (2, 1) if halve else (1, side // 2)
    layer = nn.Conv2d(inputs, outputs, side, stride, padding)
    if spectral:
        spectral_norm(layer)
    if halve:
        parametrize.register_parametrization(layer, "weight", _MeanOfFour(), unsafe=True)
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
        hidden = self.first(F.leaky_relu(x, SLOPE))
        if self.gain is not None and self.bias is not None:
            gain, bias = (of[labels][:, :, None, None] for of in (self.gain, self.bias))
            hidden = torch.addcmul(hidden + bias, hidden, gain)
        hidden = self.second(F.leaky_relu_(hidden, SLOPE))
        if self.halve:
            x = F.avg_pool2d(x, 2)
        if self.around is not None:
            x = self.around(x)
        left: Tensor = hidden + x
        return left


class ResidualEnergy(nn.Module):
    """x (B, C, H, W), and labels (B,) where there are classes -> (B, 1).

    stages: maps of each; blocks: how many each has, or one number for all. halve_first: the first
    convolution halves the sides too, which makes all that follows four times as fast. Raises
    SettingError if the sides cannot be halved so often.
    """

    def __init__(
        self,
        event: tuple[int, int, int],
        stages: Sequence[int],
        blocks: Sequence[int],
        *,
        spectral: bool = True,
        classes: int = 0,
        halve_first: bool = False,
    ) -> None:
        super().__init__()
        channels, *sides = event
        self.takes_condition = classes > 0
        counts = list(blocks) * len(stages) if len(blocks) == 1 else list(blocks)
        if len(counts) != len(stages):
            raise SettingError(
                f"model.blocks: {len(counts)} numbers for {len(stages)} stages; give one for each "
                "stage, or one for all"
            )
        if min(sides) >> (len(stages) + halve_first) < 1:
            raise SettingError(
                f"model.stages: {len(stages)} stages halve the sides of {sides[0]}×{sides[1]} "
                "below 1; leave some out"
            )
        self.enter = conv(channels, stages[0], spectral=spectral, halve=halve_first)
        body, width = [], stages[0]
        for stage, count in zip(stages, counts, strict=True):
            for place in range(count):
                halve = place == 0
                body.append(Block(width, stage, halve=halve, spectral=spectral, classes=classes))
                width = stage
        self.body = nn.ModuleList(body)
        out = nn.Linear(width, 1)
        self.out = spectral_norm(out) if spectral else out

    def forward(self, x: Tensor, *condition_and_stream: Tensor | Stream) -> Tensor:
        labels = condition_and_stream[0] if self.takes_condition else None
        maps = self.enter(x)
        for block in self.body:
            maps = block(maps, labels)
        found: Tensor = self.out(F.leaky_relu(maps, SLOPE).sum((2, 3)))
        return found
