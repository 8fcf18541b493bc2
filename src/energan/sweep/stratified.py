"""A part of a sweep that stands for the whole: an order of all trials, of which a sample is a start.

Trials are taken one by one. The next has on each axis, where one is left, a value that was taken
least often; among those, the pairs of values taken least often, in the sense of χ²; among those,
the greatest distance from what was taken, in the sense of the discrete discrepancy (Hickernell and
Liu 2002, Biometrika 89:893); among those, chance decides.
"""

import hashlib
from collections.abc import Mapping, Sequence
from itertools import product
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from energan.errors import SettingError
from energan.sweep.grid import Sweep, Values


def sample(sweep: Sweep, count: int, seed: int = 0) -> list[Values]:
    """`count` of the sweep's trials; with more of them, of the same seed, these come first.

    Raises SettingError if there are not so many.
    """
    if not 1 <= count <= sweep.count:
        raise SettingError(
            f"{sweep.name} has {sweep.count} trials: a sample is of 1 to {sweep.count}, not {count}"
        )
    names, values = list(sweep.axes), list(sweep.axes.values())
    sizes = [len(v) for v in values]
    return [
        dict(zip(names, (v[i] for v, i in zip(values, where, strict=True)), strict=True))
        for where in _places(order(sweep.axes, seed, count), sizes)
    ]


def order(axes: Mapping[str, Sequence[Any]], seed: int = 0, count: int | None = None) -> list[int]:
    """All trials' places in the grid, the first `count` of them; the last axis varies fastest.

    The same on every machine: whole numbers alone decide, and a hash of the seed.
    """
    sizes = [len(values) for values in axes.values()]
    total = prod(sizes)
    grid = np.array(list(product(*(range(n) for n in sizes))), dtype=np.int64).reshape(total, -1)
    lot = _shuffled(total, seed)
    grid = grid[lot]
    weights = np.array(sizes, dtype=np.int64)
    taken = [np.zeros(n, dtype=np.int64) for n in sizes]
    over = np.zeros(total, dtype=np.int64)  # axes where the value was taken oftener than the least
    pairs = np.zeros(total, dtype=np.int64)
    apart = np.zeros(total, dtype=np.float64)
    left = np.ones(total, dtype=bool)
    found: list[int] = []
    for _ in range(total if count is None else count):
        at = _least(left, over, pairs, apart)
        left[at] = False
        found.append(int(lot[at]))
        same = grid == grid[at]  # (trials, axes)
        shared = np.where(same, weights, 0)
        one, two = shared.sum(1), (shared**2).sum(1)
        pairs += (one**2 - two) // 2
        apart += np.prod(shared + 1.0, axis=1)
        over[:] = 0
        for axis, counts in enumerate(taken):
            counts[grid[at, axis]] += 1
            over += (counts > counts.min())[grid[:, axis]]
    return found


def _least(left: NDArray[np.bool_], *costs: NDArray[Any]) -> int:
    """The first place still left whose costs are least, the first cost before the others."""
    places = np.flatnonzero(left)
    for cost in costs:
        here = cost[places]
        places = places[here == here.min()]
    return int(places[0])


def _shuffled(total: int, seed: int) -> NDArray[np.int64]:
    """0 to total − 1, by lot; a library's generator may change with its version, a hash does not."""
    keys = [hashlib.sha256(f"{seed} {place}".encode()).digest() for place in range(total)]
    return np.array(sorted(range(total), key=keys.__getitem__), dtype=np.int64)


def _places(trials: Sequence[int], sizes: Sequence[int]) -> list[tuple[int, ...]]:
    """Of each trial the place of its value on each axis."""
    found = np.unravel_index(np.array(trials), sizes)
    return [tuple(int(i) for i in row) for row in np.stack(found, axis=1)]
