"""How sure a figure of detection is: intervals of AUROC, of its differences, and of shares."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from energan.metrics.arrays import Values, array, check_labelled, check_marks
from energan.metrics.bootstrap import Interval, resample_weights, wilson

TINY = 1e-24
"""A variance that is 0 but for rounding."""


def auroc_interval(
    scores: Values,
    anomalous: Values,
    level: float = 0.95,
    *,
    paired: bool = False,
    groups: Values | None = None,
    resamples: int = 1000,
    seed: int = 0,
) -> Interval:
    """Wilson's interval of `auroc`, with the number of trials that would have its variance.

    The variance is that of DeLong et al. (1988), for any two distributions. The number of trials
    is at most 4nm/(n + m) for n normal and m anomalous examples (the harmonic mean of the 2m
    near 1 and the 2n near 0 of Hanley and McNeil 1982), since near 0 and 1 few examples
    determine the variance. If scores separate all examples, or none, the variance is 0, and the
    min(n, m) independent pairs are the trials.

    With groups, whole groups are resampled (cluster bootstrap), and the number of trials is
    divided by the design effect (Kish 1965): the variance over these resamples divided by that of
    DeLong. The quantile is then Student's t with one degree of freedom less than there are groups
    of the kind that has fewer.

    Args:
        scores: (N,), high for anomalies.
        anomalous: bool (N,).
        level: confidence level, in (0, 1).
        paired: whether the i-th anomalous example was made from the i-th normal one, so that
            their scores are correlated.
        groups: (N,), any numbers; examples with the same number belong together.
        resamples: number of resamples of the cluster bootstrap.
        seed: seed of the resamples.

    Raises:
        ValueError: for arguments that `auroc` refuses, fewer than two examples or groups of either
            kind, or a level outside (0, 1).
    """
    s, a = check_labelled(scores, anomalous)
    n, m = int((~a).sum()), int(a.sum())
    _check_pairs(n, m, paired, groups)
    fewest = fewest_units(a, groups)
    if fewest < 2 or not 0 < level < 1:
        what = "examples" if groups is None else "groups"
        raise ValueError(f"an interval needs two {what} of each kind, and a level in (0, 1)")
    value, variance = _delong(s[~a], s[a], paired)
    most = 4 * n * m / (n + m)
    if groups is not None:
        ranks = _ranks(s)
        drawn = [_weighted_auroc(ranks, a, w) for w in _resamples(a, resamples, seed, groups)]
        own, variance = variance, _variance(drawn, groups)
        kinds = [len(np.unique(array(groups)[side])) for side in (a, ~a)]
        if own > TINY:  # no fewer trials than if each group were an event
            most = max(4 * kinds[0] * kinds[1] / sum(kinds), most / max(1.0, variance / own))
    trials = min(value * (1 - value) / variance, most) if variance > TINY else float(fewest)
    return wilson(value, trials, _quantile(level, None if groups is None else fewest))


def share_interval(
    marks: Values,
    level: float = 0.95,
    *,
    groups: Values | None = None,
    resamples: int = 1000,
    seed: int = 0,
) -> Interval:
    """Wilson's interval of the share of marks that are true, such as a false-positive rate.

    Args:
        marks: bool (N,).
        level: confidence level, in (0, 1).
        groups: (N,), any numbers; examples with the same number belong together, as in
            `auroc_interval`.
        resamples: number of resamples of the cluster bootstrap.
        seed: seed of the resamples.

    Raises:
        ValueError: for other or no marks, fewer than two groups, or a level outside (0, 1).
    """
    x = check_marks(marks).astype(np.float64)
    if not len(x) or not 0 < level < 1:
        raise ValueError("an interval needs marks, and a level in (0, 1)")
    value, trials = float(x.mean()), float(len(x))
    if groups is None:
        return wilson(value, trials, _quantile(level))
    everything = np.ones(len(x), bool)
    count = len(np.unique(_units(everything, groups)))
    if count < 2:
        raise ValueError("an interval needs two groups")
    drawn = [w @ x / w.sum() for w in _resamples(everything, resamples, seed, groups)]
    variance = _variance(drawn, groups)
    trials = min(value * (1 - value) / variance, trials) if variance > TINY else float(count)
    return wilson(value, max(trials, 1.0), _quantile(level, count))


def auroc_difference_interval(
    scores: Values,
    others: Values,
    anomalous: Values,
    *,
    resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
    paired: bool = False,
    groups: Values | None = None,
) -> Interval:
    """Percentile bootstrap interval of auroc(scores) − auroc(others), for two scores of the same
    examples.

    Normal and anomalous examples are resampled separately, each with both scores; with `paired`,
    the i-th anomalous one together with the i-th normal one that it was made from; with `groups`
    (N,), any numbers, whole groups of both kinds.

    Raises:
        ValueError: for arguments that `auroc` refuses, a level outside (0, 1), no resamples, or
            fewer than two groups of either kind.
    """
    (s, a), (o, _) = check_labelled(scores, anomalous), check_labelled(others, anomalous)
    n, m = int((~a).sum()), int(a.sum())
    _check_pairs(n, m, paired, groups)
    if resamples < 1 or not 0 < level < 1:
        raise ValueError("resamples must be at least 1, and level in (0, 1)")
    if groups is not None and fewest_units(a, groups) < 2:
        raise ValueError("an interval needs two groups of each kind")
    ranks, found = [_ranks(values) for values in (s, o)], []
    for weights in _resamples(a, resamples, seed, groups, paired):
        own, theirs = (_weighted_auroc(r, a, weights) for r in ranks)
        found.append(own - theirs)
    low, high = np.quantile(found, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), float(high))


def fewest_units(anomalous: Values, groups: Values | None = None) -> int:
    """Number of examples, or of groups (N,), of the kind (normal or anomalous) that has fewer."""
    a = array(anomalous).astype(bool)
    units = _units(a, groups)
    return min(len(np.unique(units[side])) for side in (a, ~a))


def _units(a: NDArray[np.bool_], groups: Values | None) -> NDArray[np.float64]:
    """The number of each event's group, or its own."""
    if groups is None:
        return np.arange(len(a), dtype=np.float64)
    found = array(groups)
    if found.shape != a.shape:
        raise ValueError(f"{found.shape} groups do not fit {len(a)} examples")
    return found


def _quantile(level: float, groups: int | None = None) -> float:
    """Of the normal distribution, or of Student's t for so many groups, at (1 + level)/2."""
    from scipy.special import ndtri
    from scipy.stats import t

    share = (1 + level) / 2
    return float(ndtri(share) if groups is None else t.ppf(share, groups - 1))


def _check_pairs(n: int, m: int, paired: bool, groups: Values | None) -> None:
    if paired and groups is not None:
        raise ValueError("give the examples of a pair one group instead of paired")
    if paired and n != m:
        raise ValueError(f"{n} normal and {m} anomalous examples are not in pairs")


def _delong(
    normal: NDArray[np.float64], other: NDArray[np.float64], paired: bool
) -> tuple[float, float]:
    """The AUROC, and its variance; 0 where one side has a single event."""
    n, m = len(normal), len(other)
    above = _share_below(np.sort(normal), other)  # (m,): how many each anomalous one outranks
    below = 1 - _share_below(np.sort(other), normal)  # (n,)
    if min(n, m) < 2:
        return float(above.mean()), 0.0
    variance = above.var(ddof=1) / m + below.var(ddof=1) / n
    if paired:
        variance = (above + below).var(ddof=1) / n
    return float(above.mean()), float(variance)


def _variance(drawn: list[float], groups: Values) -> float:
    """Of a statistic, from its resamples of groups: unbiased of a mean of K groups."""
    count = len(np.unique(array(groups)))
    return float(np.var(drawn)) * count / (count - 1)


def _resamples(
    a: NDArray[np.bool_],
    resamples: int,
    seed: int,
    groups: Values | None,
    paired: bool = False,
) -> Iterator[NDArray[np.float64]]:
    """How often each event (N,) is drawn, in each resample that has both kinds, if a has."""
    if groups is not None:
        for some in resample_weights(a, resamples, seed, groups):
            yield from (w for w in some if all(w[side].any() for side in (a, ~a) if side.any()))
        return
    rng, n, m = np.random.default_rng(seed), int((~a).sum()), int(a.sum())
    for _ in range(resamples):
        weights = np.empty(len(a))
        weights[~a] = rng.multinomial(n, np.full(n, 1 / n))
        weights[a] = weights[~a] if paired else rng.multinomial(m, np.full(m, 1 / m))
        yield weights


def _ranks(scores: NDArray[np.float64]) -> NDArray[np.intp]:
    """Of each score its place among the different ones, from 0."""
    return np.unique(scores, return_inverse=True)[1]


def _weighted_auroc(
    ranks: NDArray[np.intp], a: NDArray[np.bool_], weights: NDArray[np.float64]
) -> float:
    """Of ranks (N,), each counted so many times."""
    there = np.bincount(ranks[~a], weights[~a], int(ranks.max()) + 1)
    below = np.cumsum(there) - there / 2
    other = weights[a]
    return float(other @ below[ranks[a]] / (there.sum() * other.sum()))


def _share_below(reference: NDArray[np.float64], x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of each x the share of `reference`, ascending, that is lower, equal ones counted half."""
    sides = np.searchsorted(reference, x, "left") + np.searchsorted(reference, x, "right")
    return sides / (2 * len(reference))
