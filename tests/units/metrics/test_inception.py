from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import log_softmax, softmax
from scipy.stats import entropy

from energan.metrics import inception_score, modified_inception_score

SHAPES = st.tuples(st.integers(1, 30), st.integers(1, 12), st.integers(0, 2**32 - 1))
BOTH = pytest.mark.parametrize("score", [inception_score, modified_inception_score])


def logits(shape: tuple[int, int, int], scale: float = 3.0) -> np.ndarray:
    n, k, seed = shape
    return np.random.default_rng(seed).normal(0, scale, (n, k))


@given(SHAPES)
def test_both_scores_are_scipys_relative_entropies(shape: tuple[int, int, int]) -> None:
    p = softmax(logits(shape), axis=1)
    marginal = p.mean(0, keepdims=True)
    usual = np.exp(entropy(p, np.broadcast_to(marginal, p.shape), axis=1).mean())
    modified = entropy(np.broadcast_to(marginal, p.shape), p, axis=1).mean()
    assert inception_score(p) == pytest.approx(usual, rel=1e-9)
    assert modified_inception_score(p) == pytest.approx(modified, rel=1e-9, abs=1e-12)
    assert 1 - 1e-9 <= inception_score(p) <= shape[1] + 1e-9


@given(SHAPES)
def test_log_probabilities_give_the_same(shape: tuple[int, int, int]) -> None:
    raw = logits(shape)
    p, log_p = softmax(raw, axis=1), log_softmax(raw, axis=1)
    for score in (inception_score, modified_inception_score):
        assert score(log_probabilities=log_p) == pytest.approx(score(p), rel=1e-9, abs=1e-12)


def test_closed_forms() -> None:
    certain = np.eye(5)[np.arange(20) % 5]
    assert inception_score(certain) == pytest.approx(5)  # 0 log 0 counts as 0
    assert inception_score(np.full((4, 5), 0.2)) == pytest.approx(1)
    assert modified_inception_score(np.full((4, 5), 0.2)) == pytest.approx(0, abs=1e-12)
    e = 0.01
    pair = np.array([[1 - e, e], [e, 1 - e]])  # p(y) = (1/2, 1/2)
    assert modified_inception_score(pair) == pytest.approx(-0.5 * np.log(4 * e * (1 - e)))


def test_the_modified_score_is_infinite_for_a_true_zero_and_only_then() -> None:
    assert modified_inception_score(np.eye(2)) == float("inf")
    # A class that no sample ever gets counts for nothing in either score.
    never = np.array([[0.3, 0.7, 0.0], [0.6, 0.4, 0.0]])
    assert modified_inception_score(never) == pytest.approx(modified_inception_score(never[:, :2]))
    assert inception_score(never) == pytest.approx(inception_score(never[:, :2]))


def test_log_probabilities_survive_what_float32_probabilities_do_not() -> None:
    raw = torch.tensor([[300.0, 0.0], [0.0, 300.0]])
    assert modified_inception_score(raw.softmax(1)) == float("inf")
    # KL((1/2, 1/2) || (1, e^-300)) = 150 - log 2
    assert modified_inception_score(log_probabilities=raw.log_softmax(1)) == pytest.approx(
        150 - np.log(2)
    )


def test_an_impossible_class_may_also_be_given_as_minus_infinity() -> None:
    with np.errstate(divide="ignore"):
        log_p = np.log(np.eye(3))
    assert inception_score(log_probabilities=log_p) == pytest.approx(3)
    assert modified_inception_score(log_probabilities=log_p) == float("inf")


@BOTH
def test_float32_tensors_are_taken_and_not_changed(score: Callable[..., float]) -> None:
    p = torch.randn(50, 10, generator=torch.Generator().manual_seed(1)).softmax(1)
    before = p.clone()
    assert score(p.requires_grad_()) == pytest.approx(score(before.double().numpy()), rel=1e-6)
    assert type(score(p)) is float
    assert torch.equal(p.detach(), before)


@BOTH
@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (np.ones(3) / 3, r"\(N, K\)"),
        (np.ones((1, 2, 2)) / 2, r"\(N, K\)"),
        (np.ones((0, 3)), "not empty"),
        (np.array([[0.5, 0.4]]), "sum to 1: one is off by 0.1"),
        (np.array([[3.0, -2.0]]), "not negative"),
        (np.array([[np.nan, 1.0]]), "finite"),
        (np.array([[np.inf, 1.0]]), "finite"),
        (np.zeros((1, 2)), "sum to 1"),
    ],
)
def test_what_is_no_distribution_is_refused(
    score: Callable[..., float], bad: np.ndarray, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        score(bad)


@BOTH
def test_bad_log_probabilities_and_wrong_calls_are_refused(score: Callable[..., float]) -> None:
    with pytest.raises(ValueError, match="softmax first"):
        score(log_probabilities=np.array([[1.0, 2.0]]))
    with pytest.raises(ValueError, match="NaN"):
        score(log_probabilities=np.array([[np.nan, 0.0]]))
    with pytest.raises(ValueError, match="sum to 1"):
        score(log_probabilities=np.full((1, 2), -np.inf))
    with pytest.raises(ValueError, match="either"):
        score()
    with pytest.raises(ValueError, match="either"):
        score(np.eye(2), log_probabilities=np.eye(2))
