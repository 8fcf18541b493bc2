"""R̂ and effective sample size against loops over the definitions, and of chains with known ones."""

from math import log10, sqrt
from statistics import NormalDist

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.signal import lfilter

from energan.metrics import effective_sample_size, split_rhat

Draws = NDArray[np.float64]


def autoregressive(rho: float, steps: int, chains: int, seed: int = 0) -> Draws:
    """x ← ρx + √(1 − ρ²)·α, of N(0, 1) from the start."""
    g = np.random.default_rng(seed)
    noise = sqrt(1 - rho**2) * g.standard_normal((steps, chains))
    noise[0] /= sqrt(1 - rho**2)
    return lfilter([1], [1, -rho], noise, axis=0)  # type: ignore[no-any-return]


# --- written once more, as the papers print it ----------------------------------------------------


def halves(x: Draws) -> list[list[float]]:
    n = len(x) // 2
    return [list(x[s, j]) for j in range(x.shape[1]) for s in (slice(n), slice(len(x) - n, None))]


def scores(chains: list[list[float]]) -> list[list[float]]:
    every = [v for chain in chains for v in chain]
    place = {v: sum(w < v for w in every) + (1 + sum(w == v for w in every)) / 2
             for v in set(every)}  # fmt: skip
    normal = NormalDist()
    return [[normal.inv_cdf((place[v] - 3 / 8) / (len(every) + 1 / 4)) for v in c] for c in chains]


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


def variance(values: list[float]) -> float:
    return sum((v - mean(values)) ** 2 for v in values) / (len(values) - 1)


def naive_rhat(chains: list[list[float]]) -> float:
    n = len(chains[0])
    within, between = mean([variance(c) for c in chains]), n * variance([mean(c) for c in chains])
    return sqrt(((n - 1) / n * within + between / n) / within)


def naive_ess(chains: list[list[float]]) -> float:
    n, m = len(chains[0]), len(chains)
    within = mean([variance(c) for c in chains])
    plus = (n - 1) / n * within + (variance([mean(c) for c in chains]) if m > 1 else 0)

    def rho(t: int) -> float:
        lagged = [mean(c) for c in chains]
        covariances = [
            sum((c[i] - mu) * (c[i + t] - mu) for i in range(n - t)) / n
            for c, mu in zip(chains, lagged, strict=True)
        ]
        return 1 - (within - mean(covariances)) / plus if t else 1.0

    total, least, t = 0.0, float("inf"), 0
    while t + 1 < n:
        even = rho(t)
        pair = even + rho(t + 1)
        if pair <= 0:
            total += max(even, 0) / 2
            break
        least = min(least, pair)
        total += least
        t += 2
    return n * m / max(2 * total - 1, 1 / log10(n * m))


@pytest.mark.parametrize("seed", range(6))
def test_they_are_what_the_definitions_say(seed: int) -> None:
    g = np.random.default_rng(seed)
    x = autoregressive(g.uniform(-0.6, 0.9), int(g.integers(8, 41)), int(g.integers(1, 5)), seed)
    x += g.uniform(0, 1) * np.arange(x.shape[1])
    if seed % 2:
        x = np.round(x * 2) / 2  # with equal ones
    chains = halves(x)
    middle = float(np.median(np.array(chains)))
    away = [[abs(v - middle) for v in c] for c in chains]
    expected = max(naive_rhat(scores(chains)), naive_rhat(scores(away)))
    assert split_rhat(x) == pytest.approx(expected, rel=1e-9)
    assert effective_sample_size(torch.from_numpy(x)) == pytest.approx(
        naive_ess(scores(chains)), rel=1e-9
    )


# --- by what is known -----------------------------------------------------------------------------


@pytest.mark.parametrize("rho", [-0.5, 0.0, 0.5, 0.9])
def test_the_effective_size_of_an_autoregression(rho: float) -> None:
    """N(1 − ρ)/(1 + ρ), of its mean."""
    x = autoregressive(rho, 4000, 4)
    assert effective_sample_size(x) == pytest.approx(16_000 * (1 - rho) / (1 + rho), rel=0.15)
    assert split_rhat(x) < 1.01


def test_chains_that_differ_are_told() -> None:
    x = autoregressive(0.3, 500, 4)
    apart, wide, drifting = x.copy(), x.copy(), x + np.linspace(0, 2, 500)[:, None]
    apart[:, 0] += 3
    wide[:, 0] *= 5
    for odd in (apart, wide, drifting):
        assert split_rhat(odd) > 1.05
    assert effective_sample_size(apart) < 20
    cauchy = np.random.default_rng(0).standard_cauchy((500, 4))  # without a moment
    assert split_rhat(cauchy) < 1.02
    assert effective_sample_size(cauchy) == pytest.approx(2000, rel=0.3)


def test_what_says_nothing() -> None:
    assert np.isnan(effective_sample_size(np.ones((8, 2))))
    with pytest.raises(ValueError, match="at least 4"):
        split_rhat(np.zeros((3, 2)))
    with pytest.raises(ValueError, match="not finite"):
        effective_sample_size(np.full((9, 2), np.nan))
