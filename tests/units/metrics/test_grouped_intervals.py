"""Intervals over whole groups: against closed forms, plain resampling, and how often they hold."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import norm, t

from energan.metrics import (
    PixelCounts,
    auroc,
    auroc_difference_interval,
    auroc_interval,
    find_regions,
    mean_interval,
    resample_weights,
    share_interval,
    wilson,
)

Array = NDArray[np.float64]


def draw(
    rng: np.random.Generator, count: int, size: int, within: float, shift: float, mixed: bool
) -> tuple[Array, NDArray[np.bool_], NDArray[np.intp]]:
    """Scores of variance 1 of 2 · count groups, which of them are anomalous, and their groups.

    within: the share of the variance that is within a group. mixed: whether groups have both
    kinds; else the latter half is anomalous."""
    groups = np.repeat(np.arange(2 * count), size)
    a = rng.random(len(groups)) < 0.4 if mixed else groups >= count
    middle = (1 - within) ** 0.5 * rng.standard_normal(2 * count)
    return middle[groups] + within**0.5 * rng.standard_normal(len(groups)) + shift * a, a, groups


def closed_form(s: Array, a: NDArray[np.bool_], groups: NDArray[np.intp]) -> float:
    """The variance of the AUROC of clustered data (Obuchowski 1997, equations 4 to 8)."""
    above = (s[a][:, None] > s[~a]) + 0.5 * (s[a][:, None] == s[~a])  # (M, N)
    value, (m, n) = above.mean(), above.shape
    count = int(groups.max()) + 1
    other, normal = (
        np.bincount(groups[side], v - value, count)
        for side, v in ((a, above.mean(1)), (~a, above.mean(0)))
    )
    with_other, with_normal = (len(np.unique(groups[side])) for side in (a, ~a))
    s10 = with_other / ((with_other - 1) * m) * (other**2).sum()
    s01 = with_normal / ((with_normal - 1) * n) * (normal**2).sum()
    s11 = count / (count - 1) * (other * normal).sum()
    return float(s10 / m + s01 / n + 2 * s11 / (m * n))


@pytest.mark.parametrize("mixed", [False, True])
def test_auroc_over_groups_has_the_variance_of_the_closed_form(mixed: bool) -> None:
    s, a, groups = draw(np.random.default_rng(0), 40, 12, 0.3, 1.0, mixed)
    value, variance = auroc(s, a), closed_form(s, a, groups)
    fewest = min(len(np.unique(groups[side])) for side in (a, ~a))
    expected = wilson(value, value * (1 - value) / variance, float(t.ppf(0.975, fewest - 1)))
    found = auroc_interval(s, a, groups=groups * 7 - 3, resamples=4_000)
    width = expected.high - expected.low
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=0.05 * width)
    plain = auroc_interval(s, a)
    if not mixed:  # in mixed groups much of what they share cancels out
        assert found.high - found.low > 2 * (plain.high - plain.low)


@pytest.mark.parametrize(
    ("count", "size", "within", "shift", "mixed"),
    [(10, 10, 0.2, 1.0, False), (30, 5, 0.2, 2.5, False), (10, 10, 0.2, 2.5, False),
     (30, 5, 0.9, 1.0, False), (10, 20, 0.2, 1.0, True)],
)  # fmt: skip
def test_auroc_over_groups_holds_the_truth_as_often_as_it_says(
    count: int, size: int, within: float, shift: float, mixed: bool
) -> None:
    """Strongly correlated groups too, where the interval over images is far too narrow."""
    rng, truth, tries = np.random.default_rng(0), norm.cdf(shift / 2**0.5), 200
    grouped = plain = 0
    for _ in range(tries):
        s, a, groups = draw(rng, count, size, within, shift, mixed)
        found = auroc_interval(s, a, groups=groups, resamples=200)
        grouped += found.low <= truth <= found.high
        found = auroc_interval(s, a)
        plain += found.low <= truth <= found.high
    assert 0.91 < grouped / tries <= 1
    assert (plain / tries < 0.85) == (within == 0.2)


def test_groups_told_apart_are_so_many_trials() -> None:
    a = np.repeat([False, True], 60)
    found = auroc_interval(a * 1.0, a, groups=np.repeat(np.arange(12), 10))
    assert (found.low, found.high) == (pytest.approx(6 / (6 + t.ppf(0.975, 5) ** 2)), 1)


def test_a_difference_over_groups_is_that_of_plain_resampling() -> None:
    """Groups drawn one by one, their events put together, both scores of each."""
    rng = np.random.default_rng(1)
    s, a, groups = draw(rng, 15, 8, 0.3, 1.2, mixed=True)
    o = np.round(s + rng.standard_normal(len(s)), 1)
    found = auroc_difference_interval(s, o, a, groups=groups, resamples=4_000)
    members = [np.flatnonzero(groups == group) for group in range(30)]
    drawn = []
    for _ in range(2_000):
        rows = np.concatenate([members[k] for k in rng.integers(0, 30, 30)])
        drawn.append(auroc(s[rows], a[rows]) - auroc(o[rows], a[rows]))
    low, high = np.quantile(drawn, [0.025, 0.975])
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.07 * (high - low))


def test_copies_in_a_group_add_nothing() -> None:
    rng = np.random.default_rng(2)
    s, o = rng.standard_normal((2, 40))
    a = rng.random(40) < 0.5
    once = auroc_difference_interval(s, o, a, groups=np.arange(40))
    both = [np.repeat(x, 5) for x in (s, o, a, np.arange(40))]
    again = auroc_difference_interval(*both[:3], groups=both[3])
    assert (again.low, again.high) == pytest.approx((once.low, once.high))


def test_a_share_over_groups_has_the_variance_of_a_ratio_of_sums() -> None:
    """Of groups of unequal sizes: Σ_g (Σ_i (x_i − p))² K / ((K − 1) N²) (Cochran 1977, 6.4)."""
    rng = np.random.default_rng(3)
    groups = np.repeat(np.arange(60), rng.integers(1, 20, 60))
    x = rng.random(len(groups)) < rng.beta(0.5, 2, 60)[groups]
    p, n = x.mean(), len(x)
    variance = (np.bincount(groups, x - p) ** 2).sum() * 60 / 59 / n**2
    expected = wilson(p, p * (1 - p) / variance, float(t.ppf(0.975, 59)))
    found = share_interval(x, groups=groups, resamples=4_000)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), rel=0.04)
    assert share_interval(x) == wilson(p, n, float(norm.ppf(0.975)))
    none = share_interval(x & False, groups=groups)
    assert none.high == pytest.approx(t.ppf(0.975, 59) ** 2 / (60 + t.ppf(0.975, 59) ** 2))


def test_a_share_over_groups_holds_the_truth() -> None:
    """A rate of false alarms of 30 cameras that differ: over images it is far too narrow."""
    rng, grouped, plain = np.random.default_rng(4), 0, 0
    for _ in range(200):
        groups = np.repeat(np.arange(30), 20)
        x = rng.random(600) < rng.beta(0.3, 2.7, 30)[groups]  # of mean 0.1
        ends = share_interval(x, groups=groups, resamples=200), share_interval(x)
        grouped += ends[0].low <= 0.1 <= ends[0].high
        plain += ends[1].low <= 0.1 <= ends[1].high
    assert grouped / 200 > 0.9
    assert plain / 200 < 0.75


def test_pixels_are_resampled_by_group() -> None:
    """Three copies of each image in a group are as one image; as images of their own they are
    not."""
    rng = np.random.default_rng(5)
    masks = rng.random((12, 16, 16)) < 0.02
    maps = rng.lognormal(size=masks.shape) * (1 + masks)
    once, thrice = PixelCounts(maps), PixelCounts(maps)
    for heat, mask in zip(maps, masks, strict=True):
        once.add(heat, find_regions(mask))
        for _ in range(3):
            thrice.add(heat, find_regions(mask))
    groups = np.repeat(np.arange(12), 3)
    alone = once.scores(groups=np.arange(12))
    together = thrice.scores(groups=groups)
    assert alone.aupro_interval is not None
    for name in ("auroc_interval", "aupro_interval"):
        one, three = getattr(alone, name), getattr(together, name)
        assert (one.low, one.high) == pytest.approx((three.low, three.high))
    apart = thrice.scores()
    assert apart.aupro_interval is not None
    ends = alone.aupro_interval
    assert apart.aupro_interval.high - apart.aupro_interval.low < 0.75 * (ends.high - ends.low)
    single = thrice.scores(groups=np.zeros(36))
    assert (single.aupro, single.aupro_interval) == (together.aupro, None)


def test_a_resample_has_whole_groups() -> None:
    groups = np.array([3, 3, 8, 8, 8, 5])
    for weights in resample_weights(groups > 4, 100, 0, groups):
        assert (weights[:, 0] == weights[:, 1]).all()
        assert (weights[:, 2:5] == weights[:, 2:3]).all()
        assert (weights[:, [0, 2, 5]].sum(1) == 3).all()


def test_what_is_refused() -> None:
    s, a = np.arange(6.0), np.array([0, 0, 0, 1, 1, 1])
    one = np.array([0, 0, 0, 1, 1, 2])
    for call in (
        lambda: auroc_interval(s, a, groups=one),
        lambda: auroc_difference_interval(s, s, a, groups=one),
        lambda: share_interval(a, groups=np.zeros(6)),
    ):
        with pytest.raises(ValueError, match="two groups"):
            call()
    with pytest.raises(ValueError, match="do not fit 6 examples"):
        auroc_interval(s, a, groups=one[1:])
    with pytest.raises(ValueError, match="instead of paired"):
        auroc_interval(s, a, groups=np.arange(6), paired=True)
    with pytest.raises(ValueError, match="needs marks"):
        share_interval(np.zeros(0))


def test_a_mean_over_groups_is_that_of_plain_resampling() -> None:
    rng = np.random.default_rng(6)
    groups = np.repeat(np.arange(25), rng.integers(1, 9, 25))
    x = rng.standard_normal(25)[groups] + 0.3 * rng.standard_normal(len(groups))
    found = mean_interval(x, groups=groups, resamples=4_000)
    members = [x[groups == group] for group in range(25)]
    drawn = [
        np.concatenate([members[k] for k in rng.integers(0, 25, 25)]).mean() for _ in range(4_000)
    ]
    low, high = np.quantile(drawn, [0.025, 0.975])
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.05 * (high - low))
    once = mean_interval(np.arange(9.0), groups=np.arange(9))
    assert mean_interval(np.repeat(np.arange(9.0), 4), groups=np.repeat(np.arange(9), 4)) == once
