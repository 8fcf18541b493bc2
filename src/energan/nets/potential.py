"""Smooth potentials, for energies whose gradient is regressed: points by an MLP, images by x·f(x).

    U(x) = Σ x·f(x),   ∇U(x) = f(x) + J_f(x)ᵀ x       (the dot product of Wang & Du 2025)

f is a U-Net of the image's own size, so that ∇U has its details. All layers are smooth and none
has a norm: with ReLU, ∇U would be constant in pieces, and its regression has a second derivative.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from energan.core import Config, Domain, SettingError, exact, full_precision
from energan.nets.conv import halvings
from energan.nets.mlp import Widths, smooth_mlp


class Potential(Config):
    """The network of a potential, for a model's settings to take on."""

    hidden: Widths = Field(
        (128, 128, 128), description="for points: hidden layer widths, with SiLU units"
    )
    stages: Widths = Field(
        (32, 64, 64),
        description="for images: channels of each stage; each has half the resolution of the "
        "one before",
    )
    blocks: int = Field(1, ge=1, description="for images: residual blocks in each stage")

    def network(self, domain: Domain, model: str) -> nn.Module:
        """x (B, *event) -> (B, 1), of points or images. Raises SettingError for what is neither, or
        for images whose sides cannot be halved so often."""
        if len(domain.shape) == 1:
            return smooth_mlp(domain.size, self.hidden, spectral=False)
        if len(domain.shape) != 3:
            raise SettingError(f"{model} takes points or images, and the data holds {domain.shape}")
        channels, *sides = domain.shape
        most = halvings(sides[0], sides[1], 1)
        if len(self.stages) - 1 > most:
            raise SettingError(
                f"model.stages: {len(self.stages)} stages halve the sides {len(self.stages) - 1} "
                f"times, and {sides[0]}×{sides[1]} can be halved {most} times: use fewer stages, "
                "or another data.size"
            )
        return DotProduct(SmoothUNet(channels, self.stages, self.blocks))


class SmoothBlock(nn.Module):
    """x + c₂(silu(c₁(silu(x)))), its convolutions 3×3; a tenth of it at first."""

    def __init__(self, maps: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(maps, maps, 3, padding=1)
        self.second = nn.Conv2d(maps, maps, 3, padding=1)
        with torch.no_grad():
            self.second.weight.mul_(0.1)

    def forward(self, x: Tensor) -> Tensor:
        left: Tensor = x + self.second(F.silu(self.first(F.silu(x))))
        return left


class SmoothUNet(nn.Module):
    """x (B, C, H, W) -> (B, C, H, W). stages: maps, from the full size, each at half the sides.

    On the way back a stage's maps are added to those that come from below, doubled bilinearly.
    """

    def __init__(self, channels: int, stages: Sequence[int], blocks: int) -> None:
        super().__init__()

        def several(maps: int) -> nn.Sequential:
            return nn.Sequential(*(SmoothBlock(maps) for _ in range(blocks)))

        self.enter = nn.Conv2d(channels, stages[0], 3, padding=1)
        self.down = nn.ModuleList(several(maps) for maps in stages)
        self.wider = nn.ModuleList(nn.Conv2d(a, b, 1) for a, b in pairwise(stages))
        self.narrower = nn.ModuleList(nn.Conv2d(b, a, 1) for a, b in pairwise(stages))
        self.up = nn.ModuleList(several(maps) for maps in stages[:-1])
        self.leave = nn.Conv2d(stages[0], channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        maps, passed = self.down[0](self.enter(x)), []
        for wider, blocks in zip(self.wider, list(self.down)[1:], strict=True):
            passed.append(maps)
            maps = blocks(F.avg_pool2d(wider(maps), 2))
        for narrower, blocks in zip(reversed(self.narrower), reversed(self.up), strict=True):
            below = F.interpolate(narrower(maps), scale_factor=2, mode="bilinear")
            maps = blocks(passed.pop() + below)
        made: Tensor = self.leave(F.silu(maps))
        return made


class DotProduct(nn.Module):
    """x (B, *event) -> Σ x·f(x), (B, 1)."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        made = self.network(x)
        with full_precision(x):
            return (exact(x) * exact(made)).flatten(1).sum(1, keepdim=True)
