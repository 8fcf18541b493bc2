"""Nearest neighbours: precision to coverage of two sets, and whether samples are copies."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from energan.metrics.arrays import Rows, Values, pair, rows, squared_distances

CHUNK = 2**22
"""Distances that are held together."""


@dataclass(frozen=True)
class PrecisionRecall:
    """Precision, recall and coverage, in [0, 1], and density, ≥ 0. Higher is better; about 1 for
    two sets from one distribution.
    """

    precision: float
    recall: float
    density: float
    coverage: float


@dataclass(frozen=True, eq=False)
class Neighbourhoods:
    """The values that precision, recall, density and coverage are means of.

    The ball of an example reaches to its k-th neighbour in its own set.

    Attributes:
        in_real: for each sample, whether it lies in the ball of a real example.
        density: for each sample, number of such balls divided by k.
        recalled: for each real example, whether it lies in the ball of a sample.
        covered: for each real example, whether its own ball contains a sample.
    """

    in_real: NDArray[np.bool_]
    density: NDArray[np.float64]
    recalled: NDArray[np.bool_]
    covered: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Memorisation:
    """Whether samples lie closer to training examples than held-out examples do.

    Attributes:
        z: Mann–Whitney statistic of the two sets of distances (Meehan et al. 2020, with one
            cell); standard normal if they have one distribution, far below 0 if samples are
            copies.
        share_below_first_percentile: fraction of samples below the first percentile of the
            held-out distances; 0.01 without copying.
        share_below_median: the same with the median; 0.5 without copying.
        copies: number of samples within `grain` of a training example.
        distances: distance of each sample to its nearest training example.
        indices: row of that training example.
    """

    z: float
    share_below_first_percentile: float
    share_below_median: float
    copies: int
    distances: NDArray[np.float64]
    indices: NDArray[np.int64]


def precision_recall_density_coverage(real: Values, fake: Values, k: int = 5) -> PrecisionRecall:
    """Precision, recall, density and coverage (Kynkäänniemi et al. 2019; Naeem et al. 2020).

    Args:
        real: features of real examples, (N, D), N > k.
        fake: features of samples, (M, D), M > k.
        k: number of neighbours.

    Raises:
        ValueError: if lengths differ, values are not finite, or a set has at most k features.
    """
    found = neighbourhoods(real, fake, k)
    parts = (found.in_real, found.recalled, found.density, found.covered)
    return PrecisionRecall(*(float(p.mean()) for p in parts))


def neighbourhoods(real: Values, fake: Values, k: int = 5) -> Neighbourhoods:
    """For each example, what precision, recall, density and coverage are computed from."""
    if k < 1:
        raise ValueError(f"k must be at least 1, not {k}")
    r, f = pair(real, fake, fewest=k + 1)
    # One origin for all distances, against cancellation, and so that those that are equal (of
    # copies, of whole numbers) come out equal: about a median they do, about a mean not.
    origin = np.median(r, axis=0)
    r, f = r - origin, f - origin
    real_radii, fake_radii = _radii(r, k), _radii(f, k)
    counts = torch.zeros(len(f), dtype=torch.int64)
    recalled, covered = [], []
    for start, distances in _blocks(r, f):  # (n, M)
        own = real_radii[start : start + len(distances)].unsqueeze(1)
        counts += (distances < own).sum(0)
        recalled.append((distances < fake_radii).any(1))
        covered.append((distances.min(1, keepdim=True).values < own).squeeze(1))
    return Neighbourhoods(
        (counts > 0).numpy(), counts.double().numpy() / k,
        torch.cat(recalled).numpy(), torch.cat(covered).numpy(),
    )  # fmt: skip


def nearest(
    queries: Values, references: Values, k: int = 1
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Find the k nearest references of each query, by Euclidean distance.

    Args:
        queries: (N, D).
        references: (M, D), M ≥ k.
        k: number of neighbours.

    Returns:
        Distances, ascending, and row numbers, (N, k) each.

    Raises:
        ValueError: if lengths differ, values are not finite, or there are fewer references than
            k.
    """
    q, r = pair(queries, references)
    if not 1 <= k <= len(r):
        raise ValueError(f"k is between 1 and the {len(r)} references, not {k}")
    found: list[tuple[Any, Any]] = []
    origin = np.median(r, axis=0)
    for start, distances in _blocks(q - origin, r - origin):
        indices = distances.topk(k, largest=False).indices.numpy()
        # exactly, not by the product of matrices: a copy is at distance 0
        gaps = q[start : start + len(indices), None] - r[indices]
        exact = np.sqrt((gaps**2).sum(-1))
        order = exact.argsort(1, kind="stable")
        found.append((np.take_along_axis(exact, order, 1), np.take_along_axis(indices, order, 1)))
    return np.concatenate([d for d, _ in found]), np.concatenate([i for _, i in found])


def memorisation(
    samples: Values, training: Values, held_out: Values, grain: float = 0.0
) -> Memorisation:
    """Compare the distances of samples and of held-out examples to the training examples.

    Args:
        samples: (N, D).
        training: (T, D).
        held_out: (M, D).
        grain: largest difference per value between a copy and its original, such as that of
            rounding.

    Raises:
        ValueError: if lengths differ, or values are not finite.
    """
    from scipy.stats import mannwhitneyu

    distances, indices = nearest(samples, training)
    own, theirs = distances[:, 0], nearest(held_out, training)[0][:, 0]
    gaps = np.abs(rows(samples) - rows(training)[indices[:, 0]]).max(1)
    n, m = len(own), len(theirs)
    u = float(mannwhitneyu(own, theirs, method="asymptotic", use_continuity=False).statistic)
    counts = np.unique(np.concatenate([own, theirs]), return_counts=True)[1].astype(np.float64)
    ties = float((counts**3 - counts).sum()) / ((n + m) * (n + m - 1))
    spread = (n * m / 12 * (n + m + 1 - ties)) ** 0.5
    return Memorisation(
        (u - n * m / 2) / spread if spread > 0 else 0.0,
        float((own < np.quantile(theirs, 0.01)).mean()),
        float((own < np.quantile(theirs, 0.5)).mean()),
        int((gaps <= grain).sum()),
        own,
        indices[:, 0],
    )


def _blocks(a: Rows, b: Rows) -> Iterator[tuple[int, Tensor]]:
    """Where a block of a begins, and its squared distances (n, M) to all of b."""
    return squared_distances(a, b, min(1024, CHUNK // len(b)))


def _radii(features: Rows, k: int) -> Tensor:
    """The squared distance of each to its k-th neighbour in the same set, itself not counted."""
    parts = [d.kthvalue(k + 1, dim=1).values for _, d in _blocks(features, features)]
    return torch.cat(parts)
