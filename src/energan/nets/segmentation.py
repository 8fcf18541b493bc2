"""A network that gives each cell of an image one number, from several scales around it.

A U-Net (Ronneberger, Fischer & Brox 2015) of 3×3 convolutions that keep the sides, with batch norm.
It takes images of any size, and in stream "eval" what it says of a place depends on what is near
it alone but for the image's mean, so that it may be trained on windows and used on whole images.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from energan.core import Stream, Streamed, exact
from energan.nets.dense import Sequential

Cell = Literal[1, 2, 4]
RARE = -3.0
"""Initial logit of all cells: few are anomalous (Lin et al. 2017, section 3.3)."""
GRID = 4
"""Pixels along a side at which local means are computed."""


class RunningBatchNorm(Streamed):
    """Batch normalisation of maps (B, C, H, W) by the statistics of the batch, in stream "eval" by
    their running averages.

    All that passes in training are images of one kind, so the averages need no pass of their own
    over the data, which takes minutes where images are large. Of several ranks each averages its
    own batches; the checkpoint holds those of the first.
    """

    mean: Tensor
    variance: Tensor

    def __init__(self, features: int, momentum: float = 0.05, eps: float = 1e-5) -> None:
        super().__init__()
        self.momentum, self.eps = momentum, eps
        self.weight = nn.Parameter(torch.ones(features))
        self.bias = nn.Parameter(torch.zeros(features))
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("variance", torch.ones(features))

    def forward(self, x: Tensor, stream: Stream) -> Tensor:
        training = stream != "eval"
        return F.batch_norm(
            x, self.mean, self.variance, self.weight, self.bias, training, self.momentum, self.eps
        )


class LocalNorm(nn.Module):
    """Images (B, C, H, W), and how they differ from their own mean and from what is around a place:
    (B, 3C, H, W).

    Behind the images stands (x − μ)/(σ + ε), clamped to ±5, with the mean and the standard
    deviation of each channel over the whole image, then the same over a square of `window` pixels.
    Pixels of the value `low` in all channels, as of a frame, are left out of them and become 0.
    """

    copies = 3

    def __init__(self, window: int, low: float, eps: float = 0.02, most: float = 5.0) -> None:
        super().__init__()
        self.window, self.low, self.eps, self.most = window, low, eps, most

    def forward(self, x: Tensor) -> Tensor:
        x = exact(x)
        seen = (x > self.low).any(1, keepdim=True).to(x.dtype)
        whole, local = (self._normalise(x, seen, mean) for mean in (_everywhere, self._around))
        return torch.cat([x, whole, local], 1)

    def _normalise(self, x: Tensor, seen: Tensor, mean_of: Callable[[Tensor], Tensor]) -> Tensor:
        share = mean_of(seen).clamp_min(1e-3)
        mean = mean_of(x * seen) / share
        variance = mean_of((x - mean).square() * seen) / share
        normal = (x - mean) / (variance.sqrt() + self.eps) * seen
        return normal.clamp(-self.most, self.most)

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


def _everywhere(x: Tensor) -> Tensor:
    return x.mean((2, 3), keepdim=True)


class CellLogits(Streamed):
    """x (B, C, H, W) -> logits (B, ⌈H/cell⌉, ⌈W/cell⌉).

    widths: maps of the scales, from the finest; each has half the sides of the one before. The
    finest has those of the image, or with a cell of 2 or 4 half of them; with 4 the logits are of
    the second scale. before: what the images pass first, if anything.
    """

    def __init__(
        self, channels: int, widths: Sequence[int], cell: Cell, before: LocalNorm | None = None
    ) -> None:
        super().__init__()
        self.before = nn.Identity() if before is None else before
        inputs = channels * (1 if before is None else before.copies)
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
        layers += [convolution, RunningBatchNorm(outputs), nn.ReLU()]
    return Sequential(*layers)
