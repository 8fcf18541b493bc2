"""Events that are not data, made from a domain and a seed: what an energy should rank above data.

Images are made in [0, 1], brought to the run's range and rounded to 256 levels, as data are stored:
nothing but the picture itself gives them away.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from energan.core import Domain
from energan.evaluation.textures import textures

LEVELS = 255


@dataclass(frozen=True)
class Ground:
    """What events are made in, per coordinate, broadcast to events: of images [0, 1], mean ½ and
    standard deviation ¼; of points the box, the mean and the standard deviation of held-out ones.
    """

    domain: Domain
    low: Tensor
    high: Tensor
    mean: Tensor
    std: Tensor

    @staticmethod
    def of(domain: Domain, held_out: Tensor | None) -> "Ground":
        """held_out: (N, D), of points; images need none."""
        if len(domain.shape) == 3 or held_out is None:
            return Ground(domain, *map(torch.tensor, (0.0, 1.0, 0.5, 0.25)))
        std = held_out.std(0, correction=0)
        return Ground(domain, held_out.amin(0), held_out.amax(0), held_out.mean(0), std)


Make = Callable[[Tensor, Ground, torch.Generator], Tensor]
"""(B, *event) held-out events, images in [0, 1] -> as many of another kind."""


@dataclass(frozen=True)
class Kind:
    """images, points: what such events are, as the record tells it; None where there are none."""

    make: Make
    images: str
    points: str | None = None

    def about(self, domain: Domain) -> str | None:
        """What events of this domain are; None if there are none of this kind."""
        return self.images if len(domain.shape) == 3 else self.points


def made(kind: str, x: Tensor, ground: Ground, generator: torch.Generator) -> Tensor:
    """Events of KINDS[kind] from held-out ones x (B, *event) in the domain's range, B ≥ 2.

    Float (B, *event) in that range; the generator is on the CPU and alone decides what is drawn.
    """
    low, high = ground.domain.low, ground.domain.high
    if low is None or high is None:
        return KINDS[kind].make(x, ground, generator)
    unit = ((x - low) / (high - low)).clamp(0, 1)
    found = KINDS[kind].make(unit, ground, generator).clamp(0, 1)
    return (found * LEVELS).round().div(LEVELS / (high - low)).add(low)


def _noise(x: Tensor, ground: Ground, generator: torch.Generator) -> Tensor:
    return ground.low + (ground.high - ground.low) * torch.rand(x.shape, generator=generator)


def _gaussian(x: Tensor, ground: Ground, generator: torch.Generator) -> Tensor:
    return ground.mean + ground.std * torch.randn(x.shape, generator=generator)


def _constant(x: Tensor, ground: Ground, generator: torch.Generator) -> Tensor:
    return torch.rand(*x.shape[:2], 1, 1, generator=generator).expand(x.shape)


def _shuffled(x: Tensor, ground: Ground, generator: torch.Generator) -> Tensor:
    """Pixels keep their colours: all channels of an image are permuted alike."""
    flat = x.flatten(2)  # (B, C, H·W)
    order = torch.rand(len(x), flat.shape[2], generator=generator).argsort(1)
    return flat.gather(2, order.unsqueeze(1).expand_as(flat)).view_as(x)


def _inverted(x: Tensor, ground: Ground, generator: torch.Generator) -> Tensor:
    return 1 - x


def _blurred(x: Tensor, ground: Ground, generator: torch.Generator) -> Tensor:
    """By a Gaussian of σ = side/16 pixels, at least 1, along each axis; edges are repeated."""
    for axis in (2, 3):
        sigma = max(1.0, x.shape[axis] / 16)
        reach = math.ceil(3 * sigma)
        weights = torch.exp(-0.5 * (torch.arange(-reach, reach + 1) / sigma) ** 2)
        weights = weights / weights.sum()
        rows = x.movedim(axis, -1)
        lines = F.pad(rows.flatten(0, -2).unsqueeze(1), (reach, reach), mode="replicate")
        x = F.conv1d(lines, weights.view(1, 1, -1)).reshape(rows.shape).movedim(-1, axis)
    return x


def _mixup(x: Tensor, ground: Ground, generator: torch.Generator) -> Tensor:
    return (x + x.roll(1, 0)) / 2


def _textures(x: Tensor, ground: Ground, generator: torch.Generator) -> Tensor:
    return textures(x.shape, generator)


KINDS: dict[str, Kind] = {
    "noise": Kind(_noise, "uniform noise", "uniform over the box that holds the data"),
    "gaussian": Kind(
        _gaussian,
        "Gaussian noise about the middle of the range, of a quarter of it, cut off at its ends",
        "Gaussian, with the mean and the deviation of each coordinate of the data",
    ),
    "constant": Kind(_constant, "one random grey or colour an image"),
    "shuffled": Kind(_shuffled, "held-out images, the pixels of each permuted in its own way"),
    "inverted": Kind(_inverted, "negatives of held-out images"),
    "blurred": Kind(_blurred, "held-out images, blurred by a Gaussian of 1/16 of the side"),
    "textures": Kind(
        _textures, "gratings, checkerboards and 1/f noise in two random colours, by turns"
    ),
    "mixup": Kind(_mixup, "means of two held-out images", "midpoints of two held-out points"),
}
OF_ITS_OWN = ("shuffled", "inverted", "blurred", "mixup")
"""Sets whose i-th event is made of the i-th held-out one."""
