import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import entropy

from energan.metrics import class_coverage, modes_covered, stacked_labels

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


# --- classes --------------------------------------------------------------------------------------


@given(st.integers(2, 30), st.integers(1, 200), st.integers(0, 10**6))
def test_classes_by_counting(classes: int, count: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels, reference = rng.integers(0, classes, count), rng.dirichlet(np.ones(classes))
    found = class_coverage(labels, classes, reference)
    assert found.covered == len(set(labels.tolist()))
    shares = np.bincount(labels, minlength=classes) / count
    assert np.allclose(found.shares, shares)
    there = shares > 0
    expected = (shares[there] * np.log(shares[there] / reference[there])).sum()
    assert found.kl == pytest.approx(expected, abs=1e-9)
    uniform = class_coverage(torch.from_numpy(labels), classes)
    assert uniform.kl == pytest.approx(entropy(shares, np.ones(classes) / classes), abs=1e-9)


def test_the_thousand_modes_of_stacked_mnist() -> None:
    digits = np.stack(np.meshgrid(*[np.arange(10)] * 3, indexing="ij"), -1).reshape(-1, 3)
    labels = stacked_labels(digits)
    assert labels.tolist() == list(range(1000))
    whole = class_coverage(labels, 1000)
    assert (whole.covered, whole.kl) == (1000, pytest.approx(0, abs=1e-9))
    one = class_coverage(labels[:1].repeat(50), 1000)
    assert (one.covered, one.kl) == (1, pytest.approx(np.log(1000)))


def test_a_class_that_the_reference_lacks_is_infinitely_far() -> None:
    assert class_coverage(np.array([0, 1]), 2, np.array([1.0, 0.0])).kl == float("inf")


def test_labels_that_are_none_are_refused() -> None:
    for bad in (np.array([0, 5]), np.array([-1, 0]), np.array([0.5]), np.zeros((2, 2), int)):
        with pytest.raises(ValueError, match="labels must be"):
            class_coverage(bad, 5)
    with pytest.raises(ValueError, match="sum to 1"):
        class_coverage(np.array([0]), 2, np.array([0.5, 0.6]))
    with pytest.raises(ValueError, match="sum to 1"):
        class_coverage(np.array([0]), 2, np.array([np.nan, 1.0]))
    for digits in ([[1, 2, 10]], [[1, 2, -1]], [[1, 2]], [[1.7, 2.0, 3.0]]):
        with pytest.raises(ValueError, match="digits must be"):
            stacked_labels(np.array(digits))
