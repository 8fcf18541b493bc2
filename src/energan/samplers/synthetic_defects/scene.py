"""What a kind of defect is given: images, and where things lie in them."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from energan.samplers.synthetic_defects.draws import Numbers


@dataclass(frozen=True)
class Scene:
    """Images x (n, C, H, W), and of each another one of the batch, `other`.

    grain: standard normal noise (n, 1, H, W). spread: the images' own standard deviation
    (n, 1, 1, 1). inside: bool (n, 1, H, W), a rectangle: what is not a frame of the lowest value.
    """

    x: Tensor
    other: Tensor
    grain: Tensor
    spread: Tensor
    inside: Tensor

    @property
    def side(self) -> float:
        """√(H·W), in pixels."""
        return math.sqrt(self.x.shape[-2] * self.x.shape[-1])

    @property
    def map(self) -> Tensor:
        """(n, H, W), to give shapes their size."""
        return self.grain[:, 0]

    @cached_property
    def box(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """top, left, height and width (n, 1, 1) of what is inside."""
        rows, columns = (self.inside[:, 0].any(axis).to(self.x.dtype) for axis in (2, 1))
        sides = [(marks.argmax(1), marks.sum(1)) for marks in (rows, columns)]
        (top, height), (left, width) = sides
        top, left, height, width = (v.view(-1, 1, 1) for v in (top, left, height, width))
        return top, left, height, width

    def place(self, u: Numbers) -> tuple[Tensor, Tensor]:
        """y and x (n, 1, 1), anywhere inside."""
        top, left, height, width = self.box
        return top + u.uniform(0, 1) * height, left + u.uniform(0, 1) * width

    def edge(self, u: Numbers) -> tuple[Tensor, Tensor]:
        """y and x (n, 1, 1), on the border of what is inside."""
        top, left, height, width = self.box
        share, end, upright = u.uniform(0, 1), u.chance(0.5), u.chance(0.5)
        y, x = torch.where(upright, share, end), torch.where(upright, end, share)  # end: 0 or 1
        return top + y * (height - 1), left + x * (width - 1)

    def mean(self) -> Tensor:
        """Of what is inside, (n, C, 1, 1)."""
        seen = torch.where(self.inside, self.x, 0.0)
        return seen.sum((2, 3), keepdim=True) / self.inside.sum((2, 3), keepdim=True)

    def elsewhere(self, u: Numbers) -> Tensor:
        """The other images, mirrored by chance and moved round by half their sides."""
        x, (height, width) = self.other, self.x.shape[-2:]
        for axis in (-1, -2):
            x = torch.where(planes(u.chance(0.5)), x.flip(axis), x)
        return torch.where(planes(u.chance(0.5)), x.roll((height // 2, width // 2), (-2, -1)), x)


Kind = Callable[[Scene, Numbers], tuple[Tensor, Tensor]]


def planes(values: Tensor) -> Tensor:
    """Values or maps (n, ...) of images, for all of their channels: (n, 1, ...)."""
    return values[:, None]
