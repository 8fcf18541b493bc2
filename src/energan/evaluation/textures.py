"""Random textures: oriented gratings, checkerboards and 1/f noise, each in two random colours."""

from math import log, pi

import torch
from torch import Tensor

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
    across, _ = _turned(draws[0], white)
    return (2 * pi * _waves(draws[1], white) * across + 2 * pi * draws[2]).sin()


def checkerboard(draws: Uniform, white: Tensor) -> Tensor:
    """Squares of -1 and 1, turned and shifted: of 2 to side/4 pairs of squares along an image."""
    across, up = _turned(draws[0], white)
    f = 2 * pi * _waves(draws[1], white)
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


def _turned(turn: Tensor, white: Tensor) -> tuple[Tensor, Tensor]:
    """Coordinates (B, H, W) in images, turned by π·turn; the longer side has length 1."""
    height, width = white.shape[1:]
    side = max(height, width)
    y, x = torch.meshgrid(torch.arange(height) / side, torch.arange(width) / side, indexing="ij")
    cos, sin = (pi * turn).cos(), (pi * turn).sin()
    return cos * x + sin * y, cos * y - sin * x


def _waves(draw: Tensor, white: Tensor) -> Tensor:
    """Log-uniform from 2 to a quarter of the longer side, at least 2."""
    most = max(2.0, max(white.shape[1:]) / 4)
    return (log(2) + log(most / 2) * draw).exp()
