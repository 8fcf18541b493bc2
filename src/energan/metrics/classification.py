"""How well a classifier does: its error, what it takes for what, and what its confidence is worth.

Predictions and labels are whole numbers (N,) in [0, K); probabilities are (N, K).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from energan.metrics.arrays import Values, array
from energan.metrics.bootstrap import Interval, over_seeds

BINS = 15
"""Bins of confidence, as Guo et al. 2017 take."""
Counts = NDArray[np.int64]


@dataclass(frozen=True)
class Reliability:
    """Examples in bins of equal width, by confidence: the probability of the predicted class.

    Attributes:
        edges: (B + 1,), from 0 to 1; a bin includes its upper edge.
        count: examples in each bin, (B,).
        confidence: mean confidence in each bin, (B,); NaN in an empty one.
        accuracy: fraction of correct predictions in each bin, (B,); NaN in an empty one.
    """

    edges: NDArray[np.float64]
    count: Counts
    confidence: NDArray[np.float64]
    accuracy: NDArray[np.float64]

    @property
    def error(self) -> float:
        """Σ (n_b / N)·|accuracy_b − confidence_b|, in [0, 1]: the calibration error."""
        there = self.count > 0
        gaps = np.abs(self.accuracy - self.confidence)[there]
        return float(gaps @ self.count[there] / self.count.sum())


@dataclass(frozen=True)
class Paired:
    """Errors of two systems on the same seeds: the mean of b − a over N pairs, with its interval.

    `interval` is Student's t over the pairs; None for a single pair.
    """

    mean: float
    interval: Interval | None
    pairs: int


def error_rate(predicted: Values, labels: Values) -> float:
    """Fraction of predictions that differ from the label, in [0, 1]."""
    found, true = _alike(predicted, labels)
    return float((found != true).mean())


def error_interval(wrong: int, count: int, level: float = 0.95) -> Interval:
    """Wilson's interval of an error rate: `wrong` of `count` examples.

    It covers the choice of examples, not the seed of training.

    Raises:
        ValueError: for no examples, or more wrong ones than there are.
    """
    from scipy.stats import binomtest

    if not 0 <= wrong <= count or count < 1:
        raise ValueError(f"{wrong} wrong of {count} examples is no share")
    found = binomtest(wrong, count).proportion_ci(level, method="wilson")
    return Interval(float(found.low), float(found.high))


def error_difference(a: Values, b: Values, level: float = 0.95) -> Interval:
    """Interval of the difference of two error rates, a − b, on the same events.

    a, b: booleans (N,), whether each is wrong. Bonett & Price 2012: with one more event that only a
    has wrong, and one that only b has, so that it is never of no width.
    Raises ValueError unless both are of the same events.
    """
    from scipy.stats import norm

    first, second = np.asarray(a, bool), np.asarray(b, bool)
    if first.ndim != 1 or first.shape != second.shape or not len(first):
        raise ValueError(f"errors {first.shape} and {second.shape} must be alike (N,)")
    count = len(first) + 2
    only_a, only_b = (
        (int((x & ~y).sum()) + 1) / count for x, y in ((first, second), (second, first))
    )
    gap = only_a - only_b
    half = float(norm.ppf(0.5 + level / 2)) * ((only_a + only_b - gap**2) / count) ** 0.5
    return Interval(max(gap - half, -1.0), min(gap + half, 1.0))


def confusion(predicted: Values, labels: Values, classes: int) -> Counts:
    """Confusion matrix (K, K): row i, column j counts examples of class i predicted as j."""
    found, true = _alike(predicted, labels)
    if int(max(found.max(), true.max())) >= classes:
        raise ValueError(f"a class of {int(max(found.max(), true.max()))} is not below {classes}")
    return np.bincount(true * classes + found, minlength=classes**2).reshape(classes, classes)


def reliability(probabilities: Values, labels: Values, bins: int = BINS) -> Reliability:
    """Sort examples into `bins` of equal width by confidence.

    Args:
        probabilities: (N, K), rows that sum to 1.
        labels: int (N,), in [0, K).
        bins: number of bins.

    Raises:
        ValueError: if rows are not probabilities, or labels do not fit them.
    """
    p = array(probabilities)
    if p.ndim != 2 or p.shape[0] < 1 or p.shape[1] < 2:
        raise ValueError(
            f"probabilities must be (N, K) of two classes at least: they are {p.shape}"
        )
    if not ((p >= 0).all() and np.allclose(p.sum(1), 1, atol=1e-4)):  # NaN is refused too
        raise ValueError("each row of probabilities must be of numbers ≥ 0 whose sum is 1")
    if bins < 1:
        raise ValueError(f"at least one bin, not {bins}")
    found, true = _alike(p.argmax(1), labels)
    if int(true.max()) >= p.shape[1]:
        raise ValueError(f"a label of {int(true.max())} is not below {p.shape[1]}")
    confidence = np.minimum(p.max(1), 1.0)
    edges = np.linspace(0, 1, bins + 1)
    place = np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, bins - 1)
    count = np.bincount(place, minlength=bins)
    sums = [np.bincount(place, weights=w, minlength=bins) for w in (confidence, found == true)]
    means = [np.divide(s, count, out=np.full(bins, np.nan), where=count > 0) for s in sums]
    return Reliability(edges, count, *means)


def calibration_error(probabilities: Values, labels: Values, bins: int = BINS) -> float:
    """Expected calibration error (Guo et al. 2017, eq. 3), in [0, 1]; 0 is perfectly calibrated.

    Args and errors as for `reliability`.
    """
    return reliability(probabilities, labels, bins).error


def paired_difference(a: Sequence[float], b: Sequence[float], level: float = 0.95) -> Paired:
    """Mean of b − a over pairs that share a seed, with Student's t interval.

    Raises:
        ValueError: if the sequences are empty or differ in length.
    """
    if len(a) != len(b) or not a:
        raise ValueError(f"{len(a)} and {len(b)} values are not in pairs")
    gaps = [y - x for x, y in zip(a, b, strict=True)]
    interval = over_seeds(gaps, level) if len(gaps) > 1 else None
    return Paired(sum(gaps) / len(gaps), interval, len(gaps))


def _alike(predicted: Values, labels: Values) -> tuple[Counts, Counts]:
    found, true = array(predicted), array(labels)
    if found.ndim != 1 or found.shape != true.shape or not len(found):
        raise ValueError(f"predictions {found.shape} and labels {true.shape} must be alike (N,)")
    for values in (found, true):
        if not (np.isfinite(values).all() and (values >= 0).all() and (values % 1 == 0).all()):
            raise ValueError("predictions and labels must be whole numbers, 0 or more")
    return found.astype(np.int64), true.astype(np.int64)
