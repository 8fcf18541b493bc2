"""A part of a sweep that stands for the whole: an order of all trials; a sample is its beginning.

Every beginning is as balanced on every axis as can be: no value of an axis occurs more than once
oftener than another. Pairs of values are balanced as far as a greedy choice gets, and among what is
equal there the trials lie apart, in the sense of the discrete discrepancy (Hickernell and Liu 2002,
Biometrika 89:893).

Why the order holds each trial once. Let P be the product of the sizes of the axes placed so far, so
that their values are known from t mod P and the other way round; n the size of the next axis, and
L = lcm(P, n). Its value at t, for t mod P·n, is (h(t mod L) + ⌊t/L⌋) mod n with h(t) = t mod n, or,
where n divides P, any h that goes through all n values in each n steps. The value is then balanced,
and with t mod P it tells t mod P·n: of the n such t no two have the same value.
"""

import hashlib
from collections.abc import Mapping, Sequence
from math import lcm, prod
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from energan.errors import SettingError
from energan.io.text import plural
from energan.sweeps.grid import Sweep, Values

Places = NDArray[np.int64]


def sample(sweep: Sweep, count: int, seed: int = 0) -> list[Values]:
    """`count` of the sweep's trials; a larger sample of the same seed begins with them.

    Raises SettingError if there are not so many, or for fewer than 1.
    """
    if count < 1:
        raise SettingError(f"a sample of {count}: give at least 1")
    if count > sweep.count:
        raise SettingError(
            f"{sweep.name} has only {plural(sweep.count, 'trial')}: give a sample smaller than "
            f"{count}"
        )
    names, values = list(sweep.axes), list(sweep.axes.values())
    found = np.unravel_index(order(sweep.axes, seed, count), [len(v) for v in values])
    return [
        {name: v[int(i)] for name, v, i in zip(names, values, where, strict=True)}
        for where in zip(*found, strict=True)
    ]


def order(axes: Mapping[str, Sequence[Any]], seed: int = 0, count: int | None = None) -> list[int]:
    """Trials' places in the grid, where the last axis varies fastest: all, or the first `count`.

    Hashes of the seed decide what is open: the order is the same on every machine.
    """
    sizes = [len(values) for values in axes.values()]
    wanted = prod(sizes) if count is None else count
    turns = _turns(sizes, seed)
    free = lcm(*(sizes[axis] for axis, period in turns if period % sizes[axis] == 0))
    times = np.arange(-(-wanted // free) * free)  # whole permutations, whatever the count
    placed: dict[int, Places] = {}
    for axis, period in turns:
        n = sizes[axis]
        whole = lcm(period, n)
        if whole == period:
            others = [(sizes[a], found) for a, found in placed.items()]
            start = _spread(n, others, min(period, len(times)), f"{seed} {axis}")[times % whole]
        else:
            start = times % whole
        values = (start + times % (period * n) // whole) % n
        placed[axis] = _lot(n, f"{seed} {axis}")[values]
    columns = [placed[axis][:wanted] for axis in range(len(sizes))]
    return [int(i) for i in np.ravel_multi_index(columns, sizes)]


def _turns(sizes: Sequence[int], seed: int) -> list[tuple[int, int]]:
    """The axes as they are placed, each with the product of the sizes before it: first those that
    leave no choice, the larger before the smaller."""
    lot, period = _lot(len(sizes), f"{seed} axes"), 1
    left, turns = set(range(len(sizes))), []
    while left:
        axis = min(left, key=lambda a: (period % sizes[a] == 0, -sizes[a], lot[a]))
        turns.append((axis, period))
        left.remove(axis)
        period *= sizes[axis]
    return turns


def _spread(n: int, others: Sequence[tuple[int, Places]], count: int, lot: str) -> Places:
    """h of an axis of size n at t = 0 to count − 1, a multiple of n.

    Each n of them are the permutation that makes pairs with the other axes' values most even; χ² of
    the pairs decides, then the distance to trials before, then chance.
    """
    found = np.zeros(count, dtype=np.int64)
    seen = [np.zeros((size, n)) for size, _ in others]  # pairs so far
    chance = np.random.RandomState(int.from_bytes(hashlib.sha256(lot.encode()).digest()[:4]))
    for at in range(0, count, n):
        now = slice(at, at + n)
        pairs, alike = np.zeros((n, n)), np.ones((n, at))
        for (size, values), counts in zip(others, seen, strict=True):
            pairs += size * counts[values[now]]
            alike *= 1 + size * (values[now, None] == values[None, :at])
        near = alike @ (found[:at, None] == np.arange(n))  # (position, value)
        cost = pairs + near / (1 + near.max()) + 1e-6 * chance.rand(n, n)
        found[now] = linear_sum_assignment(cost)[1]
        for (_, values), counts in zip(others, seen, strict=True):
            np.add.at(counts, (values[now], found[now]), 1)
    return found


def _lot(n: int, lot: str) -> Places:
    """0 to n − 1, shuffled by a hash, which is the same with every version of a library."""
    keys = [hashlib.sha256(f"{lot} {i}".encode()).digest() for i in range(n)]
    return np.array(sorted(range(n), key=keys.__getitem__), dtype=np.int64)
