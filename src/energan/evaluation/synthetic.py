"""Events that are not data, made from a domain and a seed: what an energy should rank above data.

Images are made in [0, 1], brought to the run's range and rounded to 256 levels, as data are stored:
nothing but the picture itself gives them away.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil, log, pi

import torch
import torch.nn.functional as F
from torch import Tensor

from energan.core import Domain

LEVELS = 255


@dataclass(frozen=True)
class EventStatistics:
    """What events are made in, per coordinate, broadcast to events: of images [0, 1], mean ½ and
    standard deviation ¼; of points the box, the mean and the standard deviation of held-out ones.
    """

    domain: Domain
    low: Tensor
    high: Tensor
    mean: Tensor
    std: Tensor

    @staticmethod
    def of(domain: Domain, held_out: Tensor | None) -> "EventStatistics":
        """held_out: (N, D), of points; images need none."""
        if len(domain.shape) == 3 or held_out is None:
            return EventStatistics(domain, *map(torch.tensor, (0.0, 1.0, 0.5, 0.25)))
        std = held_out.std(0, correction=0)
        return EventStatistics(domain, held_out.amin(0), held_out.amax(0), held_out.mean(0), std)


Make = Callable[[Tensor, EventStatistics, torch.Generator], Tensor]
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


def synthesise(
    kind: str, x: Tensor, statistics: EventStatistics, generator: torch.Generator
) -> Tensor:
    """Events of KINDS[kind] from held-out ones x (B, *event) in the domain's range, B ≥ 2.

    Float (B, *event) in that range; the generator is on the CPU and alone decides what is drawn.
    """
    low, high = statistics.domain.low, statistics.domain.high
    if low is None or high is None:
        return KINDS[kind].make(x, statistics, generator)
    unit = ((x - low) / (high - low)).clamp(0, 1)
    found = KINDS[kind].make(unit, statistics, generator).clamp(0, 1)
    return (found * LEVELS).round().div(LEVELS / (high - low)).add(low)


def _noise(x: Tensor, statistics: EventStatistics, generator: torch.Generator) -> Tensor:
    return statistics.low + (statistics.high - statistics.low) * torch.rand(
        x.shape, generator=generator
    )


def _gaussian(x: Tensor, statistics: EventStatistics, generator: torch.Generator) -> Tensor:
    return statistics.mean + statistics.std * torch.randn(x.shape, generator=generator)


def _constant(x: Tensor, statistics: EventStatistics, generator: torch.Generator) -> Tensor:
    return torch.rand(*x.shape[:2], 1, 1, generator=generator).expand(x.shape)


def _shuffled(x: Tensor, statistics: EventStatistics, generator: torch.Generator) -> Tensor:
    """Pixels keep their colours: all channels of an image are permuted alike."""
    flat = x.flatten(2)  # (B, C, H·W)
    order = torch.rand(len(x), flat.shape[2], generator=generator).argsort(1)
    return flat.gather(2, order.unsqueeze(1).expand_as(flat)).view_as(x)


def _blurred(x: Tensor, statistics: EventStatistics, generator: torch.Generator) -> Tensor:
    """By a Gaussian of σ = side/16 pixels, at least 1, along each axis; edges are repeated."""
    for axis in (2, 3):
        sigma = max(1.0, x.shape[axis] / 16)
        reach = ceil(3 * sigma)
        weights = torch.exp(-0.5 * (torch.arange(-reach, reach + 1) / sigma) ** 2)
        weights = weights / weights.sum()
        rows = x.movedim(axis, -1)
        lines = F.pad(rows.flatten(0, -2).unsqueeze(1), (reach, reach), mode="replicate")
        x = F.conv1d(lines, weights.view(1, 1, -1)).reshape(rows.shape).movedim(-1, axis)
    return x


Uniform = Tensor
"""(B, 1, 1), uniform on [0, 1), for each parameter of each image."""


def textures(shape: torch.Size, generator: torch.Generator) -> Tensor:
    """Images (B, C, H, W) in [0, 1]: image i is of kind i mod 3.

    Each has a pattern t (H, W) in [-1, 1] between two colours, uniform on [0, 1]^C.
    """
    count, channels, height, width = shape
    draws = torch.rand(4, count, 1, 1, generator=generator)
    colours = torch.rand(2, count, channels, 1, 1, generator=generator)
    spectrum = torch.randn(count, height, width, generator=generator)
    t = torch.empty(count, height, width)
    for kind, pattern in enumerate((grating, checkerboard, pink)[:count]):
        own = slice(kind, None, 3)
        t[own] = pattern(draws[:, own], spectrum[own])
    return torch.lerp(colours[0], colours[1], (t.unsqueeze(1) + 1) / 2)


def grating(draws: Uniform, white: Tensor) -> Tensor:
    """sin(2π f u + φ) along a direction u: f of 2 to side/4 waves an image, log-uniform."""
    across, _ = _rotated_coordinates(draws[0], white)
    return (2 * pi * _frequencies(draws[1], white) * across + 2 * pi * draws[2]).sin()


def checkerboard(draws: Uniform, white: Tensor) -> Tensor:
    """Squares of -1 and 1, turned and shifted: of 2 to side/4 pairs of squares along an image."""
    across, up = _rotated_coordinates(draws[0], white)
    f = 2 * pi * _frequencies(draws[1], white)
    sides = (f * across + 2 * pi * draws[2]).sin() * (f * up + 2 * pi * draws[3]).sin()
    return torch.where(sides < 0, -1.0, 1.0)


def pink(draws: Uniform, white: Tensor) -> Tensor:
    """Noise whose amplitude falls as 1/f^a, a uniform on [0.5, 2]; cut off at 2.5 deviations."""
    height, width = white.shape[1:]
    f = torch.hypot(torch.fft.fftfreq(height)[:, None], torch.fft.rfftfreq(width)[None])
    f[0, 0] = 1
    falling = torch.pow(f, -0.5 - 1.5 * draws[1])  # (B, H, W//2 + 1)
    falling[:, 0, 0] = 0  # no mean: it is the colours'
    noise: Tensor = torch.fft.irfft2(torch.fft.rfft2(white) * falling, s=(height, width))
    std = noise.std((1, 2), correction=0, keepdim=True).clamp_min(1e-12)
    return (noise / (2.5 * std)).clamp(-1, 1)


def _rotated_coordinates(turn: Tensor, white: Tensor) -> tuple[Tensor, Tensor]:
    """Coordinates (B, H, W) in images, turned by π·turn; the longer side has length 1."""
    height, width = white.shape[1:]
    side = max(height, width)
    y, x = torch.meshgrid(torch.arange(height) / side, torch.arange(width) / side, indexing="ij")
    cos, sin = (pi * turn).cos(), (pi * turn).sin()
    return cos * x + sin * y, cos * y - sin * x


def _frequencies(draw: Tensor, white: Tensor) -> Tensor:
    """Log-uniform from 2 to a quarter of the longer side, at least 2."""
    most = max(2.0, max(white.shape[1:]) / 4)
    return (log(2) + log(most / 2) * draw).exp()


KINDS: dict[str, Kind] = {
    "noise": Kind(_noise, "uniform noise", "uniform over the box that holds the data"),
    "gaussian": Kind(
        _gaussian,
        "Gaussian noise about the middle of the range, of a quarter of it, cut off at its ends",
        "Gaussian, with the mean and the deviation of each coordinate of the data",
    ),
    "constant": Kind(_constant, "one random grey or colour an image"),
    "shuffled": Kind(_shuffled, "held-out images, the pixels of each permuted in its own way"),
    "inverted": Kind(lambda x, *_: 1 - x, "negatives of held-out images"),
    "blurred": Kind(_blurred, "held-out images, blurred by a Gaussian of 1/16 of the side"),
    "textures": Kind(
        lambda x, _, generator: textures(x.shape, generator),
        "gratings, checkerboards and 1/f noise in two random colours, by turns",
    ),
    "mixup": Kind(
        lambda x, *_: (x + x.roll(1, 0)) / 2,
        "means of two held-out images",
        "midpoints of two held-out points",
    ),
}
PAIRED = ("shuffled", "inverted", "blurred", "mixup")
"""Sets whose i-th event is made of the i-th held-out one."""
