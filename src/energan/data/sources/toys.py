"""Points in the plane, and on the line, whose distribution is known: what does a model get right?

Each toy is 60,000 points drawn with numpy's RandomState(0); the last 10,000 are held out.
"""

from collections.abc import Callable
from math import pi

import numpy as np
import torch
from numpy.typing import NDArray

from energan.data.source import Source
from energan.data.sources.splits import fixed_order

SEED, TRAINING, HELD_OUT = 0, 50_000, 10_000
COUNT = TRAINING + HELD_OUT
Points = NDArray[np.float64]


def gaussian() -> Source:
    """Points of one number from N(0, 1), as p_data in figure 1 of Goodfellow et al. 2014."""
    return _source("gaussian", np.random.RandomState(SEED).normal(0, 1, (COUNT, 1)))


def ring() -> Source:
    """Eight Gaussians of standard deviation 0.02 on a circle of radius 2 (Metz et al. 2017)."""
    angles = np.arange(8) * (2 * pi / 8)
    return _mixture("ring", 2 * np.stack([np.cos(angles), np.sin(angles)], 1), 0.02)


def grid() -> Source:
    """25 Gaussians of standard deviation 0.05 at {-4, -2, 0, 2, 4}² (Lin et al. 2018, PacGAN)."""
    line = np.arange(-4.0, 5.0, 2.0)
    centres = np.stack(np.meshgrid(line, line, indexing="ij"), -1).reshape(-1, 2)
    return _mixture("grid", centres, 0.05)


def moons() -> Source:
    """Two interleaved half circles of radius 1 with Gaussian noise 0.05, centred on the origin."""
    random = np.random.RandomState(SEED)
    t, lower = random.uniform(0, pi, COUNT), random.randint(0, 2, COUNT)
    upper = np.stack([np.cos(t), np.sin(t)], 1) - (0.5, 0.25)
    # The lower moon is the upper one turned by half a circle about the origin.
    points = np.where(lower[:, None] == 1, -upper, upper)
    return _source("moons", points + random.normal(0, 0.05, (COUNT, 2)))


def swissroll() -> Source:
    """The spiral (t cos t, t sin t)/7, t uniform on [1.5π, 4.5π], with Gaussian noise 0.04.

    The divisor brings each coordinate to a standard deviation of about 1.
    """
    random = np.random.RandomState(SEED)
    t = random.uniform(1.5 * pi, 4.5 * pi, COUNT)
    points = np.stack([t * np.cos(t), t * np.sin(t)], 1) / 7
    return _source("swissroll", points + random.normal(0, 0.04, (COUNT, 2)))


TOYS: dict[str, Callable[[], Source]] = {
    "gaussian": gaussian, "ring": ring, "grid": grid, "moons": moons, "swissroll": swissroll,
}  # fmt: skip


def _mixture(name: str, centres: Points, std: float) -> Source:
    """Equal shares of Gaussians around `centres` (K, 2); the label is the centre's number."""
    random = np.random.RandomState(SEED)
    labels = random.randint(0, len(centres), COUNT)
    points = centres[labels] + random.normal(0, std, (COUNT, 2))
    return _source(name, points, labels, centres, std)


def _source(
    name: str,
    points: Points,
    labels: NDArray[np.int64] | None = None,
    centres: Points | None = None,
    std: float | None = None,
) -> Source:
    return Source(
        name,
        torch.from_numpy(points.astype(np.float32)),
        None if labels is None else torch.from_numpy(labels.astype(np.int64)),
        held_out=HELD_OUT,
        modes=None if centres is None else torch.from_numpy(centres.astype(np.float32)),
        mode_std=std,
    )


def digits() -> Source:
    """uint8 (1797, 1, 8, 8) with labels 0 to 9; 180 held out, chosen by a fixed shuffle.

    The scans have 17 grey levels, 0 to 16; they are spread over 0 to 255.
    """
    from sklearn.datasets import load_digits

    bunch = load_digits()
    images = np.rint(bunch.images * (255 / 16)).astype(np.uint8)
    return Source(
        "digits",
        torch.from_numpy(images).unsqueeze(1),
        torch.from_numpy(bunch.target.astype(np.int64)),
        held_out=180,
        order=fixed_order(len(images)),
    )
