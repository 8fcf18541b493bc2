"""Goodfellow et al. 2014, section 4, on discrete spaces: the product's losses, solved numerically.

A distribution on n states is a vector of counts: a batch in which state x stands counts[x] times
has exactly that distribution, so the library's functions on that batch are the exact expectations.
"""

import math

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from scipy.special import log_softmax
from scipy.stats import entropy

from energan.objectives import logistic, minimax, non_saturating

SEEDS = range(6)


def two_distributions(seed: int, states: int = 7) -> tuple[torch.Tensor, torch.Tensor]:
    """Counts of p_data and p_g, every state possible under both, of different batch sizes."""
    rng = np.random.default_rng(seed)
    data = rng.integers(1, 30, states)
    fake = rng.integers(1, 30, states)
    return torch.tensor(data), torch.tensor(fake)


def share(counts: torch.Tensor) -> np.ndarray:
    return (counts / counts.sum().double()).numpy()


def energy_loss(u: torch.Tensor, data: torch.Tensor, fake: torch.Tensor) -> torch.Tensor:
    """The library's logistic loss of the free energies u (states,), exact in expectation."""
    return logistic(u.repeat_interleave(data), u.repeat_interleave(fake))


def best_energy(data: torch.Tensor, fake: torch.Tensor, seed: int) -> tuple[np.ndarray, float]:
    """Free energies that minimise the logistic loss, by BFGS from a random start, and its value."""

    def loss(values: np.ndarray) -> tuple[float, np.ndarray]:
        u = torch.tensor(values, requires_grad=True)
        total = energy_loss(u, data, fake)
        total.backward()
        return total.item(), u.grad.numpy()

    start = np.random.default_rng(seed).normal(0, 3, len(data))
    found = minimize(loss, start, jac=True, method="BFGS", options={"gtol": 1e-10})
    return found.x, found.fun


def c_of(data: np.ndarray, fake: np.ndarray) -> float:
    """C(G) = max_D V(D, G) by the formula of theorem 1, with scipy's KL."""
    middle = (data + fake) / 2
    return -math.log(4) + entropy(data, middle) + entropy(fake, middle)


def test_the_counts_give_exact_expectations():
    """The logistic loss of a batch with repeated states is -sum p_data log D - sum p_g log(1-D)."""
    data, fake = two_distributions(0)
    u = torch.randn(7, dtype=torch.float64)
    d = torch.sigmoid(-u).numpy()
    expected = -(share(data) * np.log(d)).sum() - (share(fake) * np.log(1 - d)).sum()
    assert energy_loss(u, data, fake).item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("seed", SEEDS)
def test_proposition_1_the_best_discriminator(seed):
    """D* = p_data / (p_data + p_g), from any start."""
    data, fake = two_distributions(seed)
    u, _ = best_energy(data, fake, seed)
    p, q = share(data), share(fake)
    np.testing.assert_allclose(torch.sigmoid(-torch.tensor(u)).numpy(), p / (p + q), atol=1e-6)


@pytest.mark.parametrize("seed", SEEDS)
def test_theorem_1_the_value_at_the_best_discriminator(seed):
    """C(G) = -log 4 + KL(p_data || mix) + KL(p_g || mix), more than -log 4 where they differ."""
    data, fake = two_distributions(seed)
    _, loss = best_energy(data, fake, seed)
    assert -loss == pytest.approx(c_of(share(data), share(fake)), abs=1e-9)
    assert -loss > -math.log(4) + 1e-4


@pytest.mark.parametrize("seed", SEEDS)
def test_theorem_1_the_minimum_is_at_the_data(seed):
    """At p_g = p_data, even from batches of other sizes, C is -log 4 and D* is 1/2."""
    data, _ = two_distributions(seed)
    u, loss = best_energy(data, 3 * data, seed)
    assert -loss == pytest.approx(-math.log(4), abs=1e-9)
    np.testing.assert_allclose(u, 0, atol=1e-6)


def test_theorem_1_is_twice_the_jensen_shannon_divergence():
    """C + log 4 is 2 JSD: symmetric, from 0 to 2 log 2, which distributions apart attain."""
    data, fake = two_distributions(1)
    _, there = best_energy(data, fake, 0)
    _, back = best_energy(fake, data, 1)
    assert there == pytest.approx(back, abs=1e-9)
    apart = torch.tensor([3, 4, 0, 0]), torch.tensor([0, 0, 1, 5])
    certain = torch.tensor([-60.0, -60.0, 60.0, 60.0], dtype=torch.float64)
    value = -energy_loss(certain, *apart)  # the supremum, D = 1 on data and 0 on fakes
    assert value.item() == pytest.approx(-math.log(4) + 2 * math.log(2), abs=1e-12)


def test_the_two_generator_losses_have_the_stated_forms():
    """minimax is E log(1 - D), non-saturating -E log D; the first is the game's own fake term."""
    u = torch.randn(3, 50, dtype=torch.float64) * 3
    real = torch.randn(3, 40, dtype=torch.float64)
    d = 1 / (1 + np.exp(u.numpy()))
    np.testing.assert_allclose(minimax(u).numpy(), np.log(1 - d).mean(-1), rtol=1e-9)
    np.testing.assert_allclose(non_saturating(u).numpy(), -np.log(d).mean(-1), rtol=1e-9)
    # V(D, G) = E log D(x) + E log(1 - D(G(z))) = -logistic, and G's part of it is minimax
    d_real = 1 / (1 + np.exp(real.numpy()))
    value = np.log(d_real).mean(-1) + minimax(u).numpy()
    np.testing.assert_allclose(-logistic(real, u).numpy(), value, rtol=1e-9)


def test_the_losses_stay_exact_where_d_is_0_or_1():
    """At U = 300 a float32 D is exactly 0 and its logarithm infinite; the library's is -300."""
    u = torch.tensor([300.0])
    assert torch.sigmoid(-u).log().isinf().all()
    assert non_saturating(u).item() == 300
    assert minimax(-u).item() == -300
    assert logistic(u, -u).item() == 600


@pytest.mark.parametrize("u", [-12.0, -1.0, 0.0, 2.0, 8.0, 15.0])
def test_minimax_saturates_where_d_wins(u):
    """dL/dU is D for minimax and 1 - D for non-saturating: their ratio is D / (1 - D) = e^-U."""

    def slope(loss) -> float:
        energy = torch.tensor([u], dtype=torch.float64, requires_grad=True)
        loss(energy).backward()
        return energy.grad.item()

    d = 1 / (1 + math.exp(u))
    assert slope(minimax) == pytest.approx(d, rel=1e-9)
    assert slope(non_saturating) == pytest.approx(1 - d, rel=1e-9)
    assert slope(minimax) / slope(non_saturating) == pytest.approx(math.exp(-u), rel=1e-9)


def generator_gradient(logits: np.ndarray, p: np.ndarray, loss, through_d: bool) -> np.ndarray:
    """Gradient in p_g's logits of E_{p_g} loss, D at its optimum for this p_g.

    loss is applied state by state (batches of one), so that the weights can be any p_g.
    through_d: whether D* also varies with p_g, as it does in C(G).
    """
    theta = torch.tensor(logits, requires_grad=True)
    q = theta.softmax(0)
    u = q.log() - torch.tensor(p).log()  # D* = p / (p + q) = sigmoid(-u): proposition 1
    u = u if through_d else u.detach()
    value = (q * loss(u[:, None])).sum()
    if through_d:
        value = value - (torch.tensor(p) * non_saturating(u[:, None])).sum()  # + E log D*(x)
    value.backward()
    return theta.grad.numpy()


@pytest.mark.parametrize("seed", SEEDS)
def test_proposition_2_a_step_against_the_best_d_descends_c(seed):
    """The gradient of V in p_g with D* held fixed is that of C(G) (the proof's subderivative)."""
    rng = np.random.default_rng(seed)
    p, logits = rng.dirichlet(np.ones(6)), rng.normal(0, 1, 6)
    held = generator_gradient(logits, p, minimax, through_d=False)
    whole = generator_gradient(logits, p, minimax, through_d=True)
    np.testing.assert_allclose(held, whole, atol=1e-12)
    # and of C by its formula, by central differences
    h = 1e-5
    for i, step in enumerate(np.eye(6) * h):
        up = c_of(p, np.exp(log_softmax(logits + step)))
        down = c_of(p, np.exp(log_softmax(logits - step)))
        assert held[i] == pytest.approx((up - down) / (2 * h), abs=1e-8)


@pytest.mark.parametrize("loss", [minimax, non_saturating])
@pytest.mark.parametrize("seed", [0, 1])
def test_proposition_2_p_g_converges_to_the_data(loss, seed):
    """Small steps on p_g with D at its optimum: C falls at every step, p_g -> p_data, D -> 1/2."""
    rng = np.random.default_rng(seed)
    p = rng.dirichlet(np.full(5, 3.0))
    logits = rng.normal(0, 2, 5)
    before = c_of(p, np.exp(log_softmax(logits)))
    assert before > -math.log(4) + 0.01
    for _ in range(500):
        logits -= 6.0 * generator_gradient(logits, p, loss, through_d=False)
        after = c_of(p, np.exp(log_softmax(logits)))
        assert after <= before + 1e-12
        before = after
    q = np.exp(log_softmax(logits))
    np.testing.assert_allclose(q, p, atol=1e-4)
    np.testing.assert_allclose(p / (p + q), 0.5, atol=1e-3)
    assert before == pytest.approx(-math.log(4), abs=1e-7)


@pytest.mark.parametrize("loss", [minimax, non_saturating])
def test_both_generator_losses_rest_at_the_data_and_nowhere_else(loss):
    """At p_g = p_data the gradient of either is 0 in all directions; elsewhere it is not."""
    rng = np.random.default_rng(3)
    p = rng.dirichlet(np.ones(6))
    at_data = generator_gradient(np.log(p), p, loss, through_d=False)
    elsewhere = generator_gradient(rng.normal(0, 1, 6), p, loss, through_d=False)
    np.testing.assert_allclose(at_data, 0, atol=1e-15)
    assert np.abs(elsewhere).max() > 1e-3
