"""Kinds of synthetic defects: one function each, all of the same form.

    kind(scene, u) -> (made (n, C, H, W), mask (n, H, W))

`made` is what the images would be if the defect covered them whole, `mask` in [0, 1] how much of it
there is at each pixel; the sampler mixes the two. Strengths are in units of `scene.spread`, sizes
shares of `scene.side`, so that one setting serves faint and strong textures, small and large crops.
To add a kind, write its function, and its line in `KINDS`.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor

from energan.samplers.synthetic_defects.draws import Numbers
from energan.samplers.synthetic_defects.shapes import (
    blob,
    blur,
    coordinates,
    cover,
    perlin,
    polyline,
)


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


Kind = Callable[[Scene, Numbers], tuple[Tensor, Tensor]]


def _planes(values: Tensor) -> Tensor:
    """Values or maps (n, ...) of images, for all of their channels: (n, 1, ...)."""
    return values[:, None]


def _elsewhere(scene: Scene, u: Numbers) -> Tensor:
    """The other images, mirrored by chance and moved round by half their sides."""
    x, (height, width) = scene.other, scene.x.shape[-2:]
    for axis in (-1, -2):
        x = torch.where(_planes(u.chance(0.5)), x.flip(axis), x)
    return torch.where(_planes(u.chance(0.5)), x.roll((height // 2, width // 2), (-2, -1)), x)


def texture(scene: Scene, u: Numbers) -> tuple[Tensor, Tensor]:
    """Perlin noise above a threshold, filled with another image or with noise (DRAEM: Zavrtanik,
    Kristan & Skočaj 2021, section 3.3)."""
    field = perlin(u, scene.map)
    few = field[:, ::4, ::4].flatten(1).sort(1).values
    rank = (u.uniform(0.75, 0.98)[:, 0] * few.shape[1]).long()
    mask = cover((few.gather(1, rank)[..., None] - field) * 20, 1.0)
    borrowed = _elsewhere(scene, u) + _planes(u.uniform(-1, 1)) * scene.spread
    noise = u.uniform(-2, 2) + u.uniform(0.2, 1.2) * perlin(u, scene.map, 3, 5)
    noisy = scene.mean() + scene.spread * _planes(noise)
    return torch.where(_planes(u.chance(0.5)), borrowed, noisy), mask


def cut_paste(scene: Scene, u: Numbers) -> tuple[Tensor, Tensor]:
    """A turned rectangle, or a thin bar, of the same or another image, of another brightness
    (CutPaste: Li et al. 2021, sections 2.1 and 2.2)."""
    side, (y, x) = scene.side, scene.place(u)
    long = u.logarithmic(max(0.02 * side, 2), max(0.35 * side, 3))
    ratio = torch.where(u.chance(0.4), u.uniform(0.05, 0.2), u.uniform(0.3, 1))
    turn, source_turn = u.uniform(0, math.pi), u.uniform(-0.8, 0.8)
    row, column = coordinates(scene.map)
    down, right = row - y, column - x
    along = right * turn.cos() + down * turn.sin()
    across = down * turn.cos() - right * turn.sin()
    outside = torch.maximum(along.abs() - long / 2, across.abs() - (long * ratio / 2).clamp_min(1))
    from_y, from_x = scene.place(u)
    cosine, sine = source_turn.cos(), source_turn.sin()
    height, width = scene.x.shape[-2:]
    places = torch.stack(
        [
            (from_x + right * cosine - down * sine + 0.5) * (2 / width) - 1,
            (from_y + right * sine + down * cosine + 0.5) * (2 / height) - 1,
        ],
        -1,
    )
    source = torch.where(_planes(u.chance(0.5)), scene.x, scene.other)
    pasted = F.grid_sample(source, places, padding_mode="reflection", align_corners=False)
    mean = scene.mean()
    contrast, brightness = _planes(u.uniform(0.7, 1.3)), _planes(u.uniform(-0.8, 0.8))
    colour = 0.2 * u.normal(scene.x.shape[1], 1, 1)
    return mean + (pasted - mean) * contrast + (brightness + colour) * scene.spread, cover(
        outside, 0.5
    )


def crack(scene: Scene, u: Numbers) -> tuple[Tensor, Tensor]:
    """One or two thin lines, mostly darker: a random walk, one to five pixels wide."""
    length = u.logarithmic(max(0.05 * scene.side, 3), max(0.7 * scene.side, 4))
    second = u.chance(0.3)
    start, other = scene.place(u), scene.place(u)
    jump = (torch.where(second, other[0], math.nan), torch.where(second, other[1], math.nan))
    away = polyline(u, scene.map, start, jump, length)
    mask = cover(away - u.uniform(0.3, 2.2), 0.4)
    strength = u.logarithmic(0.8, 3.5) * u.sign(0.85) * (1 + 0.3 * perlin(u, scene.map, 3, 5))
    return scene.x + _planes(strength) * scene.spread, mask


def spot(scene: Scene, u: Numbers) -> tuple[Tensor, Tensor]:
    """One to three dark or bright spots of some pixels."""
    mask, most = torch.zeros_like(scene.map), max(0.04 * scene.side, 2.5)
    for number in range(3):
        radius = u.logarithmic(1.2, most)
        away = blob(u, scene.map, *scene.place(u), radius * u.uniform(0.4, 1), radius)
        mask = mask.maximum(cover(away, 0.5) * (u.chance(0.35) if number else 1))
    strength = _planes(u.logarithmic(1, 4) * u.sign(0.8))
    rough = _planes(u.uniform(0, 1)) * scene.grain
    return scene.x + (strength + rough) * scene.spread, mask


def smear(scene: Scene, u: Numbers) -> tuple[Tensor, Tensor]:
    """A region that has lost its texture, of a somewhat other brightness, worn or soiled."""
    radius = u.logarithmic(max(0.03 * scene.side, 2), max(0.3 * scene.side, 3))
    away = blob(u, scene.map, *scene.place(u), radius * u.uniform(0.3, 1), radius)
    plain = torch.lerp(blur(scene.x, 8), blur(scene.x, 24), _planes(u.uniform(0, 1)))
    level = _planes(u.uniform(-1.8, 0.8) + u.uniform(0, 0.5) * perlin(u, scene.map))
    rough = _planes(u.uniform(0, 0.3)) * scene.grain
    return plain + (level + rough) * scene.spread, cover(away, u.uniform(0.7, 3))


def shading(scene: Scene, u: Numbers) -> tuple[Tensor, Tensor]:
    """All beyond a line, or a band, is brighter, darker, of another contrast or another texture.

    Of the two sides it is the smaller one."""
    x, (top, left) = scene.x, scene.place(u)
    turn = torch.where(u.chance(0.7), u.uniform(-0.4, 0.4), u.uniform(0, math.pi))
    turn = turn + u.chance(0.5) * (math.pi / 2)
    row, column = coordinates(scene.map)
    away = (row - top) * turn.cos() + (column - left) * turn.sin()
    away = away + u.uniform(0, 0.03) * scene.side * perlin(u, scene.map, 1, 3)
    away = away * u.sign(0.5)
    band = torch.maximum(away, -away - u.uniform(0.05, 0.4) * scene.side)
    away = torch.where(u.chance(0.4), band, away)
    inside = scene.inside[:, 0]
    most = (away < 0).logical_and(inside).sum((1, 2)) > inside.sum((1, 2)) / 2
    mask = cover(torch.where(most.view(-1, 1, 1), -away, away), u.uniform(0.5, 8))
    plain, which = blur(x, 12), _planes(u.uniform(0, 1))
    strong = torch.where(u.chance(0.6), u.uniform(1.8, 4), u.uniform(0.05, 0.5))
    other = _elsewhere(scene, u)
    other = plain + (other - blur(other, 12)) * _planes(u.uniform(0.7, 2.5))
    made = torch.where(which < 0.4, plain + (x - plain) * _planes(strong), x)
    made = torch.where((which >= 0.4) & (which < 0.7), other, made)
    shift = u.uniform(0.4, 1.5) * u.sign(0.5) * ((which > 0.7)[:, 0] | u.chance(0.6))
    return made + _planes(shift) * scene.spread, mask


def chip(scene: Scene, u: Numbers) -> tuple[Tensor, Tensor]:
    """A piece broken off at the border: as dark as the darkest place, or of another surface."""
    radius = u.logarithmic(max(0.02 * scene.side, 2), max(0.18 * scene.side, 3))
    away = blob(u, scene.map, *scene.edge(u), radius * u.uniform(0.3, 1), radius)
    bumps = _planes(u.uniform(0.1, 1) * perlin(u, scene.map, 3, 5)) * scene.spread
    lowest = torch.where(scene.inside, scene.x, math.inf).amin((2, 3), keepdim=True)
    dark = lowest + _planes(u.uniform(0, 1)) * scene.spread
    surface = blur(scene.x, 6) + _planes(u.uniform(-2, 2.5)) * scene.spread
    return torch.where(_planes(u.chance(0.6)), dark, surface) + bumps, cover(away, 0.6)


KINDS: dict[str, Kind] = {
    kind.__name__: kind for kind in (texture, cut_paste, crack, spot, smear, shading, chip)
}
