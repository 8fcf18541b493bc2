import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import entropy

from energan.metrics import modes_covered

MODES = np.array([[0.0, 0.0], [4.0, 0.0], [0.0, 4.0]])


@given(st.integers(1, 60), st.integers(1, 9), st.integers(0, 2**32 - 1), st.floats(0.1, 4))
def test_against_a_plain_loop(n: int, k: int, seed: int, within: float) -> None:
    random = np.random.default_rng(seed)
    points, modes, std = random.normal(0, 2, (n, 2)), random.normal(0, 2, (k, 2)), 0.3
    counts, all_points = [0] * k, [0] * k
    for point in points:
        distances = [np.hypot(*(point - mode)) for mode in modes]
        nearest = int(np.argmin(distances))
        all_points[nearest] += 1
        counts[nearest] += distances[nearest] <= within * std
    result = modes_covered(points, modes, std, within)
    assert result.counts == tuple(counts)
    assert result.covered == sum(c > 0 for c in counts)
    assert result.high_quality_share == pytest.approx(sum(counts) / n)
    assert result.kl == pytest.approx(entropy(all_points, np.ones(k)), abs=1e-12)


def test_the_extremes() -> None:
    perfect = modes_covered(np.repeat(MODES, 5, 0), MODES, 0.1)
    assert (perfect.covered, perfect.high_quality_share, perfect.counts) == (3, 1.0, (5, 5, 5))
    assert perfect.kl == pytest.approx(0, abs=1e-12)
    assert perfect.kl >= 0
    for k in range(1, 40):  # for some k the rounded sum would fall below 0
        even = np.arange(2.0 * k).reshape(k, 2)
        assert 0 <= modes_covered(even, even, 0.1).kl < 1e-12
    collapsed = modes_covered(np.zeros((7, 2)), MODES, 0.1)
    assert (collapsed.covered, collapsed.counts) == (1, (7, 0, 0))
    assert collapsed.kl == pytest.approx(np.log(3))
    nowhere = modes_covered(np.full((7, 2), 100.0), MODES, 0.1)
    assert (nowhere.covered, nowhere.high_quality_share) == (0, 0.0)
    assert np.isfinite(nowhere.kl)


def test_the_edge_is_at_three_standard_deviations() -> None:
    points = np.array([[0.2999, 0.0], [0.3001, 0.0]])
    assert modes_covered(points, MODES, 0.1).counts == (1, 0, 0)
    assert modes_covered(points, MODES, 0.1, within=4).counts == (2, 0, 0)


def test_small_distances_far_from_the_origin_are_not_lost() -> None:
    # With |p|² - 2pm + |m|² this distance drowns in rounding.
    modes = np.tile([[1e6, 0.0]], (30, 1)) + np.arange(30)[:, None]
    assert modes_covered(np.repeat(modes + 2e-3, 2, 0), modes, 1e-3).covered == 30


def test_a_gaussian_has_the_known_share_within_three() -> None:
    points = torch.randn(200_000, 2, generator=torch.Generator().manual_seed(0)) * 0.02
    share = modes_covered(points, torch.zeros(1, 2), 0.02).high_quality_share
    assert share == pytest.approx(1 - np.exp(-4.5), abs=5e-4)  # Rayleigh


@pytest.mark.parametrize(
    ("points", "modes", "std", "within", "message"),
    [
        (np.zeros((3, 2)), np.zeros((3, 3)), 1, 3, "need points"),
        (np.zeros(3), MODES, 1, 3, "need points"),
        (np.zeros((0, 2)), MODES, 1, 3, "need points"),
        (np.zeros((3, 2)), np.zeros((0, 2)), 1, 3, "need points"),
        (np.full((3, 2), np.nan), MODES, 1, 3, "finite"),
        (np.zeros((3, 2)), MODES, 0, 3, "positive"),
        (np.zeros((3, 2)), MODES, 1, -1, "positive"),
    ],
)
def test_what_cannot_be_compared_is_refused(
    points: np.ndarray, modes: np.ndarray, std: float, within: float, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        modes_covered(points, modes, std, within)
