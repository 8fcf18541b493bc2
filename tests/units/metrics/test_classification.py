"""Errors, confusion, calibration and intervals, against scikit-learn, scipy and loops."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ttest_1samp
from sklearn.metrics import accuracy_score, confusion_matrix

from energan import metrics


@st.composite
def predictions(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, int]:
    classes, count = draw(st.integers(2, 7)), draw(st.integers(1, 60))
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    found, true = (generator.integers(0, classes, count) for _ in range(2))
    return found, true, classes


def probabilities(count: int, classes: int, seed: int, sharp: float = 1.0) -> np.ndarray:
    logits = np.random.default_rng(seed).normal(size=(count, classes)) * sharp
    p = np.exp(logits)
    return p / p.sum(1, keepdims=True)


@given(predictions())
@settings(deadline=None, max_examples=50)
def test_error_and_confusion_are_those_of_scikit_learn(
    case: tuple[np.ndarray, np.ndarray, int],
) -> None:
    found, true, classes = case
    assert metrics.error_rate(found, true) == pytest.approx(1 - accuracy_score(true, found))
    table = metrics.confusion(found, true, classes)
    assert (table == confusion_matrix(true, found, labels=range(classes))).all()
    assert table.sum() == len(true)
    assert metrics.error_rate(found, true) == pytest.approx(1 - np.trace(table) / len(true))


def test_tensors_do_as_arrays_do() -> None:
    p = probabilities(40, 5, 3)
    true = np.random.default_rng(4).integers(0, 5, 40)
    as_arrays = metrics.calibration_error(p, true)
    assert metrics.calibration_error(torch.tensor(p), torch.tensor(true)) == as_arrays
    assert metrics.error_rate(torch.tensor([0, 1]), torch.tensor([0, 0])) == 0.5


@pytest.mark.parametrize("seed", range(5))
def test_calibration_error_is_its_definition(seed: int) -> None:
    count, classes, bins = 300, 4, 15
    p = probabilities(count, classes, seed, sharp=2.0)
    true = np.random.default_rng(seed + 99).integers(0, classes, count)
    total = 0.0
    for b in range(bins):
        low, high = b / bins, (b + 1) / bins
        inside = [i for i in range(count) if low < max(p[i]) <= high]
        if inside:
            right = sum(int(np.argmax(p[i])) == true[i] for i in inside) / len(inside)
            sure = sum(max(p[i]) for i in inside) / len(inside)
            total += len(inside) / count * abs(right - sure)
    assert metrics.calibration_error(p, true) == pytest.approx(total, abs=1e-12)
    found = metrics.reliability(p, true)
    assert found.count.sum() == count
    assert np.isnan(found.accuracy[found.count == 0]).all()
    there = found.count > 0
    assert ((found.confidence >= found.edges[:-1]) & (found.confidence <= found.edges[1:]))[
        there
    ].all()


def test_labels_drawn_from_the_probabilities_are_calibrated() -> None:
    generator = np.random.default_rng(0)
    p = probabilities(60_000, 3, 1, sharp=2.0)
    true = (p.cumsum(1) < generator.random((len(p), 1))).sum(1)
    assert metrics.calibration_error(p, true) < 0.012
    assert metrics.calibration_error(p, (p.argmax(1) + 1) % 3) > 0.3  # sure, and always wrong


def test_certainty_lies_in_the_last_bin() -> None:
    found = metrics.reliability(np.eye(3), np.arange(3))
    assert found.count.tolist() == [0] * 14 + [3]
    assert found.error == 0
    assert metrics.calibration_error(np.eye(3), np.array([1, 2, 0])) == 1


@given(st.integers(1, 20_000), st.floats(0, 1))
@settings(deadline=None, max_examples=60)
def test_wilsons_interval_solves_its_equation(count: int, share: float) -> None:
    """Its ends p are where |k/n − p| = z·√(p(1 − p)/n)."""
    wrong = round(share * count)
    found, z = metrics.error_interval(wrong, count), 1.959963984540054
    assert 0 <= found.low <= wrong / count + 1e-12
    assert wrong / count - 1e-12 <= found.high <= 1
    for end in (found.low, found.high):
        if 1e-9 < end < 1 - 1e-9:
            off = z * math.sqrt(end * (1 - end) / count)
            assert abs(wrong / count - end) == pytest.approx(off, rel=1e-6)


def test_intervals_cover_as_often_as_they_say() -> None:
    generator, true = np.random.default_rng(5), 0.03
    drawn = generator.binomial(1000, true, 2000)
    ends = {k: metrics.error_interval(int(k), 1000) for k in np.unique(drawn)}
    covered = np.mean([ends[k].low <= true <= ends[k].high for k in drawn])
    assert 0.93 < covered < 0.98


def test_the_paired_difference_is_the_t_test_of_one_sample() -> None:
    generator = np.random.default_rng(6)
    common = generator.normal(size=8)
    a, b = common, common + 0.1 + 0.01 * generator.normal(size=8)
    found = metrics.paired_difference(a.tolist(), b.tolist())
    oracle = ttest_1samp(b - a, 0).confidence_interval(0.95)
    assert found.interval is not None
    assert (found.interval.low, found.interval.high) == pytest.approx((oracle.low, oracle.high))
    assert found.mean == pytest.approx((b - a).mean())
    assert found.interval.low > 0  # what both seeds share is taken out
    assert metrics.paired_difference([1.0], [3.0]) == metrics.Paired(2.0, None, 1)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: metrics.error_rate(np.array([0, 1]), np.array([0])), "alike"),
        (lambda: metrics.error_rate(np.array([]), np.array([])), "alike"),
        (lambda: metrics.error_rate(np.array([0.5]), np.array([0])), "whole"),
        (lambda: metrics.error_rate(np.array([-1]), np.array([0])), "0 or more"),
        (lambda: metrics.confusion(np.array([3]), np.array([0]), 3), "not below 3"),
        (lambda: metrics.reliability(np.array([[0.5, 0.6]]), np.array([0])), "sum is 1"),
        (lambda: metrics.reliability(np.array([[np.nan, 1]]), np.array([0])), "sum is 1"),
        (lambda: metrics.reliability(np.array([[0.5, 0.5]]), np.array([2])), "not below 2"),
        (lambda: metrics.reliability(np.ones((3, 1)), np.zeros(3)), "two classes"),
        (lambda: metrics.reliability(np.eye(2), np.arange(2), 0), "one bin"),
        (lambda: metrics.error_interval(3, 2), "no share"),
        (lambda: metrics.error_interval(0, 0), "no share"),
        (lambda: metrics.paired_difference([1.0], [1.0, 2.0]), "in pairs"),
        (lambda: metrics.paired_difference([], []), "in pairs"),
    ],
)
def test_what_makes_no_sense_is_refused(make: object, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        make()  # type: ignore[operator]


def test_the_interval_of_a_difference_of_errors_is_bonett_and_prices() -> None:
    draws = np.random.default_rng(0)
    a, b = draws.random(50) < 0.4, draws.random(50) < 0.2
    p12 = (sum(x and not y for x, y in zip(a, b, strict=True)) + 1) / 52
    p21 = (sum(y and not x for x, y in zip(a, b, strict=True)) + 1) / 52
    half = 1.959964 * ((p12 + p21 - (p12 - p21) ** 2) / 52) ** 0.5
    found = metrics.error_difference(a, b)
    assert (found.low, found.high) == pytest.approx((p12 - p21 - half, p12 - p21 + half))
    turned = metrics.error_difference(b, a)
    assert (turned.low, turned.high) == pytest.approx((-found.high, -found.low))
    alike = metrics.error_difference(a, a)
    assert alike.low < 0 < alike.high
    assert metrics.error_difference([True], [False]).high == 1  # the formula gives 1.4
    with pytest.raises(ValueError, match="must be alike"):
        metrics.error_difference(a, b[1:])


def test_the_interval_of_a_difference_of_errors_holds_it_as_often_as_it_says() -> None:
    draws = np.random.default_rng(1)
    held = 0
    for _ in range(1000):
        hard = draws.random(200)  # events that are hard for one are so for the other
        a, b = hard * draws.random(200) > 0.6, hard * draws.random(200) > 0.5
        ends = metrics.error_difference(a, b)
        # P(u·v > t) = 1 − t + t·ln t
        gap = (1 - 0.6 + 0.6 * np.log(0.6)) - (1 - 0.5 + 0.5 * np.log(0.5))
        held += ends.low <= gap <= ends.high
    assert 930 <= held <= 975
