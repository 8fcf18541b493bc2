"""Equilibrium Matching as a model: published settings, and a descent without noise."""

from energan.core import Domain, StepRule
from energan.models import equilibrium_matching
from energan.objectives import EquilibriumMatching
from energan.samplers.annealed import AnnealedChains


def test_the_defaults_are_the_published_ones() -> None:
    """a 0.8, λ 4; 250 steps of 0.0017 that look 0.3 ahead; pairs are independent."""
    built = equilibrium_matching.build(equilibrium_matching.Config(), Domain((2,)))
    assert isinstance(built.objective, EquilibriumMatching)
    assert isinstance(built.sampler, AnnealedChains)
    objective, annealing = built.objective, built.sampler.annealing
    assert (objective.decay, objective.multiplier, objective.transported) == (0.8, 4.0, False)
    assert annealing.steps == ((0.0017, 0.0),) * 250
    assert (annealing.momentum, annealing.spread, annealing.low) == (0.3, 1.0, None)
    assert built.sampler.rule == StepRule(0.0017, 0.0)
    assert built.temperature is None
