"""Kinds of synthetic defects: one function each, all of the same form.

    kind(scene, u) -> (made (n, C, H, W), mask (n, H, W))

`made` is what the images would be if the defect covered them whole, `mask` in [0, 1] how much of it
there is at each pixel; the sampler mixes the two. Strengths are in units of `scene.spread`, sizes
shares of `scene.side`, so that one setting serves faint and strong textures, small and large crops.
To add a kind, write its function, its line in `KINDS` and its setting.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from energan.samplers.synthetic_defects.draws import Numbers
from energan.samplers.synthetic_defects.regions import shading, smear, streaks
from energan.samplers.synthetic_defects.scene import Kind, Scene, planes
from energan.samplers.synthetic_defects.shapes import (
    blob,
    blur,
    coordinates,
    cover,
    perlin,
    polyline,
)


def texture(scene: Scene, u: Numbers) -> tuple[Tensor, Tensor]:
    """Perlin noise above a threshold, filled with another image or with noise (DRAEM: Zavrtanik,
    Kristan & Skočaj 2021, section 3.3)."""
    field = perlin(u, scene.map)
    few = field[:, ::4, ::4].flatten(1).sort(1).values
    rank = (u.uniform(0.75, 0.98)[:, 0] * few.shape[1]).long()
    mask = cover((few.gather(1, rank)[..., None] - field) * 20, 1.0)
    borrowed = scene.elsewhere(u) + planes(u.uniform(-1, 1)) * scene.spread
    noise = u.uniform(-2, 2) + u.uniform(0.2, 1.2) * perlin(u, scene.map, 3, 5)
    noisy = scene.mean() + scene.spread * planes(noise)
    return torch.where(planes(u.chance(0.5)), borrowed, noisy), mask


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
    source = torch.where(planes(u.chance(0.5)), scene.x, scene.other)
    pasted = F.grid_sample(source, places, padding_mode="reflection", align_corners=False)
    mean = scene.mean()
    contrast, brightness = planes(u.uniform(0.7, 1.3)), planes(u.uniform(-0.8, 0.8))
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
    return scene.x + planes(strength) * scene.spread, mask


def spot(scene: Scene, u: Numbers) -> tuple[Tensor, Tensor]:
    """One to three dark or bright spots of some pixels."""
    mask, most = torch.zeros_like(scene.map), max(0.04 * scene.side, 2.5)
    for number in range(3):
        radius = u.logarithmic(1.2, most)
        away = blob(u, scene.map, *scene.place(u), radius * u.uniform(0.4, 1), radius)
        mask = mask.maximum(cover(away, 0.5) * (u.chance(0.35) if number else 1))
    strength = planes(u.logarithmic(1, 4) * u.sign(0.8))
    rough = planes(u.uniform(0, 1)) * scene.grain
    return scene.x + (strength + rough) * scene.spread, mask


def chip(scene: Scene, u: Numbers) -> tuple[Tensor, Tensor]:
    """A piece broken off at the border: as dark as the darkest place, or of another surface."""
    radius = u.logarithmic(max(0.02 * scene.side, 2), max(0.18 * scene.side, 3))
    away = blob(u, scene.map, *scene.edge(u), radius * u.uniform(0.3, 1), radius)
    bumps = planes(u.uniform(0.1, 1) * perlin(u, scene.map, 3, 5)) * scene.spread
    lowest = torch.where(scene.inside, scene.x, math.inf).amin((2, 3), keepdim=True)
    dark = lowest + planes(u.uniform(0, 1)) * scene.spread
    surface = blur(scene.x, 6) + planes(u.uniform(-2, 2.5)) * scene.spread
    return torch.where(planes(u.chance(0.6)), dark, surface) + bumps, cover(away, 0.6)


KINDS: dict[str, Kind] = {
    kind.__name__: kind for kind in (texture, cut_paste, crack, spot, smear, shading, streaks, chip)
}
