"""Shapes and fields that defects are made of. Maps are (n, H, W), parameters of them (n, 1, 1)."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from energan.samplers.synthetic_defects.draws import Numbers

CELLS, OCTAVES, LOBES = 32, 3, 4
"""Perlin noise: most cells along one side, and sums of the halved amplitudes; blobs: waves of their
outline."""


def coordinates(like: Tensor) -> tuple[Tensor, Tensor]:
    """y (H, 1) and x (1, W) of the pixels of maps (..., H, W)."""
    height, width = like.shape[-2:]
    y = torch.arange(height, dtype=like.dtype, device=like.device)
    return y[:, None], torch.arange(width, dtype=like.dtype, device=like.device)[None]


def gradient_noise(angles: Tensor, y: Tensor, x: Tensor) -> Tensor:
    """Perlin's gradient noise (Perlin 2002) at places y, x (n, H, W) in [0, L − 1]: (n, H, W).

    angles: (n, L, L), of the unit gradients g_k at the places k of a lattice of distance 1. The
    noise is Σ_k w_k g_k·(p − k) over the four corners of a cell, with the weights of a bilinear
    interpolation at faded coordinates 6t⁵ − 15t⁴ + 10t³: so it is p·(Σ w_k g_k) − Σ w_k g_k·k, an
    interpolation of three numbers.
    """
    last = angles.shape[-1] - 1
    row, column = coordinates(angles)
    down, right = angles.sin(), angles.cos()
    lattice = torch.stack([down, right, down * row + right * column], 1)  # (n, 3, L, L)
    faded = torch.stack([_fade(x), _fade(y)], -1) * (2 / last) - 1
    of = F.grid_sample(lattice, faded, mode="bilinear", align_corners=True)
    return y * of[:, 0] + x * of[:, 1] - of[:, 2]


def _fade(places: Tensor) -> Tensor:
    start = places.floor()
    t = places - start
    return start + t * t * t * (t * (6 * t - 15) + 10)


def perlin(u: Numbers, like: Tensor, coarsest: int = 2, finest: int = 5) -> Tensor:
    """Perlin noise in octaves, (n, H, W) of variance near 1: 2^coarsest to 2^finest cells along a
    side, for half of the images fewer along the other, which makes streaks. Of large maps it is
    worked out at fewer places, two or more a cell, and bilinear between them."""
    shape = like.shape[-2:]
    stride = max(min(shape) // (2 * CELLS), 1)
    like = like[..., ::stride, ::stride]
    exponent = u.uniform(coarsest, finest + 1).floor()
    fewer = u.uniform(0, 3).floor() * u.chance(0.5)
    turned = u.chance(0.5)
    y, x = (c / max(c.numel(), 2) for c in coordinates(like))
    total, squares = torch.zeros_like(like), 0.0
    for octave in range(OCTAVES):
        cells = (2.0 ** (exponent + octave)).clamp(max=CELLS)
        less = (cells * 2.0**-fewer).clamp(min=1)
        down, right = torch.where(turned, less, cells), torch.where(turned, cells, less)
        angles = u.uniform(0, 2 * math.pi, CELLS + 1, CELLS + 1)
        places = ((y * down).expand(like.shape), (x * right).expand(like.shape))
        found = gradient_noise(angles, *places)
        total = total + found * 0.5**octave
        squares += 0.25**octave
    total = total / (squares * VARIANCE) ** 0.5
    whole = F.interpolate(total[:, None], shape, mode="bilinear", align_corners=True)
    return whole[:, 0]


VARIANCE = 0.0465
"""Of one octave: E Σ w_k² |p − k|²/2 over a cell."""


def blob(u: Numbers, like: Tensor, y: Tensor, x: Tensor, tall: Tensor, wide: Tensor) -> Tensor:
    """The distance in pixels from the outline of a turned, wavy ellipse at y, x with these half
    axes: negative inside. It is exact along the axes of a smooth one alone."""
    rough = u.uniform(0.1, 0.5)
    turn = u.uniform(0, math.pi)
    row, column = coordinates(like)
    down, right = row - y, column - x
    along = (right * turn.cos() + down * turn.sin()) / wide
    across = (down * turn.cos() - right * turn.sin()) / tall
    away = torch.hypot(along, across).clamp_min_(1e-6)
    radius, (cosine, sine) = torch.ones_like(away), (along / away, across / away)
    real, imaginary = cosine, sine  # of e^(i·lobe·angle)
    for lobe in range(1, LOBES + 1):
        strength, phase = rough / lobe * u.normal(), u.uniform(0, 2 * math.pi)
        radius += strength * (phase.cos() * real - phase.sin() * imaginary)
        real, imaginary = real * cosine - imaginary * sine, imaginary * cosine + real * sine
    return (away / radius.clamp_min_(0.2) - 1) * torch.minimum(tall, wide)


def polyline(
    u: Numbers, like: Tensor, start: tuple[Tensor, Tensor], jump: tuple[Tensor, Tensor],
    length: Tensor, segments: int = 14,
) -> Tensor:  # fmt: skip
    """The distance in pixels from a random walk of that length in straight segments: the direction
    turns steadily, and at each joint by chance. The first half begins at y, x = start, the second
    at jump, or where the first ended if that is not a number."""
    row, column = coordinates(like)
    angle, turn = u.uniform(0, 2 * math.pi), u.uniform(-0.15, 0.15)
    shakes = u.normal(segments, 1, 1) * 0.3
    step, (y, x) = length / segments, start
    nearest = torch.full_like(like, math.inf)
    for segment in range(segments):
        if segment == segments // 2:
            y, x = (torch.where(to.isnan(), at, to) for to, at in zip(jump, (y, x), strict=True))
        angle = angle + turn + shakes[:, segment]
        down, right = angle.sin(), angle.cos()
        below, beside = row - y, column - x
        along = (below * down + beside * right).clamp_(min=0).minimum(step)
        squared = (below - along * down).square_().add_((beside - along * right).square_())
        nearest = torch.minimum(nearest, squared)
        y, x = y + step * down, x + step * right
    return nearest.sqrt()


def cover(distance: Tensor, width: Tensor | float) -> Tensor:
    """From the distance of an outline, negative inside, to how much a pixel is covered, in [0, 1]:
    1/(1 + e^(distance/width))."""
    return torch.sigmoid(-distance / width)


def blur(x: Tensor, factor: int) -> Tensor:
    """Images (n, C, H, W) without details smaller than `factor` pixels."""
    height, width = x.shape[-2:]
    small = F.interpolate(x, (-(-height // factor), -(-width // factor)), mode="area")
    return F.interpolate(small, (height, width), mode="bilinear", align_corners=False)
