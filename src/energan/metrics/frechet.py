"""The Fréchet distance of two sets of features, as of two Gaussians (Heusel et al. 2017)."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from energan.metrics.arrays import Values, rows


@dataclass(frozen=True, eq=False)
class Statistics:
    """Mean (D,) and covariance (D, D), with N − 1, of `count` features; float64."""

    mean: NDArray[np.float64]
    covariance: NDArray[np.float64]
    count: int


def statistics_of(features: Values) -> Statistics:
    """Mean and covariance of features (N, D).

    Raises:
        ValueError: for fewer than two features, or values that are not finite.
    """
    found = rows(features, fewest=2)
    return Statistics(found.mean(0), np.atleast_2d(np.cov(found, rowvar=False)), len(found))


def frechet_distance(features_a: Values, features_b: Values) -> float:
    """Fréchet distance of two sets of features; FID if they are Inception features (Heusel et al.
    2017).

        ||μ_a − μ_b||² + tr(Σ_a + Σ_b − 2 (Σ_a Σ_b)^½)

    It is biased upwards, more so for fewer features.

    Args:
        features_a: (N, D), N ≥ 2.
        features_b: (M, D), M ≥ 2.

    Returns:
        ≥ 0; lower is better.

    Raises:
        ValueError: if lengths differ, there are fewer than two features, or some are not finite.
    """
    return frechet_distance_of(statistics_of(features_a), statistics_of(features_b))


def frechet_distance_of(a: Statistics, b: Statistics) -> float:
    """Fréchet distance from two means and covariances; see `frechet_distance`.

    tr (Σ_a Σ_b)^½ is computed from the eigenvalues of the symmetric matrix A Σ_b A, A = Σ_a^½,
    so there are no imaginary parts, and singular covariances are allowed.

    Raises:
        ValueError: if lengths differ, or values are not finite.
    """
    if a.mean.shape != b.mean.shape:
        raise ValueError(f"features differ in length: {len(a.mean)} and {len(b.mean)}")
    for given in (a, b):
        if given.covariance.shape != (len(given.mean), len(given.mean)):
            raise ValueError(f"{given.covariance.shape} is no covariance of {len(given.mean)}")
        if not (np.isfinite(given.mean).all() and np.isfinite(given.covariance).all()):
            raise ValueError("statistics must be finite")
    values, vectors = np.linalg.eigh(a.covariance)
    root = np.asarray((vectors * np.sqrt(np.clip(values, 0, None))) @ vectors.T)
    mixed = np.linalg.eigvalsh(root @ b.covariance @ root)
    cross = 2 * np.sqrt(np.clip(mixed, 0, None)).sum()
    distance = ((a.mean - b.mean) ** 2).sum() + np.trace(a.covariance) + np.trace(b.covariance)
    return max(0.0, float(distance - cross))
