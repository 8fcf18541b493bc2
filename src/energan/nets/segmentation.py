"""A network that gives each cell of an image one number, from several scales around it.

A U-Net (Ronneberger, Fischer & Brox 2015) of 3×3 convolutions that keep the sides, with batch norm.
It takes images of any size. By statistics at rest, as in stream "eval", what it says of a place
depends on what is near it alone, so that it may be trained on windows and used on whole images.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from energan.core import Stream, Streamed, exact
from energan.nets.dense import BatchNorm, Sequential

Cell = Literal[1, 2, 4]
RARE = -3.0
"""The first logit of all cells: few are anomalous (Lin et al. 2017, section 3.3)."""
GRID = 4
"""Pixels along a side that local means are worked out on."""


class LocalNorm(nn.Module):
    """Images (B, C, H, W) and what of them differs from around: (B, 2C, H, W).

    The second half is (x − μ)/(σ + ε), clamped to ±5, with the mean and the standard deviation over
    a square of `window` pixels, of each channel. Pixels of the value `low` in all channels, as of a
    frame, are left out of them and become 0.
    """

    def __init__(self, window: int, low: float, eps: float = 0.02, most: float = 5.0) -> None:
        super().__init__()
        self.window, self.low, self.eps, self.most = window, low, eps, most

    def forward(self, x: Tensor) -> Tensor:
        x = exact(x)
        seen = (x > self.low).any(1, keepdim=True).to(x.dtype)
        share = self._around(seen).clamp_min(1e-3)
        mean = self._around(x * seen) / share
        variance = self._around((x - mean).square() * seen) / share
        normal = (x - mean) / (variance.sqrt() + self.eps) * seen
        return torch.cat([x, normal.clamp(-self.most, self.most)], 1)

    def _around(self, x: Tensor) -> Tensor:
        """The mean over the window, worked out on a grid and bilinear between its places."""
        height, width = x.shape[-2:]
        small = F.avg_pool2d(x, GRID, ceil_mode=True, count_include_pad=False)
        reach = max(self.window // GRID // 2, 1)
        for down, across in ((reach, 0), (0, reach)):
            small = F.avg_pool2d(
                small, (2 * down + 1, 2 * across + 1), 1, (down, across), count_include_pad=False
            )
        large = F.interpolate(small, scale_factor=GRID, mode="bilinear", align_corners=False)
        return large[..., :height, :width]


class CellLogits(Streamed):
    """x (B, C, H, W) -> logits (B, ⌈H/cell⌉, ⌈W/cell⌉).

    widths: maps of the scales, from the finest; each has half the sides of the one before. The
    finest has those of the image, or with a cell of 2 or 4 half of them; with 4 the logits are of
    the second scale. before: what the images pass first, and how often it repeats their channels.
    """

    def __init__(
        self, channels: int, widths: Sequence[int], cell: Cell, before: nn.Module | None = None
    ) -> None:
        super().__init__()
        self.before = nn.Identity() if before is None else before
        inputs = channels if before is None else 2 * channels
        first = widths[0]
        self.stem = nn.Sequential(
            nn.Conv2d(inputs, first, 5, stride=1 if cell == 1 else 2, padding=2), nn.ReLU()
        )
        self.down = nn.ModuleList(
            _block(narrow, wide) for narrow, wide in pairwise([first, *widths])
        )
        finest = 1 if cell == 4 else 0
        self.up = nn.ModuleList(
            _block(coarse + fine, fine) for fine, coarse in reversed([*pairwise(widths[finest:])])
        )
        self.head = nn.Conv2d(widths[finest], 1, 1)
        nn.init.constant_(self.head.bias, RARE)  # type: ignore[arg-type]

    def forward(self, x: Tensor, stream: Stream) -> Tensor:
        x = self.stem(self.before(x))
        scales: list[Tensor] = []
        for number, block in enumerate(self.down):
            # a last row alone has a cell of its own
            x = block(F.max_pool2d(x, 2, ceil_mode=True) if number else x, stream)
            scales.append(x)
        scales.pop()
        for block in self.up:
            fine = scales.pop()
            height, width = fine.shape[-2:]
            twice = F.interpolate(x, scale_factor=2.0, mode="nearest")[..., :height, :width]
            x = block(torch.cat([twice, fine], 1), stream)
        logits: Tensor = self.head(x)
        return logits.squeeze(1)


def _block(inputs: int, outputs: int) -> Sequential:
    layers: list[nn.Module] = []
    for before in (inputs, outputs):
        convolution = nn.Conv2d(before, outputs, 3, padding=1, bias=False)
        layers += [convolution, BatchNorm(outputs), nn.ReLU()]
    return Sequential(*layers)
