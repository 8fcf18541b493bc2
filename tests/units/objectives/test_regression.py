"""Regressed gradients against their closed forms, and the pairs of optimal transport."""

from itertools import permutations

import pytest
import torch
from torch import Tensor

from energan.core import Batch, Context, Draw, Energy, Objective, Randomness, Scored, Stream
from energan.objectives.regression import (
    DenoisingScoreMatching,
    EnergyMatching,
    EquilibriumMatching,
    GradientRegression,
    transport,
)

SCALE = 0.5
"""Standard deviation of the data, in each coordinate."""


class Bowl(Energy):
    """U(x) = a‖x‖²/2, so that ∇U(x) = a·x; with two members (M, B)."""

    def __init__(self, a: float | list[float]) -> None:
        super().__init__()
        self.a = torch.nn.Parameter(torch.tensor(a, dtype=torch.float64))

    def forward(self, x: Tensor, condition: Tensor | None = None, *, stream: Stream) -> Scored:
        return Scored(self.a.unsqueeze(-1) * x.square().sum(-1) / 2 if self.a.dim()
                      else self.a * x.square().sum(-1) / 2)  # fmt: skip


def context(members: int = 1, **hyper: float) -> Context:
    values = {name: torch.full((members, 1), value) for name, value in hyper.items()}
    draws = Randomness(range(members), dtype=torch.float64).at("test")
    return Context(0, values, draws)


def best_slope(objective: GradientRegression, data: Tensor) -> float:
    """a of the line g = a·x that fits the weighted targets best, on the scale of ∇U."""
    to = objective.target(data, context())
    weighted = to.weight.unsqueeze(-1) * to.x
    return float((weighted * to.gradient).sum() / (weighted * to.x).sum()) / objective.scale


def gaussian(count: int) -> Tensor:
    return torch.randn(count, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def slope_found(objective: Objective, data: Tensor, start: float = 0.0) -> float:
    """The a at which the objective's own loss, a parabola in a, is least."""
    losses = []
    for a in (start - 1, start, start + 1):
        loss = objective.energy_loss(Bowl(a), Batch(data), None, context())
        losses.append(float(loss.total.detach()))
    below, here, above = losses
    return start + (below - above) / (2 * (below - 2 * here + above))


# --- optimal transport ----------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
def test_pairs_cost_the_least_of_all_orders(seed: int) -> None:
    g = torch.Generator().manual_seed(seed)
    noise, x = (torch.randn(6, 2, 3, generator=g) for _ in range(2))
    found = transport(noise, x)
    costs = [float((noise[list(order)] - x).square().sum()) for order in permutations(range(6))]
    assert float((found - x).square().sum()) == pytest.approx(min(costs), rel=1e-6)
    assert sorted(map(tuple, found.flatten(1).tolist())) == sorted(
        map(tuple, noise.flatten(1).tolist())
    )


def test_members_of_a_cohort_are_paired_apart() -> None:
    g = torch.Generator().manual_seed(0)
    noise, x = (torch.randn(3, 7, 2, generator=g) for _ in range(2))
    found = transport(noise, x, 2)
    for own, before, data in zip(found, noise, x, strict=True):
        assert torch.equal(own, transport(before, data))


# --- energy matching ------------------------------------------------------------------------------


def test_energy_matching_finds_the_transport_of_gaussians() -> None:
    """On a line the optimal transport of N(0, 1) to N(0, s²) is x₁ = s·x₀, so that x₁ − x₀ =
    (s − 1)x₀ and x_t = (1 − t + ts)x₀: the best a·x is −(1 − s)·E m / E m², m = 1 − t + ts, or
    (1 − s)(1 + s)/2 over (1 + s + s²)/3, times 1/T for U = V/T."""
    temperature = 0.2
    objective = EnergyMatching(temperature, 1.0, 1.0, fades=False)
    data = SCALE * gaussian(400)
    s = SCALE
    wanted = (1 - s) * (1 + s) / 2 / ((1 + s + s * s) / 3) / temperature
    assert best_slope(objective, data) == pytest.approx(wanted, rel=0.1)
    assert slope_found(objective, data) == pytest.approx(best_slope(objective, data), rel=1e-5)


def test_the_weight_fades_from_the_ramp_to_the_end() -> None:
    data = gaussian(500)
    faded = EnergyMatching(1.0, 0.8, 1.0, fades=True).target(data, context())
    plain = EnergyMatching(1.0, 0.8, 1.0, fades=False).target(data, context())
    assert torch.equal(plain.weight, torch.ones(500, dtype=torch.float64))
    assert torch.equal(faded.x, plain.x)
    draws = context().generator
    draws.normal(500, 1)
    t = draws.uniform(0, 1, 500)
    wanted = torch.where(t < 0.8, 1.0, (1 - t) / 0.2)
    assert torch.allclose(faded.weight, wanted)


def test_the_contrast_is_of_the_potential_and_has_a_floor() -> None:
    temperature = 0.5
    x, fake = gaussian(8), 3 + gaussian(8)
    u, at = Bowl(1.0), context(contrast=0.25)
    of = EnergyMatching(temperature, 1.0, 100.0, fades=False)
    loss = of.energy_loss(u, Batch(x), Draw(fake), at)
    gap = float((x.square() - fake.square()).sum(-1).mean()) / 2
    wanted = 0.25 * temperature * gap
    assert float(loss.parts["contrast"]) == pytest.approx(wanted)
    assert float(loss.total.detach() - loss.parts["regression"]) == pytest.approx(wanted)
    floored = EnergyMatching(temperature, 1.0, 0.01, fades=False)
    loss = floored.energy_loss(u, Batch(x), Draw(fake), context(contrast=0.25))
    assert float(loss.parts["contrast"]) == -0.01


# --- equilibrium matching -------------------------------------------------------------------------


@pytest.mark.parametrize("transported", [False, True])
def test_equilibrium_matching_finds_the_slope_of_gaussians(transported: bool) -> None:
    """x and ε independent: the best a·x is ∫ c(γ)((1 − γ) − γs²)dγ / ∫ (γ²s² + (1 − γ)²)dγ. In
    pairs of optimal transport x = sε: ∫ c(γ)(1 − s)m dγ / ∫ m² dγ, m = γs + 1 − γ."""
    objective = EquilibriumMatching(0.8, 4.0, transported=transported)
    data = SCALE * gaussian(400 if transported else 200_000)
    g, s = torch.linspace(0, 1, 100_001, dtype=torch.float64), SCALE
    c = 4 * torch.where(g <= 0.8, 1.0, (1 - g) / 0.2)
    m = g * s + 1 - g
    wanted = (c * (1 - s) * m).mean() / m.square().mean()
    if not transported:
        wanted = (c * (1 - g - g * s**2)).mean() / (g**2 * s**2 + (1 - g) ** 2).mean()
    assert best_slope(objective, data) == pytest.approx(float(wanted), rel=0.1)
    assert slope_found(objective, data) == pytest.approx(best_slope(objective, data), rel=1e-5)


def test_the_pull_of_equilibrium_matching_is_0_at_data() -> None:
    """Of targets c(γ)(ε − x) and x_γ − x = (1 − γ)(ε − x) the ratio is λ/0.2 beyond a = 0.8."""
    data = gaussian(1000)
    to = EquilibriumMatching(0.8, 4.0, transported=False).target(data, context())
    away = (to.x - data).squeeze(-1)  # (1 − γ)(ε − x)
    draws = context().generator
    noise, gamma = draws.normal(1000, 1).squeeze(-1), draws.uniform(0, 1, 1000)
    assert torch.allclose(away, (1 - gamma) * (noise - data.squeeze(-1)))
    near = gamma > 0.8
    assert torch.allclose(to.gradient.squeeze(-1)[near], 20 * away[near])
    assert torch.allclose(to.gradient.squeeze(-1)[~near], (4 * (noise - data[:, 0]))[~near])


# --- denoising score matching ---------------------------------------------------------------------


@pytest.mark.parametrize("levels", [(0.3,), (1.0, 0.1)])
def test_denoising_finds_the_smoothed_density(levels: tuple[float, ...]) -> None:
    """N(0, s²) smoothed by σ has −∇ log density x/(s² + σ²); of several levels the best a·x is
    Σ σ² / Σ σ²(s² + σ²)."""
    objective, data = DenoisingScoreMatching(levels), SCALE * gaussian(200_000)
    squares = [sigma**2 for sigma in levels]
    wanted = sum(squares) / sum(v * (SCALE**2 + v) for v in squares)
    assert best_slope(objective, data) == pytest.approx(wanted, rel=0.02)
    assert slope_found(objective, data) == pytest.approx(best_slope(objective, data), rel=1e-5)


def test_every_level_of_noise_is_drawn_and_weighed_by_its_square() -> None:
    data = torch.zeros(9000, 1, dtype=torch.float64)
    to = DenoisingScoreMatching((1.0, 0.1, 0.01)).target(data, context())
    for sigma in (1.0, 0.1, 0.01):
        own = torch.isclose(to.weight, torch.tensor(sigma**2, dtype=torch.float64))
        assert 2800 < int(own.sum()) < 3200
        assert float(to.x[own].std()) == pytest.approx(sigma, rel=0.05)
        assert torch.allclose(to.gradient[own], to.x[own] / sigma**2)


# --- all of them ----------------------------------------------------------------------------------

ALL: list[GradientRegression] = [
    EnergyMatching(0.5, 0.8, 1.0, fades=True),
    EquilibriumMatching(0.8, 4.0, transported=True),
    DenoisingScoreMatching((1.0, 0.1)),
]


@pytest.mark.parametrize("objective", ALL, ids=lambda o: type(o).__name__)
def test_members_lose_what_they_lose_alone(objective: GradientRegression) -> None:
    data = torch.stack([gaussian(6), 1 + gaussian(6)])
    together = objective.energy_loss(Bowl([0.3, 2.0]), Batch(data), None, context(2))
    for member, a in enumerate((0.3, 2.0)):
        own = Context(0, {}, Randomness([member], dtype=torch.float64).at("test"))
        alone = objective.energy_loss(Bowl(a), Batch(data[member]), None, own)
        assert float(together.total[member].detach()) == pytest.approx(
            float(alone.total.detach()), rel=1e-6
        )
