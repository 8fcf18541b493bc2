"""Intervals cover what they should, and the quick ways agree with the plain one."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from energan.metrics import (
    Interval,
    inception_interval,
    inception_score,
    interval,
    mean_interval,
    modified_inception_score,
    over_seeds,
)


def logs(n: int, k: int, seed: int) -> np.ndarray:
    values = np.random.default_rng(seed).normal(size=(n, k)) * 3
    return values - np.logaddexp.reduce(values, axis=1, keepdims=True)


def exact_median_ends(x: np.ndarray) -> tuple[float, float]:
    """The quantiles of the median of a resample of x, of odd length n: it is at most the k-th
    smallest value if more than half of n draws are, each with a probability of k/n."""
    n = len(x)
    below = stats.binom.sf(n // 2, n, np.arange(1, n + 1) / n)
    low, high = (int(np.searchsorted(below, level)) for level in (0.025, 0.975))
    return float(np.sort(x)[low]), float(np.sort(x)[high])


@pytest.mark.parametrize("seed", range(4))
def test_the_interval_of_a_median_is_the_exact_one_within_noise(seed: int) -> None:
    x = np.random.default_rng(seed).gamma(2, size=201)
    median = lambda rows: float(np.median(x[rows]))  # noqa: E731
    found = interval(median, 201, resamples=4000, seed=seed)
    ordered, ends = np.sort(x), exact_median_ends(x)
    for end, exact in zip((found.low, found.high), ends, strict=True):
        assert abs(int(np.searchsorted(ordered, end)) - int(np.searchsorted(ordered, exact))) <= 2
    basic = interval(median, 201, resamples=4000, seed=seed, kind="basic")
    middle = float(np.median(x))
    assert (basic.low, basic.high) == (2 * middle - found.high, 2 * middle - found.low)


@given(st.integers(0, 10**6), st.floats(0.1, 0.9), st.sampled_from([0.5, 0.9, 0.95]))
@settings(deadline=None, max_examples=20)
def test_the_interval_of_a_share_is_the_binomial_one(seed: int, p: float, level: float) -> None:
    """The mean of a resample of noughts and ones is binomial."""
    x = (np.random.default_rng(seed).random(200) < p).astype(float)
    found = mean_interval(x, resamples=4000, level=level, seed=seed)
    for end, side in ((found.low, (1 - level) / 2), (found.high, (1 + level) / 2)):
        assert abs(end * 200 - stats.binom.ppf(side, 200, x.mean())) <= 2


def test_of_a_single_value_there_is_nothing_to_resample() -> None:
    assert mean_interval(np.array([3.0])) == Interval(3.0, 3.0)
    assert interval(lambda rows: float(len(rows)), 1, kind="basic") == Interval(1.0, 1.0)


def test_means_are_covered_as_often_as_is_said() -> None:
    rng = np.random.default_rng(0)
    inside = 0
    for i in range(300):
        found = mean_interval(rng.normal(size=80), resamples=300, seed=i)
        inside += found.low <= 0 <= found.high
    assert 0.90 < inside / 300 < 0.985


def test_the_quick_mean_is_the_plain_one_within_noise() -> None:
    x = np.random.default_rng(3).random(150)
    plain = interval(lambda rows: float(x[rows].mean()), 150, resamples=5000)
    quick = mean_interval(x, resamples=5000)
    assert (quick.low, quick.high) == pytest.approx((plain.low, plain.high), abs=0.004)


@pytest.mark.parametrize("modified", [False, True])
def test_the_quick_inception_interval_is_the_plain_one(modified: bool) -> None:
    values = logs(120, 6, 0)
    score = modified_inception_score if modified else inception_score
    scale = float if modified else np.log  # IS is reflected on the scale of its logarithm

    def plainly(rows: np.ndarray) -> float:
        return float(scale(score(log_probabilities=values[rows])))

    plain = interval(plainly, 120, resamples=2500, kind="basic")
    if not modified:
        plain = Interval(float(np.exp(plain.low)), float(np.exp(plain.high)))
    value = score(log_probabilities=values)
    plain = Interval(min(plain.low, value), max(plain.high, value))
    quick = inception_interval(values, modified=modified, resamples=2500)
    width = plain.high - plain.low
    assert (quick.low, quick.high) == pytest.approx((plain.low, plain.high), abs=0.08 * width)


def test_a_score_near_its_bound_lies_inside_and_so_does_the_truth() -> None:
    """Sure of one class each, as good generators are: resampling biases the score downwards."""
    rng, covered = np.random.default_rng(0), 0
    soft = np.full((10, 10), 0.01 / 9) + np.eye(10) * (0.99 - 0.01 / 9)
    truth = inception_score(soft)
    for i in range(40):
        drawn = np.log(soft[rng.integers(0, 10, 500)])
        found = inception_interval(drawn, resamples=100, seed=i)
        assert found.low <= inception_score(log_probabilities=drawn) <= found.high <= 10
        covered += found.low <= truth <= found.high
    assert covered >= 34


@given(st.integers(0, 10**6), st.booleans())
def test_every_resample_of_equal_rows_scores_as_the_rows_do(seed: int, modified: bool) -> None:
    values = np.repeat(logs(1, 5, seed), 30, axis=0)
    found = inception_interval(values, modified=modified, resamples=20)
    expected = 0 if modified else 1
    assert (found.low, found.high) == pytest.approx((expected, expected), abs=1e-9)


def test_impossible_classes_make_no_nan() -> None:
    never = np.array([[0.0, -np.inf, -np.inf], [np.log(0.5), np.log(0.5), -np.inf]] * 10)
    plain = inception_interval(never, resamples=50)
    assert 1 <= plain.low <= plain.high <= 3
    # I′ is infinite where some p(y|x) is 0 and p(y) is not
    assert inception_interval(never, modified=True, resamples=50).high == np.inf


def test_the_same_seed_gives_the_same_interval() -> None:
    x = np.random.default_rng(0).random(50)
    assert mean_interval(x, seed=1) == mean_interval(x, seed=1) != mean_interval(x, seed=2)


@given(st.lists(st.floats(-100, 100), min_size=2, max_size=8))
def test_over_seeds_is_students_t(values: list[float]) -> None:
    found = over_seeds(values)
    mean, error = np.mean(values), stats.sem(values)
    low, high = (mean, mean) if error == 0 else stats.t.interval(0.95, len(values) - 1, mean, error)
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-9)


def test_what_is_refused() -> None:
    with pytest.raises(ValueError, match="at least two runs"):
        over_seeds([1.0])
    with pytest.raises(ValueError, match="at least 1"):
        mean_interval(np.ones(0))
    with pytest.raises(ValueError, match=r"must be \(N,\)"):
        mean_interval(np.ones((2, 2)))
    with pytest.raises(ValueError, match="level"):
        interval(lambda rows: 0.0, 3, level=1.0)
    with pytest.raises(ValueError, match="level"):
        over_seeds([1.0, 2.0], level=95)
    with pytest.raises(ValueError, match="kind is one of"):
        interval(lambda rows: 0.0, 3, kind="normal")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="finite"):
        mean_interval(np.array([1.0, np.nan]))
    for bad, says in (
        (np.zeros(3), r"\(N, K\)"),
        (np.full((3, 2), np.nan), "NaN"),
        (np.full((3, 2), -np.inf), "sum to 1"),
        (np.zeros((3, 2)), "softmax first"),
    ):
        with pytest.raises(ValueError, match=says):
            inception_interval(bad)


def test_a_seed_that_ran_away_leaves_no_interval() -> None:
    found = over_seeds([1.0, float("inf")])
    assert np.isnan([found.low, found.high]).all()
