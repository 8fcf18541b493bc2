"""The kernel distance of two sets of features: an unbiased squared MMD (Bińkowski et al. 2018)."""

from dataclasses import dataclass

import numpy as np
import torch

from energan.metrics.arrays import Rows, Values, pair

CHUNK = 2**22


@dataclass(frozen=True)
class KernelDistance:
    """mean and std of the distances of `subsets` pairs of random subsets of `size` features."""

    mean: float
    std: float
    subsets: int
    size: int


def kernel_distance(
    features_a: Values,
    features_b: Values,
    *,
    degree: int = 3,
    gamma: float | None = None,
    coef: float = 1.0,
) -> float:
    """MMD² of features (N, D) and (M, D) with the kernel (gamma·x·y + coef)^degree.

    gamma is 1/D if not given. Unbiased, over all pairs, so it may be negative; lower is better.
    Raises ValueError for features of different lengths, fewer than two of either, or not finite.
    """
    a, b = pair(features_a, features_b, fewest=2)
    scale = 1 / a.shape[1] if gamma is None else gamma
    n, m = len(a), len(b)
    within_a = _sum(a, a, degree, scale, coef) - _diagonal(a, degree, scale, coef)
    within_b = _sum(b, b, degree, scale, coef) - _diagonal(b, degree, scale, coef)
    between = _sum(a, b, degree, scale, coef)
    return within_a / (n * (n - 1)) + within_b / (m * (m - 1)) - 2 * between / (n * m)


def kernel_distance_interval(
    features_a: Values,
    features_b: Values,
    *,
    subsets: int = 100,
    subset_size: int = 1000,
    seed: int = 0,
) -> KernelDistance:
    """As published: the mean and spread over random subsets, of as many features each.

    Subsets are drawn without replacement, and are no larger than the smaller set.
    """
    a, b = pair(features_a, features_b, fewest=2)
    size = min(subset_size, len(a), len(b))
    generator = np.random.default_rng(seed)
    found = [
        kernel_distance(
            a[generator.choice(len(a), size, replace=False)],
            b[generator.choice(len(b), size, replace=False)],
        )
        for _ in range(subsets)
    ]
    return KernelDistance(float(np.mean(found)), float(np.std(found)), subsets, size)


def _sum(a: Rows, b: Rows, degree: int, gamma: float, coef: float) -> float:
    """The sum of the kernel over all pairs, some rows at a time."""
    x, y = torch.from_numpy(a), torch.from_numpy(b)
    parts = x.split(max(1, CHUNK // len(y)))
    return sum(float((part @ y.T).mul_(gamma).add_(coef).pow_(degree).sum()) for part in parts)


def _diagonal(a: Rows, degree: int, gamma: float, coef: float) -> float:
    return float((((a**2).sum(1) * gamma + coef) ** degree).sum())
