"""Samples of sweeps: balanced from the first trial on, nested, the same on every machine."""

from itertools import combinations
from math import prod

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from energan.core import SettingError
from energan.sweeps import SWEEPS, Sweep
from energan.sweeps.sampling import order, sample

sizes_of = st.lists(st.integers(1, 7), min_size=1, max_size=6).filter(lambda n: prod(n) <= 600)
seeds = st.integers(0, 10**6)


def axes_of(sizes: list[int]) -> dict[str, range]:
    return {f"axis{i}": range(n) for i, n in enumerate(sizes)}


def columns(places: list[int], sizes: list[int]) -> list[np.ndarray]:
    return [np.asarray(found) for found in np.unravel_index(places, sizes)]


@settings(deadline=None, max_examples=30)
@given(sizes_of, seeds)
def test_every_trial_comes_once_and_every_beginning_is_balanced_on_every_axis(
    sizes: list[int], seed: int
) -> None:
    places = order(axes_of(sizes), seed)
    assert sorted(places) == list(range(prod(sizes)))
    for n, values in zip(sizes, columns(places, sizes), strict=True):
        counts = np.cumsum(np.eye(n, dtype=int)[values], axis=0)  # after each trial
        assert (counts.max(1) - counts.min(1)).max() <= 1


@settings(deadline=None, max_examples=30)
@given(sizes_of, seeds, st.data())
def test_a_sample_is_the_beginning_of_every_larger_one(
    sizes: list[int], seed: int, data: st.DataObject
) -> None:
    count = data.draw(st.integers(1, prod(sizes)))
    assert order(axes_of(sizes), seed, count) == order(axes_of(sizes), seed)[:count]


@pytest.mark.parametrize("name", ["ebgan-grid", "gan-grid"])
def test_the_grids_of_table_1_are_balanced_to_their_ends(name: str) -> None:
    sizes = [len(v) for v in SWEEPS[name].axes.values()]
    places = order(SWEEPS[name].axes)
    assert sorted(places) == list(range(prod(sizes)))
    for n, values in zip(sizes, columns(places, sizes), strict=True):
        counts = np.cumsum(np.eye(n, dtype=int)[values], axis=0)
        assert (counts.max(1) - counts.min(1)).max() <= 1


def unevenness(places: list[int], sizes: list[int]) -> float:
    """χ² of the pairs of values over its mean of independent draws, averaged over pairs of axes."""
    found = []
    at = columns(places, sizes)
    for i, j in combinations([a for a, n in enumerate(sizes) if n > 1], 2):
        cells = sizes[i] * sizes[j]
        counts = np.bincount(at[i] * sizes[j] + at[j], minlength=cells)
        even = len(places) / cells
        found.append(((counts - even) ** 2).sum() / even / (cells - 1))
    return float(np.mean(found))


@pytest.mark.parametrize(
    ("name", "count", "most"), [("ebgan-grid", 24, 0.4), ("gan-grid", 48, 0.2)]
)
def test_pairs_of_values_are_more_even_than_by_lot(name: str, count: int, most: float) -> None:
    axes = SWEEPS[name].axes
    sizes = [len(v) for v in axes.values()]
    lots = [np.random.default_rng(s).permutation(prod(sizes))[:count].tolist() for s in range(20)]
    by_lot = np.mean([unevenness(lot, sizes) for lot in lots])
    ours = [unevenness(order(axes, s, count), sizes) for s in range(10)]
    assert max(ours) < most * by_lot


def test_the_seed_decides() -> None:
    axes = SWEEPS["gan-grid"].axes
    assert order(axes, 3, 24) == order(axes, 3, 24)
    assert len({tuple(order(axes, s, 24)) for s in range(20)}) == 20
    # the first of a sample is no favoured trial
    assert len({order(axes, s, 1)[0] for s in range(50)}) > 40


def test_the_order_is_what_it_was() -> None:
    """Samples of earlier versions go on: their trials are those that this version chooses."""
    assert order(SWEEPS["ebgan-grid"].axes, 0, 6) == [470, 293, 250, 9, 116, 387]


def test_a_sample_has_the_values_of_the_axes() -> None:
    sweep = SWEEPS["gan-grid"]
    found = sample(sweep, 48, seed=1)
    everything = list(sweep.values())
    assert found == [everything[i] for i in order(sweep.axes, 1, 48)]
    for axis, values in sweep.axes.items():
        assert {v[axis] for v in found} == set(values)


def test_values_that_are_lists_stay_so() -> None:
    sweep = Sweep("s", "", "ebgan-digits", {"model.generator": ([64], [64, 64]), "seed": (0, 1)})
    assert sorted(sample(sweep, 4), key=str) == sorted(sweep.values(), key=str)


@pytest.mark.parametrize(
    ("count", "said"),
    [
        (0, "a sample of 0: give at least 1"),
        (-1, "a sample of -1: give at least 1"),
        (9, "margin-sweep has only 8 trials: give a sample smaller than 9"),
    ],
)
def test_a_sample_of_none_or_of_more_than_there_are_is_refused(count: int, said: str) -> None:
    with pytest.raises(SettingError, match=said):
        sample(SWEEPS["margin-sweep"], count)
