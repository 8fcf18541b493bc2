"""Fréchet and kernel distances against scipy, torchmetrics and their closed forms."""

import warnings
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import sqrtm
from torch import Tensor, nn

from energan.metrics import (
    Statistics,
    frechet_distance,
    frechet_distance_of,
    kernel_distance,
    kernel_distance_error,
    kernel_distance_interval,
    statistics_of,
)

shapes = st.tuples(st.integers(12, 40), st.integers(12, 40), st.integers(1, 8))


def features(n: int, m: int, d: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    mix = rng.normal(size=(d, d))
    return rng.normal(size=(n, d)), rng.normal(size=(m, d)) @ mix + rng.normal(size=d)


@given(shapes, st.integers(0, 10**6))
def test_frechet_is_its_definition(shape: tuple[int, int, int], seed: int) -> None:
    a, b = features(*shape, seed)
    cov_a, cov_b = (np.atleast_2d(np.cov(x, rowvar=False)) for x in (a, b))
    root = np.real(sqrtm(cov_a @ cov_b))
    expected = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(cov_a + cov_b - 2 * root)
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-6, abs=1e-6)
    assert frechet_distance(torch.from_numpy(a), b) == frechet_distance(a, b)


@given(shapes, st.integers(0, 10**6))
def test_frechet_is_symmetric_and_zero_of_equals(shape: tuple[int, int, int], seed: int) -> None:
    a, b = features(*shape, seed)
    assert frechet_distance(a, b) == pytest.approx(frechet_distance(b, a), rel=1e-6, abs=1e-8)
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-8)


def test_singular_covariances_do_no_harm() -> None:
    """Fewer features than their length: covariances of low rank, where sqrtm turns imaginary."""
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(5, 30)), rng.normal(size=(6, 30))
    shift = np.zeros(30)
    shift[0] = 3
    assert frechet_distance(a, a + shift) == pytest.approx(9, rel=1e-6)
    # tr (Σ_a Σ_b)^½ is also the nuclear norm of the centred features' product
    xa, xb = ((x - x.mean(0)) / (len(x) - 1) ** 0.5 for x in (a, b))
    cross = np.linalg.svd(xa @ xb.T, compute_uv=False).sum()
    expected = ((a.mean(0) - b.mean(0)) ** 2).sum() + (xa**2).sum() + (xb**2).sum() - 2 * cross
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-6)


def test_statistics_that_are_none_are_not_equal() -> None:
    """A NaN is no distance of 0."""
    good = Statistics(np.zeros(2), np.eye(2), 9)
    for mean, covariance in (
        (np.full(2, np.nan), np.eye(2)),
        (np.zeros(2), np.full((2, 2), np.inf)),
        (np.zeros(2), np.eye(3)),
    ):
        for pair in (
            (Statistics(mean, covariance, 9), good),
            (good, Statistics(mean, covariance, 9)),
        ):
            with pytest.raises(ValueError, match=r"finite|no covariance"):
                frechet_distance_of(*pair)


@pytest.mark.parametrize("distance", [frechet_distance, kernel_distance])
def test_arrays_of_every_kind_are_taken_and_not_changed(distance: Callable[..., float]) -> None:
    a, b = features(30, 20, 4, 0)
    expected, before = distance(a, b), a.copy()
    frozen = a.copy()
    frozen.flags.writeable = False
    assert distance(frozen, b) == expected
    assert distance(a[::-1], b[::-1]) == pytest.approx(expected, rel=1e-9)
    assert distance(torch.from_numpy(a).requires_grad_(), b.tolist()) == expected
    assert distance(torch.from_numpy(a).bfloat16(), b) == pytest.approx(expected, rel=0.05)
    assert np.array_equal(a, before)


def test_of_known_gaussians() -> None:
    """N(0, 1) and N(μ, s²): μ² + (1 − s)²."""
    rng = np.random.default_rng(0)
    a = rng.normal(size=(200_000, 1))
    assert frechet_distance(a, 3 * a + 2) == pytest.approx(4 + 4, rel=0.02)


class Flat(nn.Module):
    num_features = 6

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1).double()


def images(seed: int, count: int, shift: float) -> Tensor:
    g = torch.Generator().manual_seed(seed)
    return torch.rand(count, 6, 1, 1, generator=g) ** (1 + shift)


@settings(max_examples=5, deadline=None)
@given(st.integers(0, 1000))
def test_frechet_is_torchmetrics(seed: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from torchmetrics.image.fid import FrechetInceptionDistance

        theirs = FrechetInceptionDistance(
            feature=Flat(), normalize=True, input_img_size=(6, 1, 1)
        ).set_dtype(torch.float64)
        # its images go through bytes when normalised; ours are those bytes
        a, b = ((images(seed + i, 60, i) * 255).byte() for i in range(2))
        theirs.normalize = False
        theirs.update(a, real=True)
        theirs.update(b, real=False)
        expected = float(theirs.compute())
    assert frechet_distance(a.double(), b.double()) == pytest.approx(expected, rel=1e-5)


@settings(max_examples=5, deadline=None)
@given(st.integers(0, 1000))
def test_kernel_is_torchmetrics(seed: int) -> None:
    """One subset of all is the distance itself."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from torchmetrics.image.kid import KernelInceptionDistance

        theirs = KernelInceptionDistance(feature=Flat(), subsets=1, subset_size=50)
        a, b = ((images(seed + i, 50, i) * 255).byte() for i in range(2))
        theirs.update(a, real=True)
        theirs.update(b, real=False)
        expected = float(theirs.compute()[0])
    assert kernel_distance(a.double(), b.double()) == pytest.approx(expected, rel=1e-4)


@given(shapes, st.integers(0, 10**6), st.integers(1, 4), st.floats(0.1, 2), st.floats(0, 2))
def test_kernel_is_its_definition(
    shape: tuple[int, int, int], seed: int, degree: int, gamma: float, coef: float
) -> None:
    a, b = features(*shape, seed)

    def k(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return (gamma * x @ y.T + coef) ** degree

    n, m = len(a), len(b)
    within = [(k(x, x).sum() - np.trace(k(x, x))) / (len(x) * (len(x) - 1)) for x in (a, b)]
    expected = sum(within) - 2 * k(a, b).sum() / (n * m)
    found = kernel_distance(a, b, degree=degree, gamma=gamma, coef=coef)
    scale = max(abs(w) for w in within) + 1
    assert found == pytest.approx(expected, rel=1e-6, abs=1e-9 * scale)


def test_kernel_is_unbiased() -> None:
    """Of two halves of one set the mean over draws is 0 within its own error."""
    rng = np.random.default_rng(0)
    drawn = [kernel_distance(*rng.normal(size=(2, 30, 4))) for _ in range(400)]
    assert abs(np.mean(drawn)) < 4 * np.std(drawn) / 20


def test_subsets_as_published() -> None:
    a, b = features(300, 200, 5, 0)
    found = kernel_distance_interval(a, b, subsets=40, subset_size=100)
    assert (found.subsets, found.size) == (40, 100)
    assert found.mean == pytest.approx(kernel_distance(a, b), abs=4 * found.std / 40**0.5)
    assert found == kernel_distance_interval(a, b, subsets=40, subset_size=100)
    assert kernel_distance_interval(a, b, subsets=3).size == 200
    for bad in ({"subsets": 0}, {"subset_size": 1}):
        with pytest.raises(ValueError, match="at least 1 of 2"):
            kernel_distance_interval(a, b, **bad)


@pytest.mark.parametrize("distance", [frechet_distance, kernel_distance])
def test_what_is_refused(distance: object) -> None:
    assert callable(distance)
    good = np.ones((3, 2))
    for bad in (np.ones((3, 3)), np.ones((1, 2)), good * np.nan, np.ones(3)):
        with pytest.raises(ValueError, match=r"differ in length|at least 2|finite|must be"):
            distance(good, bad)
    with pytest.raises(ValueError, match="differ in length"):
        frechet_distance_of(statistics_of(good), statistics_of(np.ones((3, 3))))


def test_the_kernel_distances_standard_error_is_what_repeated_draws_show() -> None:
    rng = np.random.default_rng(0)
    real = rng.normal(size=(300, 4))
    drawn = [rng.normal(size=(200, 4)) + 0.5 for _ in range(200)]
    spread = np.std([kernel_distance(fake, real) for fake in drawn])
    told = np.mean([kernel_distance_error(fake, real) for fake in drawn[:40]])
    assert told == pytest.approx(spread, rel=0.2)
