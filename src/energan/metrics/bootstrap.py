"""Intervals: by resampling what a score is made of, and over seeds."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from energan.metrics.arrays import Values, array, log_distributions
from energan.metrics.inception import inception_score, modified_inception_score

Rows = NDArray[np.intp]
Kind = Literal["percentile", "basic"]
BLOCK = 2**22
"""Numbers of times drawn that are held together."""


@dataclass(frozen=True)
class Interval:
    """The ends of a confidence interval; equal if there is nothing to resample."""

    low: float
    high: float


def interval(
    statistic: Callable[[Rows], float],
    count: int,
    *,
    resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
    kind: Kind = "percentile",
) -> Interval:
    """Bootstrap confidence interval of a statistic of rows.

    Args:
        statistic: function of row numbers, int64 (count,), drawn with replacement.
        count: number of rows.
        resamples: number of resamples.
        level: confidence level, in (0, 1).
        seed: seed of the resamples.
        kind: "percentile" for quantiles of the resampled values; "basic" for those reflected
            about the value itself, for statistics that duplicates bias (Davison & Hinkley 1997,
            section 5.2).

    Raises:
        ValueError: for count or resamples below 1, a level outside (0, 1), or another kind.
    """
    _check(count, resamples, level)
    if kind not in get_args(Kind):
        raise ValueError(f"kind is one of {', '.join(get_args(Kind))}, not {kind!r}")
    return _bootstrap(np.arange(count), statistic, resamples, level, seed, kind)


def mean_interval(
    values: Values,
    *,
    groups: Values | None = None,
    resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Percentile bootstrap interval of the mean of values (N,).

    With groups (N,), any numbers, whole groups are resampled.

    Raises:
        ValueError: for another shape, values that are not finite, or arguments that `interval`
            refuses.
    """
    found = array(values)
    if found.ndim != 1 or not np.isfinite(found).all():
        raise ValueError(f"values must be (N,) and finite: they are {found.shape}")
    _check(len(found), resamples, level)
    if groups is not None:
        everything = np.ones(len(found), np.bool_)
        drawn = [
            w @ found / w.sum(1) for w in resample_weights(everything, resamples, seed, groups)
        ]
        low, high = np.quantile(np.concatenate(drawn), [(1 - level) / 2, (1 + level) / 2])
        return Interval(float(low), float(high))
    return _bootstrap(found, np.mean, resamples, level, seed, "percentile", vectorized=True)


def inception_interval(
    log_probabilities: Values,
    *,
    modified: bool = False,
    resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Basic bootstrap interval of the inception score of log p(y|x), (N, K), or of I′ (`modified`).

    Samples are resampled, and p(y) is computed anew from each resample. Resampling biases both
    scores as sampling does (IS down, I′ up), so quantiles are reflected about the score, for IS
    on a logarithmic scale; the interval always contains the score.

    Raises:
        ValueError: for arguments that the scores or `interval` refuse.
    """
    logs = log_distributions(None, log_probabilities)[0].numpy()
    _check(len(logs), resamples, level)
    p = np.exp(logs)
    with np.errstate(invalid="ignore"):
        own = np.where(p > 0, p * logs, 0.0).sum(1)
    scores = []
    for weights in _weights(len(logs), resamples, seed):
        marginal = weights @ p / len(logs)  # (r, K)
        with np.errstate(divide="ignore", invalid="ignore"):
            entropy = np.where(marginal > 0, marginal * np.log(marginal), 0.0).sum(1)
            if modified:
                # 0 · −∞ is 0 where a class never occurs, in p(y) as in the weights
                cross = np.where(marginal > 0, marginal * _mean(weights, logs), 0.0).sum(1)
                scores.append(entropy - cross)
            else:
                scores.append(weights @ own / len(logs) - entropy)
    ends = [(1 - level) / 2, (1 + level) / 2]  # infinite scores do no harm to order statistics
    low, high = np.quantile(np.concatenate(scores), ends, method="inverted_cdf")
    drawn = Interval(float(low), float(high))
    if modified:
        value = modified_inception_score(log_probabilities=logs)
        return _reflected(value, drawn, 0.0, float("inf"))
    value = float(np.log(inception_score(log_probabilities=logs)))
    found = _reflected(value, drawn, 0.0, float(np.log(logs.shape[1])))
    return Interval(float(np.exp(found.low)), float(np.exp(found.high)))


def over_seeds(values: Sequence[float], level: float = 0.95) -> Interval:
    """Student's t interval of the mean over runs that differ in their seed.

    NaN if a value is not finite.

    Raises:
        ValueError: for fewer than two values, or a level outside (0, 1).
    """
    from scipy.stats import t

    if len(values) < 2:
        raise ValueError("an interval over seeds needs at least two runs")
    if not 0 < level < 1:
        raise ValueError(f"level must be in (0, 1), not {level}")
    found = np.asarray(values, dtype=np.float64)
    if not np.isfinite(found).all():
        return Interval(float("nan"), float("nan"))
    half = t.ppf((1 + level) / 2, len(found) - 1) * found.std(ddof=1) / len(found) ** 0.5
    return Interval(float(found.mean() - half), float(found.mean() + half))


def _bootstrap(
    data: NDArray[Any],
    statistic: Callable[..., Any],
    resamples: int,
    level: float,
    seed: int,
    kind: Kind,
    vectorized: bool = False,
) -> Interval:
    from scipy.stats import bootstrap

    if len(data) == 1:  # it needs two, and all resamples of one are that one
        return Interval(float(statistic(data)), float(statistic(data)))
    batch = max(1, BLOCK // len(data)) if vectorized else None
    low, high = bootstrap(
        (data,), statistic, n_resamples=resamples, batch=batch, vectorized=vectorized,
        confidence_level=level, method=kind, rng=np.random.default_rng(seed),
    ).confidence_interval  # fmt: skip
    return Interval(float(low), float(high))


def _reflected(value: float, drawn: Interval, least: float, most: float) -> Interval:
    """The quantiles about the value, turned round, with it inside and no further than the ends."""
    if not np.isfinite([value, drawn.low, drawn.high]).all():
        return Interval(min(drawn.low, value), float("inf"))
    low, high = min(value, 2 * value - drawn.high), max(value, 2 * value - drawn.low)
    return Interval(max(low, least), min(high, max(most, value)))


def _mean(weights: NDArray[np.float64], logs: NDArray[np.float64]) -> NDArray[np.float64]:
    """The weighted mean of logs (N, K) -> (r, K); −∞ counts only where it has weight."""
    infinite = np.isneginf(logs)
    found = weights @ np.where(infinite, 0.0, logs) / len(logs)
    return np.where(weights @ infinite.astype(np.float64) > 0, -np.inf, found)


def _weights(count: int, resamples: int, seed: int) -> Any:
    """How often each of `count` is drawn in each resample, (r, count), some resamples at a time."""
    generator = np.random.default_rng(seed)
    left = resamples
    while left:
        r = min(left, max(1, BLOCK // count))
        yield generator.multinomial(count, np.full(count, 1 / count), size=r).astype(np.float64)
        left -= r


def resample_weights(
    strata: NDArray[np.bool_], resamples: int, seed: int, groups: Values | None = None
) -> Iterator[NDArray[np.float64]]:
    """How often each of N examples is drawn in each resample, (r, N), some resamples at a time.

    Examples of the two `strata`, bool (N,), are drawn separately. With groups (N,), any numbers,
    whole groups are drawn instead, from all that there are (cluster bootstrap: Davison and Hinkley
    1997, section 3.8), so that a resample may lack a stratum.
    """
    generator = np.random.default_rng(seed)
    drawn = [np.flatnonzero(strata == one) for one in (False, True)]
    of = np.arange(len(strata))
    if groups is not None:
        _, of = np.unique(array(groups), return_inverse=True)
        drawn = [np.arange(int(of.max()) + 1)]
    left = resamples
    while left:
        r = min(left, 64)
        weights = np.zeros((r, sum(map(len, drawn))))
        for units in drawn:
            if len(units):
                shares = np.full(len(units), 1 / len(units))
                weights[:, units] = generator.multinomial(len(units), shares, size=r)
        yield weights[:, of]
        left -= r


def wilson(value: float, trials: float, quantile: float) -> Interval:
    """Wilson's interval of a share in [0, 1] of a number of trials.

    quantile: of the normal distribution, or of Student's t, at (1 + level)/2.
    """
    z2 = quantile**2
    middle = (value * trials + z2 / 2) / (trials + z2)
    half = (z2 * (value * (1 - value) * trials + z2 / 4)) ** 0.5 / (trials + z2)
    return Interval(max(0.0, middle - half), min(1.0, middle + half))


def _check(count: int, resamples: int, level: float) -> None:
    if count < 1 or resamples < 1 or not 0 < level < 1:
        raise ValueError("count and resamples must be at least 1, and level in (0, 1)")
