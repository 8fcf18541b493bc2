"""The residual pair of R3GAN (Huang et al. 2024, section 4): no norm, bilinear resampling.

    G:  z -> basis ⊙ (W z), then blocks;  for each further stage: 1×1, twice the sides, blocks;  1×1
    D:  1×1;  for each stage: blocks, half the sides, 1×1;  blocks, Σ basis ⊙ x, one output
    a block:  x + c₃(a(c₂(a(c₁(x))))),  c₁ 1×1 to twice the maps, c₂ 3×3 in groups, c₃ 1×1 back

Of labels y, as in the authors' code, G's input is [z, e(y)], and D's output is the product of the
vector W Σ basis ⊙ x with e'(y); e and e' are learned vectors of each label.

First weights are those of Fixup (Zhang et al. 2019): N(0, g²/fan-in) with g = √(2/1.04) n^(−1/4) in
c₁ and c₂ of n blocks, 0 in c₃. So a network begins as its resampling alone, however deep it is.
"""

from collections.abc import Sequence
from itertools import pairwise
from math import gcd, prod

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from energan.core import Stream, Streamed
from energan.nets.conditional import one_hot
from energan.nets.dense import Dense
from energan.nets.mlp import OUTPUTS, Output

SLOPE = 0.2
GAIN = (2 / (1 + SLOPE**2)) ** 0.5
"""Gain that keeps the variance through a LeakyReLU of this slope."""
EXPANSION = 2
"""Factor by which a block widens its feature maps inside."""


def conv(
    inputs: int, outputs: int, side: int = 1, *, gain: float = 1.0, groups: int = 1, bias: bool
) -> nn.Conv2d:
    """A convolution that keeps the sides, with weights from N(0, gain²/fan-in)."""
    layer = nn.Conv2d(inputs, outputs, side, padding=side // 2, groups=groups, bias=bias)
    nn.init.normal_(layer.weight, 0, gain / layer.weight[0].numel() ** 0.5)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


def dense(inputs: int, outputs: int) -> Dense:
    layer = Dense(inputs, outputs, bias=False)
    nn.init.normal_(layer.weight, 0, inputs**-0.5)
    return layer


class Embedding(nn.Module):
    """Labels (B,) -> (B, size): a vector of each, from N(0, scale²/classes)."""

    def __init__(self, classes: int, size: int, scale: float = 1.0) -> None:
        super().__init__()
        self.classes, self.vectors = classes, dense(classes, size)
        with torch.no_grad():
            self.vectors.weight.mul_(scale)

    def forward(self, labels: Tensor, like: Tensor) -> Tensor:
        found: Tensor = self.vectors(one_hot(labels, self.classes, like))
        return found


class GroupedBottleneck(nn.Module):
    """x + c₃(a(c₂(a(c₁(x))))) of x (B, C, H, W), a LeakyReLU after a bias.

    group: maps in each group of c₂, fewer where the maps cannot be divided so. blocks: of the whole
    network.
    """

    def __init__(self, maps: int, group: int, blocks: int) -> None:
        super().__init__()
        gain, inner = GAIN * blocks**-0.25, EXPANSION * maps
        groups = inner // gcd(inner, group)
        self.enter = conv(maps, inner, gain=gain, bias=True)
        self.mix = conv(inner, inner, 3, gain=gain, groups=groups, bias=True)
        self.leave = conv(inner, maps, gain=0.0, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        inner = F.leaky_relu(self.mix(F.leaky_relu(self.enter(x), SLOPE)), SLOPE)
        left: Tensor = x + self.leave(inner)
        return left


class Halved(nn.Module):
    """Half the sides, by the bilinear filter [1, 3, 3, 1] / 8 along each; beyond the edge is 0."""

    kernel: Tensor

    def __init__(self) -> None:
        super().__init__()
        taps = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8
        self.register_buffer("kernel", taps[:, None] * taps, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        maps = x.shape[1]
        kernel = self.kernel.to(x.dtype).expand(maps, 1, 4, 4)
        return F.conv2d(x, kernel, stride=2, padding=1, groups=maps)


class Doubled(nn.Module):
    """Twice the sides, bilinear."""

    def forward(self, x: Tensor) -> Tensor:
        return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


class ResidualGenerator(Streamed):
    """z (B, latent), and labels (B,) where there are classes -> x (B, C, H, W).

    widths: maps of each stage, from the smallest. Each after the first doubles the sides.
    """

    def __init__(
        self,
        latent: int,
        widths: Sequence[int],
        blocks: int,
        group: int,
        shape: tuple[int, int, int],
        output: Output,
        classes: int = 0,
    ) -> None:
        super().__init__()
        self.takes_condition = classes > 0
        channels, height, width = shape
        times, count = len(widths) - 1, blocks * len(widths)
        self.basis = nn.Parameter(torch.empty(widths[0], height >> times, width >> times))
        nn.init.normal_(self.basis)
        self.embedding = Embedding(classes, latent) if classes else None
        self.enter = dense(2 * latent if classes else latent, widths[0])
        layers: list[nn.Module] = [
            GroupedBottleneck(widths[0], group, count) for _ in range(blocks)
        ]
        for inputs, outputs in pairwise(widths):
            layers += [*_transition(inputs, outputs), Doubled()]
            layers += [GroupedBottleneck(outputs, group, count) for _ in range(blocks)]
        self.body = nn.Sequential(*layers, conv(widths[-1], channels, bias=False))
        self.output = OUTPUTS[output]()

    def forward(self, z: Tensor, *condition_and_stream: Tensor | Stream) -> Tensor:
        if self.embedding is not None:
            z = torch.cat([z, self.embedding(condition_and_stream[0], z)], -1)
        made: Tensor = self.output(self.body(self.basis * self.enter(z)[:, :, None, None]))
        return made


class ResidualLogit(Streamed):
    """x (B, C, H, W), and labels (B,) where there are classes -> logit (B, 1).

    widths: maps of each stage, from the largest. embedding: numbers of a label's vector.
    """

    def __init__(
        self,
        widths: Sequence[int],
        blocks: int,
        group: int,
        shape: tuple[int, int, int],
        classes: int = 0,
        embedding: int = 1,
    ) -> None:
        super().__init__()
        self.takes_condition = classes > 0
        channels, height, width = shape
        times, count = len(widths) - 1, blocks * len(widths)
        layers: list[nn.Module] = [conv(channels, widths[0], bias=False)]
        for inputs, outputs in pairwise(widths):
            layers += [GroupedBottleneck(inputs, group, count) for _ in range(blocks)]
            layers += [Halved(), *_transition(inputs, outputs)]
        layers += [GroupedBottleneck(widths[-1], group, count) for _ in range(blocks)]
        self.body = nn.Sequential(*layers)
        self.basis = nn.Parameter(torch.empty(widths[-1], height >> times, width >> times))
        nn.init.normal_(self.basis, 0, prod(self.basis.shape[1:]) ** -0.5)
        self.leave = dense(widths[-1], embedding if classes else 1)
        self.embedding = Embedding(classes, embedding, embedding**-0.5) if classes else None

    def forward(self, x: Tensor, *condition_and_stream: Tensor | Stream) -> Tensor:
        logit: Tensor = self.leave((self.basis * self.body(x)).sum((2, 3)))
        if self.embedding is not None:
            known = self.embedding(condition_and_stream[0], logit)
            logit = (logit * known).sum(-1, keepdim=True)
        return logit


def _transition(inputs: int, outputs: int) -> list[nn.Module]:
    """A 1×1 convolution between stages, where the maps' number changes."""
    return [] if inputs == outputs else [conv(inputs, outputs, bias=False)]
