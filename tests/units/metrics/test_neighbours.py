"""Precision to coverage against prdc, nearest neighbours against scipy, and copies are noticed."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prdc import compute_prdc
from scipy.spatial.distance import cdist
from scipy.stats import mannwhitneyu, norm

from energan.metrics import memorisation, nearest, neighbourhoods, precision_recall_density_coverage

shapes = st.tuples(st.integers(8, 60), st.integers(8, 60), st.integers(1, 6))


@settings(max_examples=25, deadline=None)
@given(shapes, st.integers(1, 6), st.integers(0, 10**6), st.floats(0, 2))
def test_it_is_prdc(shape: tuple[int, int, int], k: int, seed: int, shift: float) -> None:
    n, m, d = shape
    rng = np.random.default_rng(seed)
    real, fake = rng.normal(size=(n, d)), rng.normal(size=(m, d)) + shift
    theirs = compute_prdc(real_features=real, fake_features=fake, nearest_k=k)
    ours = precision_recall_density_coverage(real, fake, k)
    for name in ("precision", "recall", "density", "coverage"):
        assert getattr(ours, name) == pytest.approx(theirs[name], abs=1e-12), name


@settings(max_examples=40, deadline=None)
@given(shapes, st.integers(1, 5), st.integers(0, 10**6))
def test_ties_are_not_decided_by_rounding(shape: tuple[int, int, int], k: int, seed: int) -> None:
    """Whole numbers, of which many lie exactly on a ball: by squares of whole numbers."""
    n, m, d = shape
    rng = np.random.default_rng(seed)
    real, fake = rng.integers(0, 4, (n, d)), rng.integers(0, 4, (m, d))

    def squares(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return ((a[:, None] - b[None]) ** 2).sum(-1)

    own, theirs = (np.sort(squares(x, x), axis=1)[:, k] for x in (real, fake))
    between = squares(real, fake)
    inside = between < own[:, None]
    found = neighbourhoods(real, fake, k)
    assert found.in_real.tolist() == inside.any(0).tolist()
    assert found.density.tolist() == pytest.approx(inside.sum(0) / k)
    assert found.recalled.tolist() == (between < theirs).any(1).tolist()
    assert found.covered.tolist() == (between.min(1) < own).tolist()


def test_blocks_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    real, fake = rng.normal(size=(70, 3)), rng.normal(size=(50, 3))
    whole = precision_recall_density_coverage(real, fake, 3)
    monkeypatch.setattr("energan.metrics.neighbours.CHUNK", 100)
    assert precision_recall_density_coverage(real, fake, 3) == whole
    found = neighbourhoods(real, fake, 3)
    assert found.in_real.shape == found.density.shape == (50,)
    assert found.recalled.shape == found.covered.shape == (70,)
    assert found.density.mean() == pytest.approx(whole.density)


@given(shapes, st.integers(1, 5), st.integers(0, 10**6))
def test_nearest_is_scipys(shape: tuple[int, int, int], k: int, seed: int) -> None:
    n, m, d = shape
    rng = np.random.default_rng(seed)
    q, r = rng.normal(size=(n, d)), rng.normal(size=(m, d))
    distances, indices = nearest(q, r, k)
    expected = np.sort(cdist(q, r), axis=1)[:, :k]
    assert np.allclose(distances, expected, atol=1e-9)
    assert np.allclose(np.take_along_axis(cdist(q, r), indices, 1), expected, atol=1e-9)


def test_a_copy_is_at_distance_zero_exactly() -> None:
    """Also far from the origin, where a product of matrices would leave a rest."""
    r = np.random.default_rng(0).normal(size=(40, 500)) + 1e3
    distances, indices = nearest(r[7:9], r)
    assert distances.tolist() == [[0.0], [0.0]]
    assert indices.tolist() == [[7], [8]]


def test_copies_are_noticed_and_honest_samples_are_not() -> None:
    rng = np.random.default_rng(0)
    training, held_out, honest = (rng.normal(size=(400, 4)) for _ in range(3))
    fair = memorisation(honest, training, held_out)
    assert abs(fair.z) < 4
    assert fair.copies == 0
    assert 0.35 < fair.share_below_median < 0.65
    near = training + rng.normal(scale=0.01, size=training.shape)
    copied = memorisation(near, training, held_out)
    assert copied.z < -15
    assert copied.share_below_first_percentile > 0.9
    assert memorisation(training[:50], training, held_out).copies == 50
    away = memorisation(honest + 10, training, held_out)
    assert away.z > 15


@given(st.integers(0, 10**6), st.integers(2, 30), st.integers(2, 30))
def test_the_statistic_is_scipys_with_its_ties(seed: int, n: int, m: int) -> None:
    rng = np.random.default_rng(seed)
    training, held_out, samples = (rng.integers(0, 6, (c, 3)).astype(float) for c in (20, m, n))
    own, theirs = (cdist(x, training).min(1) for x in (samples, held_out))
    found = memorisation(samples, training, held_out)
    if len(set(own) | set(theirs)) > 1:
        for side, p in (("less", norm.cdf(found.z)), ("greater", norm.sf(found.z))):
            expected = mannwhitneyu(own, theirs, False, side, method="asymptotic")
            assert p == pytest.approx(expected.pvalue)
    assert found.distances == pytest.approx(own)
    assert found.copies == (own == 0).sum()


def test_the_statistic_is_standard_normal_for_honest_samples() -> None:
    rng = np.random.default_rng(1)
    drawn = [memorisation(*rng.normal(size=(3, 30, 2))).z for _ in range(300)]
    assert abs(np.mean(drawn)) < 0.4  # not 0: both share one training set
    assert norm.cdf(np.std(drawn)) == pytest.approx(norm.cdf(1), abs=0.12)


def test_equal_distances_give_zero_and_not_a_division_by_it() -> None:
    training = np.zeros((5, 2))
    assert memorisation(training, training, training).z == 0


@pytest.mark.parametrize("k", [0, 5, 9])
def test_k_must_fit(k: int) -> None:
    five = np.random.default_rng(0).normal(size=(5, 2))
    with pytest.raises(ValueError, match=r"k must be|at least"):
        precision_recall_density_coverage(five, five, k)
    with pytest.raises(ValueError, match="k is between"):
        nearest(five, five, k if k != 5 else 6)


@pytest.mark.parametrize("kind", ["whole numbers", "bits", "copies"])
def test_ties_are_ties_as_prdc_has_them(kind: str) -> None:
    rng = np.random.default_rng(0)
    if kind == "copies":
        real = rng.normal(size=(120, 32)).astype(np.float32)
        fake = np.concatenate([real[:30], rng.normal(size=(40, 32)).astype(np.float32)])
    else:
        top, d = (4, 3) if kind == "whole numbers" else (2, 16)
        real, fake = (rng.integers(0, top, (n, d)).astype(float) for n in (90, 70))
    theirs = compute_prdc(real_features=real, fake_features=fake, nearest_k=3)
    ours = precision_recall_density_coverage(real, fake, 3)
    for name in ("precision", "recall", "density", "coverage"):
        assert getattr(ours, name) == pytest.approx(theirs[name], abs=1e-12), name


def test_copies_that_went_through_a_change_of_range_are_copies() -> None:
    rng = np.random.default_rng(0)
    training = rng.integers(0, 256, (60, 64)).astype(np.float32) / np.float32(255)
    back = ((training * 2 - 1) + 1) / np.float32(2)
    other = rng.random((60, 64))
    assert memorisation(back[:20], training, other, 1 / 510).copies == 20
    assert memorisation(other, training, other, 1 / 510).copies == 0
