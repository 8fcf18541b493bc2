"""Denoising score matching on several levels of noise (Vincent 2011; Song & Ermon 2019).

    L = E σ²‖∇U(x + σn) − n/σ‖²/D,   n ~ N(0, I),   σ one of L levels, from σ₁ down to σ_L
    samples: from N(½, σ₁²) of the range,  x ← x − ½κσ²·∇U(x) + σ√κ·α,  so many steps of each level,
        and at last x ← x − σ_L²·∇U(x)                             (annealed Langevin dynamics)

One scalar U serves all levels and is not told which: x shows it. With a single level exp(−U)/Z is
the density of data smoothed by σ. The levels speak of a range [0, 1] and follow the data's.
"""

from pydantic import Field

from energan.core import Domain, Model, Optimiser, SettingError, StepRule
from energan.energies.scalar import Scalar
from energan.nets.potential import Potential
from energan.objectives.regression import DenoisingScoreMatching
from energan.samplers.annealed import AnnealedChains, Annealing

ADAM = Optimiser(lr=0.001, beta1=0.9)


class Config(Potential):
    """Settings of denoising score matching."""

    largest: float = Field(
        1.0,
        gt=0,
        description="σ₁: largest noise level, for data in [0, 1] or unscaled points; samples start "
        "from it",
    )
    smallest: float = Field(0.01, gt=0, description="σ_L")
    levels: int = Field(
        10, ge=1, description="L: number of noise levels, in equal ratios; with 1 only σ_L"
    )
    step_size: float = Field(0.2, gt=0, description="κ: the step size at noise level σ is κσ²")
    level_steps: int = Field(100, ge=1, description="chain steps of a sample at each noise level")
    denoise: bool = Field(
        True, description="end a sample with a step that removes the noise of σ_L"
    )
    energy_optimiser: Optimiser = Field(ADAM, description="optimiser")

    @classmethod
    def tiny(cls) -> "Config":
        return cls(hidden=(8,), stages=(4, 4), levels=3, level_steps=2)

    def sigmas(self, domain: Domain) -> tuple[float, ...]:
        """The levels in the data's range, from the largest. Raises SettingError if they rise."""
        if self.levels > 1 and self.largest <= self.smallest:
            raise SettingError(
                f"model.largest {self.largest:g} must be above model.smallest {self.smallest:g}"
            )
        ratio = self.largest / self.smallest
        powers = [i / max(self.levels - 1, 1) for i in range(self.levels)]
        return tuple(_extent(domain) * self.smallest * ratio**power for power in reversed(powers))

    def annealing(self, domain: Domain) -> Annealing:
        """Of a sample."""
        sigmas, kappa = self.sigmas(domain), self.step_size
        steps = [
            (kappa * sigma**2 / 2, sigma * kappa**0.5)
            for sigma in sigmas
            for _ in range(self.level_steps)
        ]
        last = [(sigmas[-1] ** 2, 0.0)] if self.denoise else []
        bounded = domain.low is not None and domain.high is not None
        centre = (domain.low + domain.high) / 2 if bounded else 0.0  # type: ignore[operator]
        spread = _extent(domain) * self.largest
        return Annealing((*steps, *last), 0.0, spread, centre, domain.low, domain.high)


def _extent(domain: Domain) -> float:
    """Of the data's range; 1 where it has none."""
    return 1.0 if domain.low is None or domain.high is None else domain.high - domain.low


def build(config: Config, domain: Domain) -> Model:
    """The three choices, for points or images of `domain`."""
    sigmas = config.sigmas(domain)
    rule = StepRule(config.step_size * sigmas[-1] ** 2)
    return Model(
        energy=Scalar(config.network(domain, "score_matching")),
        sampler=AnnealedChains(config.annealing(domain), rule, domain.shape),
        objective=DenoisingScoreMatching(sigmas),
        energy_optimiser=config.energy_optimiser,
        temperature=1.0 if config.levels == 1 else None,
    )
