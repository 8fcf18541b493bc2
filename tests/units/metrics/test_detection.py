"""Detection against its definitions, and the guarantee of a calibrated threshold."""

from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from energan.metrics import (
    auroc,
    auroc_difference_interval,
    auroc_interval,
    average_precision,
    calibrated_threshold,
    fpr_at_tpr,
    group_weights,
    percentile_of,
)
from energan.metrics.detection import roc_points

cases = st.integers(0, 10**6).map(
    lambda seed: (
        np.random.default_rng(seed).integers(0, 12, 40).astype(float),  # with ties
        np.r_[True, False, np.random.default_rng(seed + 1).random(38) < 0.3],
    )
)


@given(cases)
def test_auroc_is_the_share_of_pairs_in_order(case: tuple[np.ndarray, np.ndarray]) -> None:
    s, a = case
    above = s[a][:, None] - s[~a][None]
    expected = ((above > 0) + 0.5 * (above == 0)).mean()
    assert auroc(s, a) == pytest.approx(expected)
    assert auroc(torch.from_numpy(-s), torch.from_numpy(a)) == pytest.approx(1 - expected)


@given(cases)
def test_average_precision_by_its_sum(case: tuple[np.ndarray, np.ndarray]) -> None:
    s, a = case
    total, before = 0.0, 0.0
    for t in sorted(set(s), reverse=True):
        flagged = s >= t
        recall = (flagged & a).sum() / a.sum()
        total += (recall - before) * (flagged & a).sum() / flagged.sum()
        before = recall
    assert average_precision(s, a) == pytest.approx(total)


@given(cases, st.floats(0.05, 1))
def test_fpr_at_tpr_by_trying_all_thresholds(
    case: tuple[np.ndarray, np.ndarray], tpr: float
) -> None:
    s, a = case
    enough = [t for t in set(s) if (s[a] >= t).mean() >= tpr - 1e-12]
    assert fpr_at_tpr(s, a, tpr) == pytest.approx(min((s[~a] >= t).mean() for t in enough))


def by_the_definition(s: np.ndarray, a: np.ndarray) -> float:
    """DeLong's variance of the AUROC, from its components (DeLong et al. 1988, equations 4, 5)."""
    above = (s[a][:, None] > s[~a][None]) + 0.5 * (s[a][:, None] == s[~a][None])
    value, (m, n) = above.mean(), above.shape
    s10 = ((above.mean(1) - value) ** 2).sum() / (m - 1)
    s01 = ((above.mean(0) - value) ** 2).sum() / (n - 1)
    return float(s10 / m + s01 / n)


@given(cases, st.floats(0.5, 0.99))
def test_the_interval_of_auroc_solves_its_equation(
    case: tuple[np.ndarray, np.ndarray], level: float
) -> None:
    """At either end θ lies the value z deviations away, by the variance that θ has."""
    s, a = case
    a[:4] = True, True, False, False
    value, variance, m = auroc(s, a), by_the_definition(s, a), int(a.sum())
    if variance < 1e-12:
        return
    found = auroc_interval(s, a, level)
    assert 0 <= found.low < value < found.high <= 1
    trials = min(value * (1 - value) / variance, 4 * m * (40 - m) / 40)
    for end in (found.low, found.high):
        z = abs(value - end) / (end * (1 - end) / trials) ** 0.5
        assert z == pytest.approx(norm.ppf((1 + level) / 2))
    turned = auroc_interval(-s, a, level)
    assert (turned.low, turned.high) == pytest.approx((1 - found.high, 1 - found.low))


@pytest.mark.parametrize(("shift", "scale"), [(0.0, 1.0), (0.0, 8.0), (1.2, 1.0), (2.0, 0.2)])
def test_the_interval_of_auroc_holds_the_truth_as_often_as_it_says(
    shift: float, scale: float
) -> None:
    """Of two normal distributions the AUROC is Φ(shift/√(1 + scale²)), also of unlike spreads."""
    rng, truth = np.random.default_rng(0), norm.cdf(shift / (1 + scale**2) ** 0.5)
    a, hits = np.r_[np.zeros(60), np.ones(40)].astype(bool), 0
    for _ in range(500):
        s = np.r_[rng.normal(size=60), rng.normal(shift, scale, 40)]
        found = auroc_interval(s, a)
        hits += found.low <= truth <= found.high
    assert 0.92 < hits / 500 < 0.98


def test_the_interval_of_auroc_is_that_of_the_bootstrap() -> None:
    rng = np.random.default_rng(3)
    normal, other = rng.normal(size=300), rng.exponential(1.5, 200)
    s, a = np.r_[normal, other], np.r_[np.zeros(300), np.ones(200)].astype(bool)
    above = other[:, None] > normal  # (200, 300)
    rows, columns = rng.integers(0, 200, (500, 200)), rng.integers(0, 300, (500, 300))
    drawn = [above[np.ix_(i, j)].mean() for i, j in zip(rows, columns, strict=True)]
    found = auroc_interval(s, a)
    low, high = np.quantile(drawn, [0.025, 0.975])
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.15 * (high - low))


@pytest.mark.parametrize(("n", "m"), [(2, 2), (50, 400), (400, 50)])
def test_events_that_are_all_told_apart_are_so_many_trials(n: int, m: int) -> None:
    s, a = np.arange(float(n + m)), np.r_[np.zeros(n), np.ones(m)].astype(bool)
    found, fewest = auroc_interval(s, a), min(n, m)
    assert found.high == 1
    assert found.low == pytest.approx(fewest / (fewest + norm.ppf(0.975) ** 2))
    assert found.low**fewest == pytest.approx(0.025, abs=0.1)  # such luck is that rare there
    turned = auroc_interval(-s, a)
    assert (turned.low, turned.high) == pytest.approx((0, 1 - found.low))
    blind = auroc_interval(s * 0, a)
    assert blind.low < 0.5 < blind.high


def test_a_perfect_score_and_a_blind_one() -> None:
    s, a = np.r_[np.zeros(10), np.ones(10)], np.r_[np.zeros(10), np.ones(10)].astype(bool)
    assert (auroc(s, a), average_precision(s, a), fpr_at_tpr(s, a)) == (1, 1, 0)
    assert (auroc(s * 0, a), fpr_at_tpr(s * 0, a)) == (0.5, 1)


@given(st.integers(20, 400), st.floats(0.05, 0.5), st.integers(0, 10**6))
def test_the_threshold_is_the_stated_order_statistic(n: int, fpr: float, seed: int) -> None:
    s = np.random.default_rng(seed).permutation(n).astype(float)
    place = int(np.ceil(round((n + 1) * (1 - fpr), 9)))
    assert calibrated_threshold(s, fpr) == place - 1


def test_a_new_normal_event_exceeds_it_as_often_as_was_asked_and_no_more() -> None:
    """Over draws of n + 1 exchangeable scores: at most fpr, and more than fpr − 1/(n + 1)."""
    rng, n, fpr = np.random.default_rng(0), 59, 0.1
    drawn = rng.standard_cauchy((20_000, n + 1))
    exceeded = np.mean([row[-1] > calibrated_threshold(row[:-1], fpr) for row in drawn])
    spread = (fpr * (1 - fpr) / len(drawn)) ** 0.5
    assert fpr - 1 / (n + 1) - 4 * spread < exceeded < fpr + 4 * spread


@pytest.mark.parametrize(("n", "fpr", "needed"), [(18, 0.05, 19), (98, 0.01, 99), (3, 0.2, 4)])
def test_too_few_are_told_how_many_are_needed(n: int, fpr: float, needed: int) -> None:
    with pytest.raises(ValueError, match=f"needs at least {needed} normal examples: there are {n}"):
        calibrated_threshold(np.arange(n), fpr)
    assert calibrated_threshold(np.arange(needed), fpr) == needed - 1


@given(st.integers(0, 10**6))
def test_percentiles_count_what_is_as_low(seed: int) -> None:
    rng = np.random.default_rng(seed)
    s, normal = rng.integers(0, 9, 20), rng.integers(0, 9, 30)
    expected = [100 * np.mean(normal <= x) for x in s]
    assert percentile_of(s, normal) == pytest.approx(expected)


@given(st.integers(0, 10**6), st.sampled_from([0.1, 0.25, 0.4]))
def test_with_groups_the_threshold_is_a_quantile_of_their_mixture(seed: int, fpr: float) -> None:
    """Σ_k Σ_i δ(s_ki)/((K + 1) n_k) + δ(∞)/(K + 1), its quantile at 1 − fpr, by its definition."""
    rng = np.random.default_rng(seed)
    groups = np.r_[np.arange(9), rng.integers(0, 9, 30)]
    s = rng.integers(0, 15, len(groups)).astype(float)
    counts = np.bincount(groups)
    mass = [(x, Fraction(1, 10 * int(counts[g]))) for x, g in zip(s, groups, strict=True)]
    wanted = 1 - Fraction(str(fpr))
    expected = next(
        x for x in [*sorted(set(s)), np.inf] if sum(m for v, m in mass if v <= x) >= wanted
    )
    weights = group_weights(groups * 7 - 3)
    assert calibrated_threshold(s, fpr, weights=weights) == expected
    shares = [float(sum(m for v, m in mass if v <= x) * Fraction(1000, 9)) for x in range(15)]
    assert percentile_of(np.arange(15), s, weights=weights) == pytest.approx(shares)


def test_weights_that_are_none_are_refused() -> None:
    with pytest.raises(ValueError, match="needs at least 3 normal groups: there are 2"):
        calibrated_threshold(np.arange(6), 0.25, weights=group_weights([0, 0, 0, 0, 0, 1]))
    for weights in ([1.0, 1.0], [1.0, 0.0, 1.0], [1.0, np.nan, 1.0]):
        with pytest.raises(ValueError, match="weights must be"):
            percentile_of([1.0], [1.0, 2.0, 3.0], weights=weights)


def test_what_is_refused() -> None:
    s, a = np.arange(4.0), np.array([0, 1, 0, 1])
    for bad_s, bad_a in ((s[:3], a), (s * np.nan, a), (s, a * 0), (s, a * 0 + 1), (s[:0], a[:0])):
        for measure in (auroc, average_precision, fpr_at_tpr):
            with pytest.raises(ValueError, match=r"fit|finite|both|empty"):
                measure(bad_s, bad_a)
    for marks in ([-1, 1, -1, 1], [0.1, 0.0, 0.9, 0.0], [0, 1, 2, 0]):
        with pytest.raises(ValueError, match="1 and 0"):
            auroc(s, np.array(marks))
    for bad_a, level in ((np.array([0, 0, 0, 1]), 0.95), (a, 0), (a, 1)):
        with pytest.raises(ValueError, match="two examples of each kind, and a level"):
            auroc_interval(s, bad_a, level)
    with pytest.raises(ValueError, match="tpr must be"):
        fpr_at_tpr(s, a, 0)
    for fpr in (0, 1, float("nan")):
        with pytest.raises(ValueError, match="must be in"):
            calibrated_threshold(np.arange(100), fpr)


@pytest.mark.parametrize("correlation", [-0.8, 0.8])
def test_the_interval_of_pairs_covers_where_both_vary_together(correlation: float) -> None:
    """Anomalous scores of the very normal events: the plain interval is too narrow or too wide."""
    random = np.random.RandomState(0)
    pairs, trials, shift = 150, 300, 1.0
    truth = float(norm.cdf(shift / np.sqrt(2)))
    covered = dict.fromkeys((True, False), 0)
    marks = np.repeat([0, 1], pairs)
    for _ in range(trials):
        normal, own = random.randn(2, pairs)
        other = shift + correlation * normal + np.sqrt(1 - correlation**2) * own
        for paired in covered:
            ends = auroc_interval(np.concatenate([normal, other]), marks, paired=paired)
            covered[paired] += ends.low <= truth <= ends.high
    assert covered[True] / trials >= 0.92
    assert (covered[False] / trials < 0.92) == (correlation < 0)


def test_the_interval_of_a_difference_is_that_of_its_resamples() -> None:
    """With ties; each resample by a function that takes weights."""
    from sklearn.metrics import roc_auc_score

    rng = np.random.default_rng(3)
    a = rng.random(80) < 0.4
    s, o = (rng.integers(0, 9, 80) + 2 * a * k for k in (1, 2))
    found = auroc_difference_interval(s, o, a, resamples=50, seed=7)
    draws, differences = np.random.default_rng(7), []
    for _ in range(50):
        weights = np.empty(80)
        for kind in (~a, a):
            weights[kind] = draws.multinomial(kind.sum(), np.full(kind.sum(), 1 / kind.sum()))
        one, other = (roc_auc_score(a, v, sample_weight=weights) for v in (s, o))
        differences.append(one - other)
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(differences, [0.025, 0.975])))


def test_differences_know_that_events_are_the_same() -> None:
    rng = np.random.default_rng(5)
    a = np.repeat([False, True], 150)
    shared = rng.normal(size=300) + a
    s, o = (shared + 0.2 * rng.normal(size=300) for _ in range(2))
    found, alone = auroc_difference_interval(s, o, a), auroc_interval(s, a)
    assert found.high - found.low < 0.5 * (alone.high - alone.low)
    same = auroc_difference_interval(s, s, a)
    assert (same.low, same.high) == (0, 0)
    # anomalous events that rise and fall with the normal ones that they are made of
    base = rng.normal(size=150)
    pairs = np.r_[base, base + 0.5]
    flat = rng.normal(size=300)
    wide = auroc_difference_interval(pairs, flat, a)
    tied = auroc_difference_interval(pairs, flat, a, paired=True)
    assert tied.high - tied.low < wide.high - wide.low
    with pytest.raises(ValueError, match="not in pairs"):
        auroc_difference_interval(s[1:], o[1:], a[1:], paired=True)
    with pytest.raises(ValueError, match="level in"):
        auroc_difference_interval(s, o, a, level=1)


def test_a_roc_curve_encloses_the_auroc_also_where_it_is_thinned_out() -> None:
    rng = np.random.default_rng(0)
    marks = rng.random(5000) < 0.3
    scores = rng.normal(size=5000) + marks
    for most in (200, 10_000):
        false, true = roc_points(scores, marks, most)
        assert len(false) <= most
        assert (false[0], true[0], false[-1], true[-1]) == (0, 0, 1, 1)
        assert (np.diff(false) >= 0).all()
        assert (np.diff(true) >= 0).all()
        assert np.trapezoid(true, false) == pytest.approx(auroc(scores, marks), abs=2e-3)
    false, true = roc_points([3.0, 2.0, 2.0, 1.0], [1, 1, 0, 0])
    assert false.tolist() == [0, 0, 0.5, 1]
    assert true.tolist() == [0, 0.5, 1, 1]
