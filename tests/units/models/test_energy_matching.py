"""Energy Matching as a model: the temperature of its chains, its energy, what it refuses."""

import pytest
import torch

from energan.core import Domain, SettingError, StepRule, value_and_gradient
from energan.models import energy_matching
from energan.models.energy_matching import Config, temperature
from energan.nets.potential import DotProduct, SmoothUNet
from energan.samplers.annealed import AnnealedNegatives

PLANE = Domain((2,))


def test_the_temperature_rises_from_the_ramp() -> None:
    """ε(t) is 0 for t < τ*, ε_max(t − τ*)/(1 − τ*) up to 1, ε_max beyond."""
    found = [temperature(t, 0.8, 0.5) for t in (0.0, 0.79, 0.9, 0.99, 1.0, 3.0)]
    assert found == pytest.approx([0, 0, 0.25, 0.475, 0.5, 0.5])
    assert [temperature(t, 1.0, 0.5) for t in (0.99, 1.0)] == [0, 0.5]
    assert temperature(0.5, 0.0, 0.5) == 0.25


def test_chains_are_those_of_the_potential() -> None:
    """On U = V/ε_max a step of Δt·∇V is one of Δt·ε_max·∇U, its noise √(2Δt·ε(t)); at ε_max that is
    Langevin's coupled form of step 2Δt·ε_max, whose law is exp(−U)/Z."""
    config = Config(time_step=0.25, temperature=0.02, ramp=0.5, sample_steps=6, steps=3)
    built = energy_matching.build(config, PLANE)
    sampler = built.sampler
    assert isinstance(sampler, AnnealedNegatives)
    sizes, noises = zip(*sampler.annealing.steps, strict=True)
    assert sizes == pytest.approx([0.005] * 6)
    assert [n**2 / 0.5 for n in noises] == pytest.approx([0, 0, 0, 0.01, 0.02, 0.02])
    assert sampler.rule == StepRule(pytest.approx(0.01))  # type: ignore[arg-type]
    assert sampler.rule.descent == pytest.approx(sizes[-1])
    assert sampler.rule.spread == pytest.approx(noises[-1])
    assert sampler.chain_steps == len(sampler.training_annealing.steps) == 3


def test_the_energy_is_the_potential_over_its_temperature() -> None:
    built = energy_matching.build(Config.tiny(), PLANE)
    x = torch.randn(5, 2)
    potential = next(iter(built.energy.energies)).network  # type: ignore[union-attr]
    u = built.energy(x, stream="eval").energy
    assert torch.allclose(u, potential(x, "eval").squeeze(-1) / 0.01)


def test_the_dot_product_has_the_gradient_that_is_written() -> None:
    """∇(x·f(x)) = f(x) + Jᵀx."""
    torch.manual_seed(0)
    f = SmoothUNet(1, (3, 4), 1).double()
    x = torch.randn(1, 1, 4, 4, dtype=torch.float64)
    _, found = value_and_gradient(lambda y: DotProduct(f)(y).squeeze(-1), x)
    jacobian = torch.autograd.functional.jacobian(lambda y: f(y).flatten(), x).reshape(16, 16)
    assert torch.allclose(found.flatten(), f(x).flatten() + jacobian.T @ x.flatten())
    assert torch.autograd.gradgradcheck(lambda y: DotProduct(f)(y).sum(), x.requires_grad_())


def test_sides_that_cannot_be_halved_are_told() -> None:
    with pytest.raises(SettingError, match="halved 1 times"):
        Config(stages=(4, 4, 4)).network(Domain((1, 10, 10), -1, 1), "energy_matching")
    with pytest.raises(SettingError, match="points or images"):
        Config().network(Domain((2, 3)), "energy_matching")
