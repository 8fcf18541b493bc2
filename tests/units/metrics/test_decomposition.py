"""Shares of the variance of scores over a search: closed forms, definitions, other libraries."""

from itertools import combinations, product
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import sobol_indices, uniform
from sklearn.linear_model import LinearRegression
from sklearn.preprocessing import OneHotEncoder

from energan.metrics.decomposition import as_grid, estimated_shares, functional_anova

Sizes = tuple[int, ...]
SIZES = st.lists(st.integers(2, 4), min_size=1, max_size=4).map(tuple)
SEEDS = st.integers(0, 2**32 - 1)


def levels_of(sizes: Sizes) -> NDArray[np.int_]:
    return np.array(list(product(*map(range, sizes))))


def additive(sizes: Sizes, rng: np.random.Generator) -> tuple[list[Any], NDArray[np.float64]]:
    """Effects of each axis, and the grid of their sums."""
    effects = [rng.normal(size=n) for n in sizes]
    return effects, sum(np.ix_(*effects), np.zeros(sizes))


@given(SIZES, SEEDS)
def test_in_a_sum_each_axis_has_its_own_variance(sizes: Sizes, seed: int) -> None:
    effects, y = additive(sizes, np.random.default_rng(seed))
    variances = np.array([effect.var() for effect in effects])
    found = functional_anova(y)
    np.testing.assert_allclose(found.main, variances / variances.sum(), atol=1e-9)
    np.testing.assert_allclose(found.total, found.main, atol=1e-9)
    np.testing.assert_allclose(list(found.pairs.values()), 0, atol=1e-9)


def test_a_product_of_signs_is_a_joint_effect_alone() -> None:
    signs = np.array([-1.0, 1.0])
    found = functional_anova(signs[:, None, None] * signs[:, None] + np.zeros(3))
    np.testing.assert_allclose(found.main, 0, atol=1e-12)
    np.testing.assert_allclose(found.total, (1, 1, 0), atol=1e-12)
    assert found.pairs == pytest.approx({(0, 1): 1, (0, 2): 0, (1, 2): 0})


@given(SIZES, SEEDS)
def test_any_grid_by_the_definition(sizes: Sizes, seed: int) -> None:
    y = np.random.default_rng(seed).normal(size=sizes)
    cells, found = levels_of(sizes), functional_anova(y)
    values = np.array([y[tuple(cell)] for cell in cells])

    def explained(axes: tuple[int, ...]) -> float:
        """Var E[y | the axes] / Var y, cell by cell."""
        means = [values[(cells[:, axes] == cell[list(axes)]).all(1)].mean() for cell in cells]
        return float(np.var(means) / np.var(values))

    d = len(sizes)
    for i in range(d):
        rest = tuple(j for j in range(d) if j != i)
        assert found.main[i] == pytest.approx(explained((i,)), abs=1e-9)
        assert found.total[i] == pytest.approx(1 - explained(rest), abs=1e-9)
    for i, j in combinations(range(d), 2):
        share = explained((i, j)) - explained((i,)) - explained((j,))
        assert found.pairs[i, j] == pytest.approx(share, abs=1e-9)


def test_as_scipy_has_sobol_indices() -> None:
    rng, sizes = np.random.default_rng(0), (4, 3, 2)
    y = rng.normal(size=sizes) + additive(sizes, rng)[1]

    def score(x: NDArray[np.float64]) -> NDArray[np.float64]:
        return y[tuple((row * n).astype(int) for row, n in zip(x, sizes, strict=True))][None]

    oracle = sobol_indices(func=score, n=2**13, dists=[uniform()] * 3, rng=1)
    found = functional_anova(y)
    np.testing.assert_allclose(found.main, oracle.first_order.ravel(), atol=0.02)
    np.testing.assert_allclose(found.total, oracle.total_order.ravel(), atol=0.02)


@pytest.mark.parametrize("value", [0.0, 0.1, 1e12])
def test_equal_scores_have_nothing_to_share(value: float) -> None:
    found = functional_anova(np.full((3, 2), value))
    assert found.variance == 0
    assert (found.main, found.total) == ((0, 0), (0, 0))
    shares = estimated_shares(levels_of((3, 2)), np.full(6, value))
    assert [e.share for e in shares.main] == [0, 0]


@given(SIZES, SEEDS)
def test_a_whole_grid_in_any_order(sizes: Sizes, seed: int) -> None:
    rng = np.random.default_rng(seed)
    y, levels = rng.normal(size=sizes), levels_of(sizes)
    order = rng.permutation(len(levels))
    grid = as_grid(levels[order], y.ravel()[order])
    assert grid is not None
    np.testing.assert_array_equal(grid, y)
    assert as_grid(levels[order][1:], y.ravel()[1:]) is None or len(sizes) == 1
    twice = np.concatenate([levels[order][1:], levels[order][1:2]])
    assert as_grid(twice, y.ravel()) is None


@given(SEEDS)
def test_a_sample_without_chance_gives_the_shares_of_the_grid(seed: int) -> None:
    rng, sizes = np.random.default_rng(seed), (4, 3, 2, 2)
    y, levels = additive(sizes, rng)[1].ravel(), levels_of(sizes)
    chosen = rng.choice(48, 30, replace=False)
    if any(len(np.unique(levels[chosen, i])) < n for i, n in enumerate(sizes)):
        return
    exact, found = functional_anova(y.reshape(sizes)), estimated_shares(levels[chosen], y[chosen])
    np.testing.assert_allclose([e.share for e in found.main], exact.main, atol=1e-6)
    assert found.additive.share == pytest.approx(1, abs=1e-6)
    assert (found.count, found.coefficients, found.few) == (30, 8, False)


def test_the_estimate_is_that_of_a_fit_by_another_library() -> None:
    rng, sizes = np.random.default_rng(3), (4, 3, 2)
    levels = rng.integers(0, sizes, (60, 3))
    y = additive(sizes, rng)[1][tuple(levels.T)] + rng.normal(size=60)
    encoder = OneHotEncoder(drop="first", sparse_output=False)
    x = encoder.fit_transform(levels)
    fit = LinearRegression().fit(x, y)
    mse = ((y - fit.predict(x)) ** 2).sum() / (60 - 7)
    inverse = np.linalg.inv(np.c_[np.ones(60), x].T @ np.c_[np.ones(60), x])[1:, 1:] * mse
    variances, start = [], 0
    for n in sizes:
        rows = slice(start, start + n - 1)
        away = np.eye(n)[:, 1:] - 1 / n  # effects about their mean, of the coefficients
        effects, covariance = away @ fit.coef_[rows], away @ inverse[rows, rows] @ away.T
        variances.append((effects @ effects - np.trace(covariance)) / n)
        start += n - 1
    expected = np.array(variances) / (sum(variances) + mse)
    found = estimated_shares(levels, y)
    np.testing.assert_allclose([e.share for e in found.main], expected, rtol=1e-9)
    assert found.additive.share == pytest.approx(expected.sum())


def test_chance_alone_is_no_share_on_average_and_intervals_hold_the_truth() -> None:
    rng, sizes = np.random.default_rng(0), (4, 4, 3, 2)
    levels = levels_of(sizes)
    for weight in (0.0, 1.0):
        y = rng.normal(size=len(levels)) + weight * additive(sizes, rng)[1].ravel()
        truth = functional_anova(y.reshape(sizes)).main
        found = []
        for _ in range(60):
            chosen = rng.choice(len(levels), 48, replace=False)
            found.append(estimated_shares(levels[chosen], y[chosen]).main)
        shares = np.array([[e.share for e in one] for one in found])
        np.testing.assert_allclose(shares.mean(0), truth, atol=0.06)
        inside = [e.low <= t <= e.high for one in found for e, t in zip(one, truth, strict=True)]
        assert np.mean(inside) > 0.85


def test_a_joint_effect_is_found_in_a_sample() -> None:
    rng, levels = np.random.default_rng(1), levels_of((4, 2, 3))
    levels = np.concatenate([levels] * 4)
    y = np.array([-1, 1])[levels[:, 1]] * np.array([-1, 1, 1, -1])[levels[:, 0]] + 0.0
    y += 0.1 * rng.normal(size=len(y))
    chosen = rng.choice(len(y), 70, replace=False)
    found = estimated_shares(levels[chosen], y[chosen])
    assert found.pairs[0, 1].low > 0.5
    assert abs(found.pairs[0, 2].share) < 0.2
    assert max(e.share for e in found.main) < 0.2


def test_few_trials_are_called_few_and_fewer_are_refused() -> None:
    rng, levels = np.random.default_rng(0), levels_of((4, 4, 2))
    chosen = np.concatenate([[0, 5, 10, 15, 21], rng.choice(32, 8, replace=False)])
    found = estimated_shares(levels[chosen], rng.normal(size=13))
    assert found.few
    assert not found.pairs
    with pytest.raises(ValueError, match="8 trials are too few"):
        estimated_shares(levels[chosen[:8]], rng.normal(size=8))


def test_axes_that_go_together_are_refused() -> None:
    one = np.arange(20) % 2
    with pytest.raises(ValueError, match="apart"):
        estimated_shares(np.stack([one, one], 1), np.arange(20.0))


def test_what_is_no_set_of_scores_is_refused() -> None:
    levels = levels_of((2, 2))
    for y in ([1.0, 2, 3], [1.0, 2, 3, np.nan]):
        with pytest.raises(ValueError, match="finite"):
            estimated_shares(levels, np.array(y))
    with pytest.raises(ValueError, match="level"):
        estimated_shares(levels, np.arange(4.0), level=1)
    for grid in (np.float64(1), np.zeros((0, 2)), np.array([1, np.inf])):
        with pytest.raises(ValueError, match="grid"):
            functional_anova(grid)
