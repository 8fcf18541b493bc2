"""Kinds of synthetic defects that are whole regions of an image: of another surface.

Each is of the form that `kinds` describes.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from energan.samplers.synthetic_defects.draws import Numbers
from energan.samplers.synthetic_defects.scene import Scene, planes
from energan.samplers.synthetic_defects.shapes import blob, blur, coordinates, cover, perlin


def smear(scene: Scene, u: Numbers) -> tuple[Tensor, Tensor]:
    """A region, or a spot of any size, that has lost its texture, of a somewhat other brightness:
    worn, soiled or not machined."""
    radius = u.logarithmic(max(0.03 * scene.side, 2), max(0.3 * scene.side, 3))
    away = blob(u, scene.map, *scene.place(u), radius * u.uniform(0.3, 1), radius)
    away = torch.where(u.chance(0.5), _region(scene, u), away)
    plain = torch.lerp(blur(scene.x, 8), blur(scene.x, 24), planes(u.uniform(0, 1)))
    level = planes(u.uniform(-1.8, 0.8) + u.uniform(0, 0.5) * perlin(u, scene.map))
    rough = planes(u.uniform(0, 0.3)) * scene.grain
    return plain + (level + rough) * scene.spread, cover(away, u.uniform(0.7, 3))


def shading(scene: Scene, u: Numbers) -> tuple[Tensor, Tensor]:
    """A region that is brighter, darker, of another contrast or another texture."""
    x = scene.x
    mask = cover(_region(scene, u), u.uniform(0.5, 8))
    plain, which = blur(x, 12), planes(u.uniform(0, 1))
    strong = torch.where(u.chance(0.6), u.uniform(1.8, 4), u.uniform(0.05, 0.5))
    other = scene.elsewhere(u)
    other = plain + (other - blur(other, 12)) * planes(u.uniform(0.7, 2.5))
    made = torch.where(which < 0.4, plain + (x - plain) * planes(strong), x)
    made = torch.where((which >= 0.4) & (which < 0.7), other, made)
    shift = u.uniform(0.4, 1.5) * u.sign(0.5) * ((which > 0.7)[:, 0] | u.chance(0.6))
    return made + planes(shift) * scene.spread, mask


def streaks(scene: Scene, u: Numbers) -> tuple[Tensor, Tensor]:
    """A region that was brushed or ground otherwise: new streaks along one axis of the image, or
    its own ones stronger or weaker."""
    x = scene.x
    mask = cover(_region(scene, u), u.uniform(0.5, 4))
    upright = planes(u.chance(0.5))
    noise = torch.where(upright, _along(scene.grain, -2, 4), _along(scene.grain, -1, 4))
    noise = torch.lerp(noise, blur(noise, 3), planes(u.uniform(0, 1)))
    noise = noise / noise.square().mean((2, 3), keepdim=True).sqrt().clamp_min(1e-6)
    skew = planes(u.uniform(0, 1) * u.sign(0.3))  # real ones are mostly bright
    noise = noise + skew * (noise.square() - 1) / 2
    worn = torch.lerp(x, blur(x, 8), planes(u.uniform(0.3, 1)))
    ground = torch.where(planes(u.chance(0.5)), x, worn)
    ground = ground + planes(u.logarithmic(0.25, 1.5)) * noise * scene.spread
    own = torch.where(upright, _along(x, -2, 6), _along(x, -1, 6))
    gain = torch.where(u.chance(0.75), u.uniform(1, 4), u.uniform(-1, -0.5))
    stronger = x + planes(gain) * (own - blur(own, 16))
    made = torch.where(planes(u.chance(0.5)), ground, stronger)
    return made + planes(u.uniform(-0.6, 0.6)) * scene.spread, mask


def _region(scene: Scene, u: Numbers) -> Tensor:
    """The distance in pixels (n, H, W) from the outline of what is beyond a line, a band, a part of
    a band or a large spot, mostly along an axis of the image; negative inside, which is the smaller
    side."""
    side, (top, left) = scene.side, scene.place(u)
    turn = torch.where(u.chance(0.8), u.uniform(-0.1, 0.1), u.uniform(-0.6, 0.6))
    turn = turn + u.chance(0.5) * (math.pi / 2)
    row, column = coordinates(scene.map)
    across = (row - top) * turn.cos() + (column - left) * turn.sin()
    along = (column - left) * turn.cos() - (row - top) * turn.sin()
    across = across + u.uniform(0, 0.03) * side * perlin(u, scene.map, 1, 3)
    half = across * u.sign(0.5)
    band = across.abs() - u.logarithmic(0.03, 0.25) * side
    part = torch.maximum(band, along.abs() - u.uniform(0.1, 0.4) * side)
    radius = u.logarithmic(max(0.06 * side, 2), max(0.45 * side, 3))
    spot = blob(u, scene.map, *scene.place(u), radius * u.uniform(0.5, 1), radius)
    which = u.uniform(0, 1)
    away = torch.where(which < 0.8, part, spot)
    away = torch.where(which < 0.6, band, away)
    away = torch.where(which < 0.35, half, away)
    inside = scene.inside[:, 0]
    most = (away < 0).logical_and(inside).sum((1, 2)) > inside.sum((1, 2)) / 2
    return torch.where(most.view(-1, 1, 1), -away, away)


def _along(x: Tensor, axis: int, share: int) -> Tensor:
    """Images (n, C, H, W), each pixel the mean of 1/share of the side around it along an axis."""
    reach = max(x.shape[axis] // (2 * share), 1)
    down, right = (reach, 0) if axis == -2 else (0, reach)
    return F.avg_pool2d(x, (2 * down + 1, 2 * right + 1), 1, (down, right), count_include_pad=False)
