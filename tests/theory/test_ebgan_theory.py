"""Zhao et al. 2017, section 2.2 and appendix A, on discrete spaces, by linear programming.

V(G, D) = sum p_data D + sum p_G [m - D]^+ is minimised over D >= 0, U(G, D) = sum p_G D over p_G in
the simplex. A distribution is a vector of counts: a batch in which state x stands counts[x] times
has exactly that distribution, so the library's own hinge on that batch is exactly V.

With t standing for [m - D]^+ (t >= m - D, t >= 0) the discriminator's problem is a linear program
in (D, t), with no bound on D from above. The generator can do no better with p_G exactly where all
of p_G's support is in argmin D. A pair is an equilibrium where both hold.
"""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import OptimizeResult, linprog

from energan.objectives import hinge

M = 1.7
SEEDS = range(8)


def v(data: np.ndarray, fake: np.ndarray, d: np.ndarray, m: float = M) -> float:
    """V(G, D) by the library's hinge on the batches that the counts describe."""
    energy = torch.tensor(d, dtype=torch.float64)
    real = energy.repeat_interleave(torch.tensor(data))
    return hinge(real, energy.repeat_interleave(torch.tensor(fake)), m).item()


def share(counts: np.ndarray) -> np.ndarray:
    return counts / counts.sum()


def draw(seed: int, empty: int = 0, states: int = 6) -> tuple[np.ndarray, np.ndarray]:
    """Counts of p_data, its last `empty` states impossible, and of some other p_G."""
    rng = np.random.default_rng(seed)
    data = rng.integers(1, 9, states)
    data[states - empty :] = 0
    fake = rng.integers(0, 9, states)
    fake[0] += 1
    assert not np.allclose(share(data), share(fake))
    return data, fake


def solve(
    data: np.ndarray,
    fake: np.ndarray,
    *,
    generator_content: bool,
    value: float | None = None,
    direction: np.ndarray | None = None,
    at_most: float | None = None,
) -> OptimizeResult:
    """Over D >= 0, minimise V, or `direction` . D.

    generator_content: require support(p_G) in argmin D. value: require V(G, D) to be this.
    at_most: require D <= this.
    """
    n = len(data)
    p, q = share(data), share(fake)
    of_v = np.concatenate([p, q])
    rows, limits = [np.hstack([-np.eye(n), -np.eye(n)])], [np.full(n, -M)]  # t >= m - D
    if generator_content:  # D_y <= D_x for y in the support and every x
        for y in np.flatnonzero(fake):
            order = np.zeros((n, 2 * n))
            order[:, y] += 1
            order[np.arange(n), np.arange(n)] -= 1
            rows.append(order)
            limits.append(np.zeros(n))
    return linprog(
        of_v if direction is None else np.concatenate([direction, np.zeros(n)]),
        np.vstack(rows),
        np.concatenate(limits),
        None if value is None else of_v[None],
        None if value is None else [value],
        bounds=[(0, at_most)] * n + [(0, None)] * n,
    )


def best_for_d(data: np.ndarray, fake: np.ndarray) -> float:
    """min over D >= 0 of V(G, D)."""
    found = solve(data, fake, generator_content=False)
    assert found.status == 0
    d = found.x[: len(data)]
    assert v(data, fake, d) == pytest.approx(found.fun, abs=1e-9)  # the program is the hinge's
    return found.fun


def best_for_g(d: np.ndarray) -> float:
    """min over p_G in the simplex of U(G, D) = sum p_G D."""
    return linprog(d, A_eq=np.ones((1, len(d))), b_eq=[1.0], bounds=(0, None)).fun


def is_equilibrium(data: np.ndarray, fake: np.ndarray, d: np.ndarray) -> bool:
    """Whether neither player gains by moving (eqs 3 and 4)."""
    d_content = v(data, fake, d) <= best_for_d(data, fake) + 1e-9
    g_content = (share(fake) * d).sum() <= best_for_g(d) + 1e-9
    return d_content and g_content


# --- lemma 1 --------------------------------------------------------------------------------------


def phi(y: float, a: int, b: int, m: float) -> float:
    """(a y + b [m - y]^+) / n as a hinge: a of n real energies are y, the others 0; b of n fake
    ones are y, the others beyond the margin."""
    n = max(a, b, 1)
    real = torch.tensor([y] * a + [0.0] * (n - a), dtype=torch.float64)
    fake = torch.tensor([y] * b + [m + 1] * (n - b), dtype=torch.float64)
    return hinge(real, fake, m).item()


@given(
    a=st.integers(0, 12),
    b=st.integers(0, 12),
    m=st.floats(0.01, 20),
    share_of_m=st.floats(0, 5),
)
@settings(max_examples=200, deadline=None)
def test_lemma_1_the_minimum_is_attained_at_m_or_at_0(a, b, m, share_of_m):
    """phi(y) = a y + b [m - y]^+ is nowhere below phi(m) if a < b, nowhere below phi(0) if not."""
    least = phi(m if a < b else 0.0, a, b, m)
    n = max(a, b, 1)
    assert least == pytest.approx(m * min(a, b) / n, abs=1e-12)
    assert phi(share_of_m * m, a, b, m) >= least - 1e-9 * m


@pytest.mark.parametrize(
    ("a", "b", "also_minimal"),
    [(0, 3, [M, 2 * M, 9.0]), (3, 3, [0.0, 0.4 * M, M]), (0, 0, [0.0, 0.4 * M, 9.0])],
)
def test_lemma_1_the_minimum_need_not_be_unique(a, b, also_minimal):
    """Where a = 0 every y >= m will do, where a = b every y in [0, m]."""
    least = min(phi(y, a, b, M) for y in np.linspace(0, 3 * M, 301))
    for y in also_minimal:
        assert phi(y, a, b, M) == pytest.approx(least, abs=1e-12)


@pytest.mark.parametrize(("a", "b", "only"), [(1, 4, M), (4, 1, 0.0)])
def test_lemma_1_the_minimum_is_unique_otherwise(a, b, only):
    """For 0 < a < b nothing but m, for a > b nothing but 0, attains it."""
    ys = np.linspace(0, 3, 301) * M
    values = np.array([phi(y, a, b, M) for y in ys])
    np.testing.assert_allclose(ys[values <= values.min() + 1e-9], [only])


# --- the discriminator's best response ------------------------------------------------------------


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("empty", [0, 2])
def test_equation_10_the_value_of_the_best_discriminator(seed, empty):
    """min_D V = m + m sum over p_data < p_G of (p_data - p_G), never more than m."""
    data, fake = draw(seed, empty)
    p, q = share(data), share(fake)
    expected = M + M * np.minimum(p - q, 0).sum()
    assert best_for_d(data, fake) == pytest.approx(expected, abs=1e-9)
    assert v(data, fake, np.where(p < q, M, 0.0)) == pytest.approx(expected, abs=1e-9)
    assert expected < M


@pytest.mark.parametrize("seed", SEEDS)
def test_an_energy_above_the_margin_can_be_cut_to_it(seed):
    """V(min(D, m)) <= V(D), strictly where data are above m, and G's best responses remain."""
    data, fake = draw(seed)
    d = np.random.default_rng(seed).uniform(0, 3 * M, len(data))
    d[0] = 2 * M
    assert v(data, fake, np.minimum(d, M)) < v(data, fake, d) - 1e-6
    lowest = d == d.min()
    cut = np.minimum(d, M)
    assert (cut[lowest] == cut.min()).all()


# --- theorem 1 ------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("gamma", [0.0, 0.3 * M, M])
def test_theorem_1_the_data_and_a_flat_energy_are_an_equilibrium(seed, gamma):
    """At p_G = p_data and D = gamma in [0, m] both best responses hold and V = m."""
    data, _ = draw(seed)
    flat = np.full(len(data), gamma)
    assert v(data, 2 * data, flat) == pytest.approx(M, abs=1e-12)
    assert best_for_d(data, 2 * data) == pytest.approx(M, abs=1e-9)
    assert best_for_g(flat) == pytest.approx(gamma, abs=1e-9)
    assert is_equilibrium(data, 2 * data, flat)
    assert not is_equilibrium(data, 2 * data, np.full(len(data), 1.2 * M))  # D* <= m


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("empty", [0, 2])
def test_theorem_1_no_other_generator_has_an_equilibrium(seed, empty):
    """For p_G other than p_data the equilibrium conditions on D have no common solution.

    Where G is content V is at least m, and D could have m (1 - TV(p_data, p_G)): what the best
    content D gives away is exactly m times the total variation.
    """
    data, fake = draw(seed, empty)
    least = best_for_d(data, fake)
    assert solve(data, fake, generator_content=True, value=least).status == 2  # infeasible
    content = solve(data, fake, generator_content=True)
    variation = np.abs(share(data) - share(fake)).sum() / 2
    assert content.fun - least == pytest.approx(M * variation, abs=1e-8)


def test_theorem_1_even_the_smallest_difference_has_none():
    """One sample of fifty moved between two states is enough, and back again it is not."""
    data = np.array([10, 20, 15, 5])
    moved = np.array([10, 19, 16, 5])
    least = best_for_d(data, moved)
    assert solve(data, moved, generator_content=True, value=least).status == 2
    assert solve(data, data, generator_content=True, value=best_for_d(data, data)).status == 0


# --- theorem 2 ------------------------------------------------------------------------------------


def extremes(data: np.ndarray, direction: np.ndarray, at_most: float | None = None):
    """The least and the greatest of direction . D over all equilibria (p_data, D)."""
    for sign in (1, -1):
        found = solve(
            data,
            data,
            generator_content=True,
            value=M,
            direction=sign * direction,
            at_most=at_most,
        )
        yield np.inf if found.status == 3 else sign * found.fun  # 3: unbounded


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("empty", [0, 2])
def test_theorem_2_the_energy_is_flat_where_there_is_data(seed, empty):
    """Over all equilibria D* differs nowhere on the support, and its level is all of [0, m]."""
    data, _ = draw(seed, empty)
    unit = np.eye(len(data))
    for x in np.flatnonzero(data)[1:]:
        np.testing.assert_allclose(list(extremes(data, unit[x] - unit[0])), 0, atol=1e-8)
    np.testing.assert_allclose(list(extremes(data, unit[0])), [0, M], atol=1e-8)


@pytest.mark.parametrize("seed", SEEDS)
def test_theorem_2_footnote_where_there_is_no_data(seed):
    """Where p_data = 0, D* is free from gamma upwards, and below gamma it is no equilibrium.

    Within [0, m], as the footnote has it, D* there takes every value in [gamma, m]; over all gamma
    that is all of [0, m].
    """
    data, _ = draw(seed, empty=2)
    unit = np.eye(len(data))
    above = unit[-1] - unit[0]  # D*(empty) - gamma
    np.testing.assert_allclose(list(extremes(data, above, at_most=M)), [0, M], atol=1e-8)
    np.testing.assert_allclose(list(extremes(data, unit[-1], at_most=M)), [0, M], atol=1e-8)
    least, greatest = extremes(data, above)
    assert least == pytest.approx(0, abs=1e-8)
    assert greatest == np.inf  # V does not count the state, so not even m is a bound
    gamma = 0.5 * M
    d = np.where(data > 0, gamma, 0.8 * M)
    assert is_equilibrium(data, data, d)
    d[-1] = 3 * M
    assert is_equilibrium(data, data, d)
    d[-1] = 0.4 * M  # in [0, m], but G would rather put everything there
    assert v(data, data, d) == pytest.approx(M, abs=1e-12)
    assert best_for_g(d) < (share(data) * d).sum() - 1e-6
    assert not is_equilibrium(data, data, d)


@pytest.mark.parametrize("seed", SEEDS)
def test_theorem_2_proof_moving_mass_to_lower_energy_gains(seed):
    """An energy not constant on the support is none: mass moved to S = {D <= C} lowers U by
    sum (p_data - p_G0) (D - C) > 0 (eqs 21-24, with p_G0 above p_data on S)."""
    data, _ = draw(seed)
    rng = np.random.default_rng(seed)
    d = rng.uniform(0, M, len(data))
    p = share(data)
    c = np.sort(d)[len(d) // 2 - 1]
    low = d <= c
    moved = p * np.where(low, 1.0, 0.5)
    moved[low] += (1 - moved.sum()) / low.sum()
    gain = (p * d).sum() - (moved * d).sum()
    assert moved.sum() == pytest.approx(1)
    assert gain == pytest.approx(((p - moved) * (d - c)).sum(), abs=1e-12)
    assert gain > 1e-3
    assert not is_equilibrium(data, data, d)
