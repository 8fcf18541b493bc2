"""Variance of samples beside data."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from energan.metrics import variance_ratio


@given(st.integers(2, 40), st.integers(2, 40), st.floats(0, 3), st.integers(0, 2**31))
def test_it_is_the_ratio_of_summed_variances(n: int, m: int, scale: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = scale * rng.normal(size=(n, 2, 3)) + 5, rng.normal(size=(m, 2, 3))
    expected = a.var(0, ddof=1).sum() / b.var(0, ddof=1).sum()
    assert variance_ratio(a, b) == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_the_same_events_give_one_and_a_constant_zero() -> None:
    x = np.random.default_rng(0).normal(size=(30, 4))
    assert variance_ratio(x, x) == 1
    assert variance_ratio(np.ones((5, 4)), x) == 0


@pytest.mark.parametrize(
    ("a", "b"), [((3, 2), (3, 3)), ((1, 2), (3, 2)), ((3, 2), (1, 2))], ids=str
)
def test_what_has_no_ratio_is_refused(a: tuple[int, int], b: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match=r"share a shape|at least two"):
        variance_ratio(np.random.rand(*a), np.random.rand(*b))
    with pytest.raises(ValueError, match="do not vary"):
        variance_ratio(np.random.rand(3, 2), np.ones((3, 2)))
