"""Energy Matching (Balcerak et al. 2025): a potential that moves noise to data and is a density.

    V time-independent,  U = V/T,  T = ε_max, so that exp(−U)/Z is the law of chains at ε_max
    L = E ‖−∇V(x_t) − (x₁ − x₀)‖²/D,  x_t = (1 − t)x₀ + t x₁,  x₀ ~ N(0, I) and data x₁ in pairs of
        optimal transport within the batch;  after the warm-up also  λ(E V(x) − E V(x̃))
    x̃ ← x̃ − Δt·∇V(x̃) + √(2Δt·ε(t))·α,   ε(t) = 0 up to τ*, rising to ε_max at t = 1, then ε_max

Samples start from N(0, I) and take `sample_steps` such steps. Half of the negatives x̃ start there
too, the other half from data at ε_max.
"""

from pydantic import Field

from energan.core import Domain, Model, Optimiser, StepRule
from energan.core.schedules import Schedule, Steps
from energan.energies.scalar import Scalar
from energan.nets.potential import Potential
from energan.objectives.regression import EnergyMatching
from energan.samplers.annealed import AnnealedNegatives, Annealing

ADAM = Optimiser(lr=0.0012, beta1=0.9, beta2=0.95, clip=1.0)


class Config(Potential):
    """Settings of Energy Matching."""

    warm_up: Steps = Field(2000, ge=0, description="training steps before the contrast begins")
    temperature: float = Field(0.01, gt=0, description="ε_max: exp(−V/ε_max)/Z is the density")
    ramp: float = Field(1.0, ge=0, le=1, description="τ*: the time at which ε(t) begins to rise")
    fades: bool = Field(
        False, description="let the weight of the regression fall to 0 between τ* and t = 1"
    )
    time_step: float = Field(0.01, gt=0, description="Δt: step size of chains")
    steps: int = Field(200, ge=1, description="K: chain steps per negative example")
    sample_steps: int = Field(325, ge=1, description="chain steps of a sample")
    contrast: Schedule = Field(0.001, description="λ: weight of the contrastive term")
    floor: float = Field(
        0.02, gt=0, description="lower bound of the contrastive term, given as a positive number"
    )
    energy_optimiser: Optimiser = Field(ADAM, description="optimiser")

    @property
    def phases(self) -> tuple[int, ...]:
        return (self.warm_up,)

    @classmethod
    def tiny(cls) -> "Config":
        return cls(hidden=(8,), stages=(4, 4), warm_up=3, steps=3, sample_steps=5, time_step=0.1)

    def annealing(self, steps: int, domain: Domain) -> Annealing:
        """So many steps of U = V/ε_max."""
        dt, top = self.time_step, self.temperature
        noises = [(2 * dt * temperature(k * dt, self.ramp, top)) ** 0.5 for k in range(steps)]
        moves = tuple((dt * top, noise) for noise in noises)
        return Annealing(moves, low=domain.low, high=domain.high)


def temperature(t: float, ramp: float, top: float) -> float:
    """ε(t): 0 up to τ*, from there straight to `top` at t = 1, and `top` after it."""
    if t >= 1:
        return top
    return top * (t - ramp) / (1 - ramp) if t > ramp else 0.0


def build(config: Config, domain: Domain) -> Model:
    """The three choices, for points or images of `domain`."""
    network = config.network(domain, "energy_matching")
    sampler = AnnealedNegatives(
        config.annealing(config.sample_steps, domain),
        StepRule(2 * config.time_step * config.temperature),
        domain.shape,
        training=config.annealing(config.steps, domain),
        warm_up=config.warm_up,
    )
    return Model(
        energy=1 / config.temperature * Scalar(network),
        sampler=sampler,
        objective=EnergyMatching(config.temperature, config.ramp, config.floor, fades=config.fades),
        hyper={"contrast": config.contrast},
        energy_optimiser=config.energy_optimiser,
        temperature=1.0,  # U is V/ε_max
    )
