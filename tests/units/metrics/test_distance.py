from math import pi

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import wasserstein_distance

from energan.metrics import sliced_wasserstein

COUNTS, SEEDS = st.integers(1, 40), st.integers(0, 2**32 - 1)


@given(COUNTS, COUNTS, SEEDS)
def test_on_the_line_it_is_scipys_distance(n: int, m: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    a, b = random.normal(0, 1, (n, 1)), random.normal(0.5, 2, (m, 1))
    expected = wasserstein_distance(a[:, 0], b[:, 0])  # every unit direction is 1 or -1
    assert sliced_wasserstein(a, b, projections=5) == pytest.approx(expected, rel=1e-9)


@given(COUNTS, COUNTS, st.integers(1, 40))
def test_in_space_it_is_the_mean_of_scipys_distances(n: int, m: int, projections: int) -> None:
    random = np.random.default_rng(n)
    a, b = random.normal(0, 1, (n, 2, 3)), random.normal(0.5, 2, (m, 2, 3))
    directions = torch.randn(
        projections, 6, generator=torch.Generator().manual_seed(4), dtype=torch.float64
    ).numpy()
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    pa, pb = a.reshape(n, 6) @ directions.T, b.reshape(m, 6) @ directions.T
    slow = np.mean([wasserstein_distance(pa[:, i], pb[:, i]) for i in range(projections)])
    assert sliced_wasserstein(a, b, projections, seed=4) == pytest.approx(slow, rel=1e-9)


@given(COUNTS, COUNTS, SEEDS)
def test_it_is_a_distance(n: int, m: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    a, b = random.normal(0, 1, (n, 3)), random.normal(0, 1, (m, 3))
    there = sliced_wasserstein(a, b, 8)
    assert there > 0
    assert there == pytest.approx(sliced_wasserstein(b, a, 8))
    assert sliced_wasserstein(a, random.permutation(a), 8) == pytest.approx(0, abs=1e-12)
    assert sliced_wasserstein(a, np.repeat(a, 3, 0), 8) == pytest.approx(0, abs=1e-12)
    assert sliced_wasserstein(3 * a, 3 * b, 8) == pytest.approx(3 * there)


def test_directions_cover_the_circle_evenly() -> None:
    # A shift by d in the plane costs |d| E|cos| = 2|d|/pi, whichever way it points.
    a = np.random.default_rng(0).normal(size=(10, 2))
    for shift in ([5.0, 0.0], [0.0, 5.0], [3.0, 4.0]):
        assert sliced_wasserstein(a, a + shift, 20_000) == pytest.approx(10 / pi, rel=0.02)


def test_the_seed_decides_and_the_global_generator_is_left_alone() -> None:
    a, b = torch.randn(2, 30, 4, generator=torch.Generator().manual_seed(0))
    state = torch.get_rng_state()
    first = sliced_wasserstein(a, b, 4, seed=1)
    assert torch.equal(torch.get_rng_state(), state)
    assert first == sliced_wasserstein(a, b, 4, seed=1) != sliced_wasserstein(a, b, 4, seed=2)
    assert type(first) is float


def test_uint8_images_are_taken() -> None:
    a, b = torch.zeros(3, 1, 2, 2, dtype=torch.uint8), torch.full((5, 1, 2, 2), 255).byte()
    assert sliced_wasserstein(a, b) == pytest.approx(255 * sliced_wasserstein(a, b.clamp(max=1)))


@pytest.mark.parametrize(
    ("a", "b", "projections", "message"),
    [
        (np.zeros((3, 2)), np.zeros((3, 4)), 8, "share a shape"),
        (np.zeros(3), np.zeros(3), 8, "share a shape"),
        (np.zeros((0, 2)), np.zeros((3, 2)), 8, "need examples"),
        (np.zeros((3, 2)), np.zeros((3, 2)), 0, "at least 1"),
        (np.full((3, 2), np.nan), np.zeros((3, 2)), 8, "finite"),
    ],
)
def test_what_cannot_be_compared_is_refused(
    a: np.ndarray, b: np.ndarray, projections: int, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        sliced_wasserstein(a, b, projections)
