"""Which modes of a known mixture, or which classes, a generator reaches."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from energan.metrics.arrays import Values


@dataclass(frozen=True)
class ModeCoverage:
    """How samples cover the K modes of a mixture.

    Attributes:
        covered: number of modes with at least one high-quality point.
        high_quality_share: fraction of points of high quality, in [0, 1].
        counts: high-quality points nearest to each mode, (K,).
        kl: KL(h ‖ uniform) in nats, in [0, log K], h the fraction of all points nearest to each
            mode.
    """

    covered: int
    high_quality_share: float
    counts: tuple[int, ...]
    kl: float


def modes_covered(points: Values, modes: Values, std: float, within: float = 3.0) -> ModeCoverage:
    """Compare points with the modes of a mixture.

    A point is of high quality if it lies within `within` standard deviations of its nearest mode
    (Srivastava et al. 2017 use 3).

    Args:
        points: (N, D).
        modes: centres of the modes, (K, D).
        std: standard deviation of a mode, above 0.
        within: number of standard deviations, above 0.

    Raises:
        ValueError: if shapes do not fit, values are not finite, or std or within is not above 0.
    """
    p, m = (torch.as_tensor(v).detach().to("cpu", torch.float64) for v in (points, modes))
    if p.dim() != 2 or m.dim() != 2 or p.shape[1] != m.shape[1] or not len(p) or not len(m):
        raise ValueError(
            f"need points (N, D), modes (K, D): got {tuple(p.shape)}, {tuple(m.shape)}"
        )
    if not (p.isfinite().all() and m.isfinite().all()):
        raise ValueError("points and modes must be finite")
    if not (std > 0 and within > 0):
        raise ValueError(f"std and within must be positive, not {std} and {within}")
    # The default mode expands the square, and loses small distances to cancellation.
    distances = torch.cdist(p, m, compute_mode="donot_use_mm_for_euclid_dist")  # (N, K)
    distance, nearest = distances.min(1)
    good = distance <= within * std
    counts = torch.bincount(nearest[good], minlength=len(m))
    shares = torch.bincount(nearest, minlength=len(m)).double() / len(p)
    kl = float(torch.xlogy(shares, shares).sum() + np.log(len(m)))
    return ModeCoverage(
        covered=int((counts > 0).sum()),
        high_quality_share=float(good.double().mean()),
        counts=tuple(counts.tolist()),
        kl=max(kl, 0.0),  # rounding alone goes below
    )


@dataclass(frozen=True)
class ClassCoverage:
    """How samples cover K classes.

    Attributes:
        covered: number of classes with at least one sample.
        shares: fraction of samples in each class, (K,).
        kl: KL(shares ‖ reference) in nats, at most log K for a uniform reference; infinite if a
            sample is of a class that the reference lacks.
    """

    covered: int
    kl: float
    shares: tuple[float, ...]


def class_coverage(labels: Values, classes: int, reference: Values | None = None) -> ClassCoverage:
    """Compare the classes of samples with a reference.

    Args:
        labels: class of each sample, int (N,), in [0, classes).
        classes: number of classes, K; 1,000 for stacked MNIST (Metz et al. 2017).
        reference: fraction of each class in real data, (K,); uniform if not given.

    Raises:
        ValueError: for labels out of range, or a reference that does not sum to 1.
    """
    found = torch.as_tensor(labels).detach().to("cpu")
    if found.dim() != 1 or not len(found) or found.is_floating_point():
        raise ValueError(f"labels must be whole numbers (N,): they are {tuple(found.shape)}")
    if int(found.min()) < 0 or int(found.max()) >= classes:
        raise ValueError(f"labels must be in [0, {classes})")
    counts = torch.bincount(found.long(), minlength=classes)
    shares = counts.double() / len(found)
    if reference is None:
        target = torch.full((classes,), 1 / classes, dtype=torch.float64)
    else:
        target = torch.as_tensor(reference).detach().to("cpu", torch.float64)
        whole = abs(float(target.sum()) - 1) <= 1e-6  # not if one is NaN
        if target.shape != (classes,) or (target < 0).any() or not whole:
            raise ValueError(f"the reference must be shares of {classes} classes that sum to 1")
    kl = float((torch.xlogy(shares, shares) - torch.xlogy(shares, target)).sum())
    return ClassCoverage(int((counts > 0).sum()), max(kl, 0.0), tuple(shares.tolist()))


def stacked_labels(digits: Values) -> Tensor:
    """Classes of stacked MNIST: digits (a, b, c), (N, 3), to 100a + 10b + c, int64 (N,)."""
    found = torch.as_tensor(digits).detach().to("cpu")
    if found.dim() != 2 or found.shape[1] != 3 or found.is_floating_point():
        raise ValueError(f"digits must be whole numbers (N, 3): they are {tuple(found.shape)}")
    if bool(((found < 0) | (found > 9)).any()):
        raise ValueError("digits must be in 0 to 9")
    return (found.long() * torch.tensor([100, 10, 1])).sum(1)
