"""Chains end where the theory says: stationary laws of Langevin dynamics and of MALA."""

from math import pi, sqrt

import pytest
import torch
from torch import Tensor

from energan.samplers import langevin, mala
from energan.samplers.metropolis import jump

CHAINS = 100_000


def normal(x: Tensor) -> Tensor:
    return x.square().sum(1) / 2


def chains(seed: int, count: int = CHAINS) -> tuple[torch.Generator, Tensor]:
    g = torch.Generator().manual_seed(seed)
    return g, torch.randn(count, 1, generator=g)


def within(found: float, variance: float, count: int, sigmas: float = 4.5) -> bool:
    """Whether a variance measured on `count` normal draws is that of the theory."""
    return abs(found - variance) < sigmas * variance * sqrt(2 / count)


@pytest.mark.parametrize("eps", [0.2, 0.7, 1.5, 2.5])
def test_the_coupled_chain_has_variance_one_over_one_minus_a_quarter_eps(eps: float) -> None:
    g, x = chains(int(10 * eps))
    found = langevin(normal, x, steps=80, step_size=eps, generator=g).x
    assert within(float(found.var()), 1 / (1 - eps / 4), CHAINS)
    assert abs(float(found.mean())) < 4.5 / sqrt(CHAINS * (1 - eps / 4))


@pytest.mark.parametrize(("step", "noise"), [(0.1, 0.3), (0.5, 1.0), (1.2, 0.4)])
def test_the_decoupled_chain_has_the_variance_of_its_own_recursion(
    step: float, noise: float
) -> None:
    g, x = chains(1)
    found = langevin(normal, x, steps=80, step_size=step, noise=noise, generator=g).x
    assert within(float(found.var()), noise**2 / (1 - (1 - step) ** 2), CHAINS)


@pytest.mark.parametrize("eps", [0.2, 0.7, 1.5, 2.5])
def test_mala_has_variance_one_whatever_its_step(eps: float) -> None:
    g, x = chains(int(10 * eps) + 100)
    found = mala(normal, x, steps=60, step_size=eps, generator=g)
    assert within(float(found.x.var()), 1.0, CHAINS)
    assert found.acceptance is not None
    assert 0.5 < float(found.acceptance.mean()) < 1


def double_well(x: Tensor) -> Tensor:
    return (x.square() - 1).square().sum(1) + 0.3 * x.sum(1)


def moment(energy: object, power: int) -> float:
    """E x^power under exp(−U)/Z, by a sum over a grid."""
    grid = torch.linspace(-4, 4, 20_001, dtype=torch.float64)[:, None]
    weight = (-energy(grid)).exp()  # type: ignore[operator]
    return float((grid[:, 0] ** power * weight).sum() / weight.sum())


def test_mala_is_exact_on_a_double_well_where_langevin_is_not() -> None:
    g, x = chains(3)
    x = x.clamp(-1.5, 1.5)  # the quartic walls are steep: MALA is stuck where a step overshoots
    exact = mala(double_well, x, steps=300, step_size=0.08, generator=g).x.double()
    rough = langevin(double_well, x, steps=300, step_size=0.08, generator=g).x.double()
    for power in (1, 2, 4):
        away = abs(float((exact**power).mean()) - moment(double_well, power))
        assert away < 4.5 * float((exact**power).std()) / sqrt(CHAINS)
    off = abs(float((rough**2).mean()) - moment(double_well, 2))
    assert off > 6 * float((rough**2).std()) / sqrt(CHAINS)


WEIGHTS, CENTRES, WIDTH = torch.tensor([0.15, 0.6, 0.25]), torch.tensor([-2.0, 0.0, 2.2]), 0.6


def mixture(x: Tensor) -> Tensor:
    terms = (
        WEIGHTS.log() - (x - CENTRES).square() / (2 * WIDTH**2) - 0.5 * torch.tensor(2 * pi).log()
    )
    return -terms.logsumexp(1)


@pytest.mark.parametrize("kind", [langevin, mala])
def test_a_mixtures_weights_are_recovered_from_chains_that_start_in_one_mode(kind: object) -> None:
    """Langevin at a small step, whose own error is far below the weights' sampling error."""
    g = torch.Generator().manual_seed(5)
    count = 20_000
    x = torch.full((count, 1), 2.2)
    size = 0.02 if kind is langevin else 0.5
    found = kind(mixture, x, steps=2000 if kind is langevin else 400, step_size=size, generator=g)  # type: ignore[operator]
    # the shares between the lowest points of the density between modes, by numerical integration
    grid = torch.linspace(-6, 6, 24_001)[:, None]
    density = (-mixture(grid.float())).exp()
    edges = torch.tensor([-1.0, 1.1])
    for low, high in ((-9.0, edges[0]), (edges[0], edges[1]), (edges[1], 9.0)):
        true = float(density[(grid[:, 0] > low) & (grid[:, 0] <= high)].sum() / density.sum())
        share = float(((found.x > low) & (found.x <= high)).float().mean())
        assert abs(share - true) < 4.5 * sqrt(true * (1 - true) / count) + 0.003


def test_the_error_of_the_variance_falls_with_the_first_power_of_eps() -> None:
    """1/(1 − ε/4) − 1 ≈ ε/4: half the step, half the error."""
    errors = []
    for eps in (0.8, 0.4):
        g, x = chains(9, 400_000)
        errors.append(float(langevin(normal, x, steps=60, step_size=eps, generator=g).x.var()) - 1)
    assert errors[0] / errors[1] == pytest.approx(2.0 * (1 - 0.1) / (1 - 0.2), rel=0.15)


def far_apart(x: Tensor) -> Tensor:
    """Shares 0.8 and 0.2 of modes that no chain of short steps goes between."""
    terms = torch.tensor([0.8, 0.2]).log() - (x - torch.tensor([-3.0, 3.0])).square() / 0.02
    return -terms.logsumexp(1)


def test_jumps_bring_each_mode_its_share_where_steps_do_not() -> None:
    g = torch.Generator().manual_seed(2)
    x = torch.where(torch.arange(4000)[:, None] % 2 == 0, -3.0, 3.0)  # half and half
    still = mala(far_apart, x, steps=200, step_size=0.01, generator=g).x
    assert float((still < 0).float().mean()) == 0.5
    for _ in range(60):
        others = torch.rand(32, *x.shape, generator=g) * 8 - 4
        x = jump(far_apart, x, others, torch.rand(len(x), generator=g))
        x = mala(far_apart, x, steps=3, step_size=0.01, generator=g).x
    share = float((x < 0).float().mean())
    assert abs(share - 0.8) < 4.5 * sqrt(0.8 * 0.2 / 4000)
    for centre in (-3.0, 3.0):
        near = x[(x - centre).abs() < 1.5]
        assert within(float(near.var()), 0.01, len(near))
