"""Parzen windows against scipy and scikit-learn."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import logsumexp
from sklearn.neighbors import KernelDensity

from energan.metrics import parzen_log_likelihood, parzen_sigma, parzen_validation

sizes = st.tuples(st.integers(1, 40), st.integers(2, 30), st.integers(1, 12))


def by_definition(s: np.ndarray, t: np.ndarray, sigma: float) -> np.ndarray:
    distances = ((t[:, None] - s[None]) ** 2).sum(-1)
    normal = s.shape[1] / 2 * np.log(2 * np.pi * sigma**2)
    return logsumexp(-distances / (2 * sigma**2), axis=1) - np.log(len(s)) - normal


@given(sizes, st.floats(0.05, 3), st.integers(0, 10**6), st.integers(1, 100))
def test_it_is_its_definition_whatever_the_chunk(
    size: tuple[int, int, int], sigma: float, seed: int, chunk: int
) -> None:
    n, m, d = size
    rng = np.random.default_rng(seed)
    s, t = rng.random((n, d)), rng.random((m, d))
    expected = by_definition(s, t, sigma)
    found = parzen_log_likelihood(s, t, sigma, chunk=chunk)
    assert found.mean == pytest.approx(expected.mean(), rel=1e-9, abs=1e-9)
    assert found.standard_error == pytest.approx(expected.std(ddof=1) / m**0.5, rel=1e-6, abs=1e-9)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.1, 0.5))
def test_at_784_numbers_it_is_scikit_learns(seed: int, sigma: float) -> None:
    """With one leaf: its trees are far off in high dimension."""
    rng = np.random.default_rng(seed)
    s, t = rng.random((60, 784)), rng.random((20, 784))
    theirs = KernelDensity(bandwidth=sigma, leaf_size=100).fit(s).score_samples(t)
    ours = parzen_log_likelihood(torch.from_numpy(s), torch.from_numpy(t), sigma)
    assert ours.mean == pytest.approx(theirs.mean(), rel=1e-9)
    assert ours.mean == pytest.approx(by_definition(s, t, sigma).mean(), rel=1e-9)


def test_far_events_and_narrow_windows_stay_finite() -> None:
    s, t = torch.zeros(3, 50), torch.full((4, 50), 100.0)
    found = parzen_log_likelihood(s, t, 0.01)
    assert found.mean == pytest.approx(by_definition(s.numpy(), t.numpy(), 0.01).mean(), rel=1e-9)


def test_an_offset_that_all_share_costs_no_digits() -> None:
    rng = np.random.default_rng(0)
    s, t = rng.random((50, 30)), rng.random((40, 30))
    here, there = (parzen_log_likelihood(s + o, t + o, 0.1).mean for o in (0, 1e6))
    assert there == pytest.approx(here, rel=1e-6)


def test_images_are_flattened_and_float32_is_enough_on_the_way_in() -> None:
    rng = np.random.default_rng(1)
    s, t = rng.random((9, 1, 4, 4)), rng.random((7, 1, 4, 4))
    found = parzen_log_likelihood(torch.tensor(s).float(), torch.tensor(t).float(), 0.2)
    assert found.mean == pytest.approx(
        by_definition(s.reshape(9, 16), t.reshape(7, 16), 0.2).mean()
    )


def test_arrays_of_every_kind_are_taken_and_not_changed() -> None:
    rng = np.random.default_rng(1)
    s, t = rng.random((9, 6)), rng.random((7, 6))
    expected, before = parzen_log_likelihood(s, t, 0.2), s.copy()
    frozen = s.copy()
    frozen.flags.writeable = False
    for given_s in (frozen, s[::-1], s.tolist(), torch.from_numpy(s).requires_grad_()):
        found = parzen_log_likelihood(given_s, t[:, ::-1][:, ::-1], 0.2)
        assert found.mean == pytest.approx(expected.mean, rel=1e-12)
    assert np.array_equal(s, before)


@given(st.integers(0, 10**6))
def test_sigma_is_the_best_of_ten(seed: int) -> None:
    rng = np.random.default_rng(seed)
    s, v = rng.normal(0, 0.3, (30, 5)), rng.normal(0, 0.3, (12, 5))
    table = parzen_validation(s, v, chunk=50)
    assert list(table) == pytest.approx(np.logspace(-1, 0, 10).tolist())
    for sigma, mean in table.items():
        assert mean == pytest.approx(by_definition(s, v, sigma).mean(), rel=1e-9, abs=1e-9)
    assert parzen_sigma(s, v) == max(table, key=lambda k: table[k])
    assert parzen_sigma(s, v, [0.7]) == 0.7


def test_the_log_likelihood_of_a_gaussian_is_found() -> None:
    """Many samples of N(0, 1): the estimate nears the true mean, −½ log(2πe)."""
    g = torch.Generator().manual_seed(0)
    s, t = (torch.randn(6_000, 1, generator=g) for _ in range(2))
    found = parzen_log_likelihood(s, t, 0.1)
    truth = -0.5 * np.log(2 * np.pi * np.e)
    assert abs(found.mean - truth) < 4 * found.standard_error


X, Y = np.zeros((3, 2)), np.ones((4, 2))


@pytest.mark.parametrize(
    ("samples", "test", "sigma", "says"),
    [
        (X, np.ones((4, 3)), 0.1, "differ in size"),
        (X[:0], Y, 0.1, "not empty"),
        (X, Y[:1], 0.1, "at least two"),
        (X * np.nan, Y, 0.1, "finite"),
        (X, Y, 0.0, "sigma must be positive"),
        (X, Y, float("nan"), "sigma must be positive"),
        (X[0], Y, 0.1, r"\(N, D\)"),
    ],
)
def test_what_is_refused(samples: np.ndarray, test: np.ndarray, sigma: float, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        parzen_log_likelihood(samples, test, sigma)
