"""Langevin steps by their formulas, and what a chain must and must not do beside."""

from collections.abc import Iterator

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from energan.core import Domain, Energy, Scored, start_chains, value_and_gradient
from energan.samplers import StepRule, langevin, mala
from energan.samplers.dynamics import default_rule, scaled_rule, step
from energan.samplers.kernels import LANGEVIN, run_kernel
from energan.samplers.metropolis import log_density

SIZES = st.floats(1e-3, 2.0)


def quartic(x: Tensor) -> Tensor:
    return x.flatten(1).pow(4).sum(1) / 4 + x.flatten(1).prod(1)


def gradient(x: Tensor) -> Tensor:
    others = x.flatten(1).prod(1, keepdim=True) / x.flatten(1)
    return (x.flatten(1) ** 3 + others).view_as(x)


class Listed:
    """Normal draws that were made before."""

    def __init__(self, made: Iterator[Tensor]) -> None:
        self.made = made

    def normal(self, *shape: int) -> Tensor:
        return next(self.made).view(shape)


@given(seed=st.integers(0, 10**6), eps=SIZES, noise=st.none() | SIZES, clip=st.none() | SIZES,
       bound=st.none() | SIZES, first=st.booleans())  # fmt: skip
@settings(deadline=None)
def test_one_step_is_the_formula(
    seed: int, eps: float, noise: float | None, clip: float | None, bound: float | None, first: bool
) -> None:
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(5, 2, 3, generator=g, dtype=torch.float64)
    alpha = torch.randn(5, 2, 3, generator=g, dtype=torch.float64)
    low, high = (None, None) if bound is None else (-bound, bound)
    rule = StepRule(eps, noise, clip, low, high, first)
    kept = x.clone()
    found = step(quartic, start_chains(quartic, x), rule, Listed(iter([alpha])))
    assert torch.equal(x, kept)
    half, spread = (0.5, eps**0.5) if noise is None else (1.0, noise)
    at = x + spread * alpha if first else x
    moved = gradient(at)
    assert torch.allclose(found.gradient_norms.double(), moved.flatten(1).norm(dim=1), rtol=1e-5)
    assert torch.allclose(found.energy, quartic(at))
    if clip is not None:
        moved = moved.clamp(-clip, clip)
    expected = at - half * eps * moved + (0 if first else spread * alpha)
    if bound is not None:
        expected = expected.clamp(-bound, bound)
    assert torch.allclose(found.x, expected)


def test_the_result_tells_how_chains_went() -> None:
    torch.manual_seed(0)
    x = torch.randn(7, 4)
    places = [x]
    found = langevin(quartic, x, steps=5, step_size=0.02, watch=lambda k, at: places.append(at))
    assert len(places) == 6
    assert torch.equal(places[-1], found.x)
    drop = quartic(places[0]) - quartic(places[-2])
    assert torch.allclose(found.energy_drop, drop, atol=1e-5)
    norms = torch.stack([value_and_gradient(quartic, p)[1].norm(dim=1) for p in places[:-1]])
    assert torch.allclose(found.gradient_norm, norms.mean(0), rtol=1e-5)
    assert found.acceptance is None
    assert not found.x.requires_grad


def test_the_same_generator_gives_the_same_chains_and_torchs_own_is_left_alone() -> None:
    x, state = torch.zeros(3, 2), torch.get_rng_state()
    for kind in (langevin, mala):
        a, b, c = (
            kind(quartic, x, steps=4, step_size=0.1, generator=torch.Generator().manual_seed(s)).x
            for s in (1, 1, 2)
        )
        assert torch.equal(a, b)
        assert not torch.equal(a, c)
    assert torch.equal(torch.get_rng_state(), state)


def test_held_coordinates_stay_bit_for_bit() -> None:
    x = torch.rand(4, 1, 6, 6)
    held = torch.rand(6, 6) < 0.5
    found = langevin(quartic, x, steps=6, step_size=0.1, low=0, high=1, mask=held)
    assert torch.equal(found.x[..., held], x[..., held])
    assert (found.x[..., ~held] != x[..., ~held]).all()


class Counted(Energy):
    """A network whose passes leave a trace, as those of spectral norm do."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1))
        self.register_buffer("passes", torch.zeros(()))

    def forward(self, x: Tensor, condition: Tensor | None = None, *, stream: str) -> Scored:
        self.passes += 1
        assert not any(p.requires_grad for p in self.parameters())
        return Scored(self.net(x).squeeze(1))


def test_an_energys_parameters_and_buffers_are_frozen_meanwhile_and_free_again() -> None:
    energy = Counted()
    before = [p.clone() for p in energy.parameters()]
    found = langevin(energy, torch.randn(5, 3), steps=3, step_size=0.1)
    assert found.x.grad_fn is None
    assert all(p.requires_grad and p.grad is None for p in energy.parameters())
    assert all(torch.equal(a, b) for a, b in zip(before, energy.parameters(), strict=True))
    assert float(energy.passes) == 0


def test_no_graph_is_kept_from_step_to_step() -> None:
    """Every tensor that saved its place in the graph of a step is gone by the next."""
    import weakref

    inputs: list[weakref.ref[Tensor]] = []

    def energy(x: Tensor) -> Tensor:
        inputs.append(weakref.ref(x))
        return x.square().sum(1)

    alive: list[int] = []
    langevin(
        energy, torch.randn(3, 2), steps=20, step_size=0.1,
        watch=lambda k, x: alive.append(sum(r() is not None for r in inputs)),
    )  # fmt: skip
    assert max(alive) <= 1


def test_mistakes_are_told() -> None:
    x = torch.zeros(3, 2)
    with pytest.raises(ValueError, match="at least 1 step"):
        langevin(quartic, x, steps=0, step_size=0.1)
    with pytest.raises(ValueError, match="at least 0"):
        langevin(quartic, x, steps=1, step_size=0.1, noise=-1)
    with pytest.raises(ValueError, match=r"shape \(3,\): it returned \(3, 2\)"):
        langevin(lambda x: x.square(), x, steps=1, step_size=0.1)
    with pytest.raises(ValueError, match="positive"):
        mala(quartic, x, steps=1, step_size=0)


def test_a_proposals_density_is_the_normal_one() -> None:
    torch.manual_seed(3)
    a, b, g = torch.randn(3, 4, 2).unbind(0)
    normal = torch.distributions.Normal(a - 0.15 * g, 0.3**0.5)
    expected = normal.log_prob(b).sum(1)
    found = log_density(b, a, g, 0.3)
    assert torch.allclose(found - found[0], expected - expected[0], atol=1e-5)


def test_a_refused_move_leaves_the_chain_where_it_was() -> None:
    """A proposal to where U is infinite is never accepted."""
    x = torch.zeros(200, 1)
    found = mala(lambda x: torch.where(x[:, 0] >= 0, x[:, 0] * 0, torch.inf), x, steps=1,
                 step_size=0.5)  # fmt: skip
    assert found.acceptance is not None
    assert (found.x >= 0).all()
    assert torch.equal(found.acceptance == 0, found.x[:, 0] == 0)
    assert 0.3 < float(found.acceptance.mean()) < 0.7


def test_the_published_step_is_rescaled_to_the_range() -> None:
    """systems.md: on [−1, 1] the same dynamics are step 40, noise 0.01, bound 0.005."""
    there = StepRule(40.0, 0.01, 0.005, -1.0, 1.0, True)
    assert scaled_rule(10.0, 0.005, 0.01, -1.0, 1.0, noise_first=True) == there
    assert default_rule(Domain((1, 2, 2), -1.0, 1.0)) == there
    assert default_rule(Domain((2,))) == StepRule(0.005)


@pytest.mark.parametrize("noise", [None, 0.01])
def test_chains_on_another_range_are_the_same_chains(noise: float | None) -> None:
    """y = 2x − 1 of chains x on [0, 1] under U, step by step, for the same draws."""
    torch.manual_seed(1)
    x = torch.rand(6, 5, dtype=torch.float64)
    draws = torch.randn(9, 6, 5, dtype=torch.float64)

    def chain(energy: object, x: Tensor, low: float, high: float) -> Tensor:
        rule = scaled_rule(0.3, noise, 0.4, low, high, noise_first=noise is not None)
        return run_kernel(LANGEVIN, energy, x, rule=rule, steps=9, generator=Listed(iter(draws))).x

    unit = chain(lambda x: (x - 0.3).pow(4).sum(1) * 8, x, 0.0, 1.0)
    wide = chain(lambda y: ((y + 1) / 2 - 0.3).pow(4).sum(1) * 8, 2 * x - 1, -1.0, 1.0)
    assert torch.allclose(2 * unit - 1, wide)
