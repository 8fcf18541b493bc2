"""Which modes of a known mixture, or which classes, a generator reaches."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from energan.metrics.arrays import Values


@dataclass(frozen=True)
class ModeCoverage:
    """covered: modes with at least one point of high quality, that is near enough to it.

    high_quality_share: points of high quality, as a share of all, in [0, 1].
    counts: points of high quality whose nearest mode is mode k, for each of the K.
    kl: KL(h ‖ uniform) in nats, in [0, log K], h the shares of the K modes when every point counts
        for its nearest mode, of high quality or not; so it also exists where none is.
    """

    covered: int
    high_quality_share: float
    counts: tuple[int, ...]
    kl: float


def modes_covered(points: Values, modes: Values, std: float, within: float = 3.0) -> ModeCoverage:
    """Compare points (N, D) with the centres `modes` (K, D) of a mixture.

    A point is of high quality within `within` standard deviations of its nearest mode (Srivastava
    et al. 2017 use 3).
    Raises ValueError for shapes that do not fit, values that are not finite, or std or within ≤ 0.
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
    """covered: classes with at least one sample. shares: of the K classes, summing to 1.

    kl: KL(shares ‖ reference) in nats, of the uniform reference at most log K; infinite if a sample
        is of a class that the reference lacks.
    """

    covered: int
    kl: float
    shares: tuple[float, ...]


def class_coverage(labels: Values, classes: int, reference: Values | None = None) -> ClassCoverage:
    """Of labels (N,) in [0, classes), beside the shares `reference` (K,); uniform if not given.

    For stacked MNIST classes is 1,000 (Metz et al. 2017).
    Raises ValueError for labels that are none, or a reference that does not sum to 1.
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
    """Three digits (N, 3) -> their number 100a + 10b + c, int64 (N,), as stacked MNIST counts."""
    found = torch.as_tensor(digits).detach().to("cpu")
    if found.dim() != 2 or found.shape[1] != 3 or found.is_floating_point():
        raise ValueError(f"digits must be whole numbers (N, 3): they are {tuple(found.shape)}")
    if bool(((found < 0) | (found > 9)).any()):
        raise ValueError("digits must be in 0 to 9")
    return (found.long() * torch.tensor([100, 10, 1])).sum(1)
