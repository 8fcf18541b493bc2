"""Equilibrium Matching (Wang & Du 2025): a landscape whose valleys are data, without a contrast.

    L = E ‖∇U(x_γ) − c(γ)(ε − x)‖²/D,   x_γ = γx + (1 − γ)ε,   ε ~ N(0, I),  γ ~ U(0, 1)
    c(γ) = λ up to γ = a, and λ(1 − γ)/(1 − a) beyond                          (truncated decay)
    samples: from ε,  x ← x − η·∇U(x + μ(x − x₋)),  x₋ the x before

U is explicit, where the paper's best models have ∇U alone. exp(−U)/Z is no density of the data: U
says how far from data x is.
"""

from pydantic import Field

from energan.core import Domain, Model, Optimiser, StepRule
from energan.energies.scalar import Scalar
from energan.nets.potential import Potential
from energan.objectives.regression import EquilibriumMatching
from energan.samplers.annealed import AnnealedChains, Annealing

ADAM = Optimiser(kind="adamw", lr=0.0001, beta1=0.9)


class Config(Potential):
    """Settings of Equilibrium Matching."""

    decay: float = Field(
        0.8, ge=0, lt=1, description="a: value of γ at which c(γ) begins to fall to 0"
    )
    multiplier: float = Field(4.0, gt=0, description="λ: value of c(γ) before it falls")
    transported: bool = Field(
        False, description="pair noise and data by optimal transport within a batch"
    )
    step_size: float = Field(0.0017, gt=0, description="η: step size of a sample's gradient steps")
    momentum: float = Field(0.3, ge=0, lt=1, description="μ: look-ahead of Nesterov's momentum")
    sample_steps: int = Field(250, ge=1, description="gradient steps of a sample")
    energy_optimiser: Optimiser = Field(ADAM, description="optimiser")

    @classmethod
    def tiny(cls) -> "Config":
        return cls(hidden=(8,), stages=(4, 4), sample_steps=5)


def build(config: Config, domain: Domain) -> Model:
    """The three choices, for points or images of `domain`."""
    annealing = Annealing(
        ((config.step_size, 0.0),) * config.sample_steps,
        config.momentum,
        low=domain.low,
        high=domain.high,
    )
    return Model(
        energy=Scalar(config.network(domain, "equilibrium_matching")),
        sampler=AnnealedChains(annealing, StepRule(config.step_size, 0.0), domain.shape),
        objective=EquilibriumMatching(
            config.decay, config.multiplier, transported=config.transported
        ),
        energy_optimiser=config.energy_optimiser,
    )
