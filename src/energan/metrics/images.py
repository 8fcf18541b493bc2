"""How near images are to those they are to be: one figure for each pair of images, float64 (N,).

All take two sets of images (N, C, H, W) in the same order, as tensors or arrays. `span` is the
width of their range: 2 for [-1, 1], 1 for [0, 1], 255 for bytes. Raises ValueError for sets of
different shapes, empty or not finite.
"""

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from energan.metrics.arrays import Values

Figures = NDArray[np.float64]
WINDOW, SIGMA, K1, K2 = 11, 1.5, 0.01, 0.03
"""Of SSIM, as published."""
BLOCK = 2**22
"""Numbers whose local statistics are in memory together."""


def l1(made: Values, real: Values) -> Figures:
    """Mean absolute difference of each pair of images (N, C, H, W), (N,), in their units, ≥ 0."""
    a, b = _images(made, real)
    return _each((a - b).abs())


def psnr(made: Values, real: Values, span: float) -> Figures:
    """Peak signal-to-noise ratio of each pair of images, 10 log10(span² / mean squared difference).

    Args:
        made: (N, C, H, W).
        real: (N, C, H, W).
        span: width of the range of values, such as 255 or 1.

    Returns:
        (N,), in decibels; infinite for equal images. Higher is better.
    """
    a, b = _images(made, real)
    with np.errstate(divide="ignore"):
        return 10 * (2 * np.log10(_span(span)) - np.log10(_each((a - b).square())))  # type: ignore[no-any-return]


def ssim(made: Values, real: Values, span: float) -> Figures:
    """Mean structural similarity of each pair of images (Wang et al. 2004, eqs 13 and 17).

    With a Gaussian window of 11×11, σ 1.5, at each place where it lies within the image, K1 =
    0.01 and K2 = 0.03; averaged over places and channels.

    Args:
        made: (N, C, H, W).
        real: (N, C, H, W).
        span: width of the range of values, such as 255 or 1.

    Returns:
        (N,), in [-1, 1]; 1 for equal images.

    Raises:
        ValueError: for images smaller than the window.
    """
    a, b = _images(made, real)
    if min(a.shape[2:]) < WINDOW:
        raise ValueError(f"ssim needs images of {WINDOW}x{WINDOW} at least: {tuple(a.shape)}")
    c1, c2 = (K1 * _span(span)) ** 2, (K2 * _span(span)) ** 2
    size = max(1, BLOCK // a[0].numel())
    return np.concatenate(
        [
            _each(_similarity(x, y, c1, c2))
            for x, y in zip(a.split(size), b.split(size), strict=True)
        ]
    )


def _similarity(x: Tensor, y: Tensor, c1: float, c2: float) -> Tensor:
    """Of each window, (N, C, H − 10, W − 10)."""
    mean_x, mean_y, xx, yy, xy = (_local_mean(v) for v in (x, y, x * x, y * y, x * y))
    variances = xx - mean_x.square() + yy - mean_y.square()
    covariance = xy - mean_x * mean_y
    return (
        (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
        / ((mean_x.square() + mean_y.square() + c1) * (variances + c2))
    )  # fmt: skip


def _local_mean(values: Tensor) -> Tensor:
    """By the window, which is the product of one along each axis."""
    places = torch.arange(WINDOW, dtype=torch.float64) - WINDOW // 2
    weights = (-places.square() / (2 * SIGMA**2)).exp()
    weights = weights / weights.sum()
    n, c = values.shape[:2]
    maps = values.flatten(0, 1).unsqueeze(1)
    maps = F.conv2d(F.conv2d(maps, weights.view(1, 1, -1, 1)), weights.view(1, 1, 1, -1))
    return maps.view(n, c, *maps.shape[2:])


def _images(made: Values, real: Values) -> tuple[Tensor, Tensor]:
    a, b = (torch.as_tensor(v).detach().to("cpu", torch.float64) for v in (made, real))
    if a.dim() != 4 or a.shape != b.shape or a.numel() == 0:
        raise ValueError(
            f"images must be two sets (N, C, H, W) of one shape: {tuple(a.shape)}, {tuple(b.shape)}"
        )
    if not (a.isfinite().all() and b.isfinite().all()):
        raise ValueError("images must be finite")
    return a, b


def _each(values: Tensor) -> Figures:
    """The mean over each image."""
    return values.flatten(1).mean(1).numpy()


def _span(span: float) -> float:
    if not 0 < span < float("inf"):
        raise ValueError(f"the width of the range must be positive: {span}")
    return span
