"""Regressed gradients against their closed forms, and the pairs of optimal transport."""

from itertools import permutations

import pytest
import torch
from torch import Tensor

from energan.core import Batch, Context, Draw, Energy, Objective, Randomness, Scored, Stream
from energan.objectives.regression import EnergyMatching, GradientRegression, transport

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


# --- all of them ----------------------------------------------------------------------------------

ALL: list[GradientRegression] = [EnergyMatching(0.5, 0.8, 1.0, fades=True)]


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
