"""What the page says in words: probabilities and intervals against their definitions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import mannwhitneyu

from energan.report.sweep import comparison

SCORES = st.lists(st.integers(-5, 5).map(float), min_size=2, max_size=30).map(np.array)


@given(SCORES, SCORES)
def test_superiority_is_the_share_of_pairs_and_mann_whitneys_u(
    a: np.ndarray, b: np.ndarray
) -> None:
    share, low, high = comparison.superiority(a, b)
    pairs = np.sign(a[:, None] - b[None, :])
    assert share == pytest.approx((pairs > 0).mean() + (pairs == 0).mean() / 2)
    assert share == pytest.approx(mannwhitneyu(a, b).statistic / (len(a) * len(b)))
    assert 0 <= low <= high <= 1
    turned = comparison.superiority(a, b, higher=False)[0]
    assert turned == pytest.approx(1 - share)


def test_its_interval_holds_the_truth_as_often_as_it_says() -> None:
    rng, truth, inside = np.random.default_rng(0), 0.7602, 0  # P(N(1, 1) > N(0, 1)) = Φ(1/√2)
    for _ in range(60):
        _, low, high = comparison.superiority(rng.normal(1, 1, 40), rng.normal(0, 1, 60))
        inside += low <= truth <= high
    assert inside >= 51


def test_runs_that_differ_and_runs_that_do_not() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(2, 1, 60), rng.normal(0, 1, 80)
    apart = comparison.difference("A", a, "B", b, "I′", True)
    assert "Runs of A score better more often than those of B." in apart
    assert "Runs of B score better" in comparison.difference("A", a, "B", b, "error", False)
    same = comparison.difference("A", b[:40], "B", b[40:], "I′", True)
    assert "cannot tell which of the two is better." in same
    assert "n = 40 and 40" in same
    few = comparison.difference("A", a[:8], "B", b[:9], "I′", True)
    assert "only an indication" in few
    assert "says nothing about a distribution" in comparison.difference(
        "A", a[:1], "B", b, "I′", True
    )


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=20).map(np.array))
def test_thresholds_lie_among_the_scores(scores: np.ndarray) -> None:
    found = comparison.thresholds(scores)
    assert found == sorted(set(found))
    assert 1 <= len(found) <= 3
    room = 0.2 * (scores.max() - scores.min())
    assert all(scores.min() - room <= limit <= scores.max() + room for limit in found)
