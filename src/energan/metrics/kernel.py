"""The kernel distance of two sets of features: an unbiased squared MMD (Bińkowski et al. 2018)."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from energan.metrics.arrays import Values, pair

CHUNK = 2**22


@dataclass(frozen=True)
class KernelDistance:
    """Mean and standard deviation over `subsets` pairs of random subsets of `size` features."""

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
    """Kernel distance, the unbiased MMD² with a polynomial kernel; KID for Inception features
    (Bińkowski et al. 2018).

    The kernel is (gamma·x·y + coef)^degree.

    Args:
        features_a: (N, D), N ≥ 2.
        features_b: (M, D), M ≥ 2.
        degree: degree of the kernel.
        gamma: 1/D if not given.
        coef: constant of the kernel.

    Returns:
        Lower is better; it may be negative, since it is unbiased.

    Raises:
        ValueError: if lengths differ, there are fewer than two features, or some are not finite.
    """
    a, b = (torch.from_numpy(v.copy()) for v in pair(features_a, features_b, fewest=2))
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
    """Kernel distance as it is published: mean and spread over random subsets of both sets.

    Subsets are drawn without replacement, and are no larger than the smaller set.

    Raises:
        ValueError: for arguments that `kernel_distance` refuses, no subsets, or subsets of fewer
            than two.
    """
    if subsets < 1 or subset_size < 2:
        raise ValueError(f"there are no {subsets} subsets of {subset_size}: at least 1 of 2")
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


def kernel_distance_error(features_a: Values, features_b: Values) -> float:
    """Standard error of `kernel_distance` over the choice of features a (N, D), with b (M, D)
    fixed.

    First-order term: 2/√N times the standard deviation over a_i of E_j k(a_i, a_j) − E_l k(a_i,
    b_l).
    """
    a, b = (torch.from_numpy(v.copy()) for v in pair(features_a, features_b, fewest=2))
    gamma, n = 1 / a.shape[1], len(a)
    terms = []
    for part in a.split(max(1, CHUNK // max(n, len(b)))):
        own = (part.square().sum(1) * gamma + 1) ** 3
        same = (part @ a.T).mul_(gamma).add_(1).pow_(3).sum(1)
        other = (part @ b.T).mul_(gamma).add_(1).pow_(3).mean(1)
        terms.append((same - own) / (n - 1) - other)
    spread = float(torch.cat(terms).std())
    return float(2 * spread / n**0.5)


def _sum(x: Tensor, y: Tensor, degree: int, gamma: float, coef: float) -> float:
    """The sum of the kernel over all pairs, some rows at a time."""
    parts = x.split(max(1, CHUNK // len(y)))
    return sum(float((part @ y.T).mul_(gamma).add_(coef).pow_(degree).sum()) for part in parts)


def _diagonal(x: Tensor, degree: int, gamma: float, coef: float) -> float:
    return float(((x.square().sum(1) * gamma + coef) ** degree).sum())
