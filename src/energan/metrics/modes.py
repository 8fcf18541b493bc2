"""Which modes of a known mixture a generator reaches."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


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


def modes_covered(
    points: Tensor | NDArray[Any],
    modes: Tensor | NDArray[Any],
    std: float,
    within: float = 3.0,
) -> ModeCoverage:
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
