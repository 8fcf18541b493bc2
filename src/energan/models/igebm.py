"""IGEBM (Du & Mordatch 2019): an energy of images by maximum likelihood, sampled by its own chains.

    q(x) = exp(−U(x))/Z,    −∇ log q(x) = ∇U(x) − E_q ∇U
    x̃ ← x̃ − step·∇U(x̃) + noise·α,  α ~ N(0, 1), the gradient clipped, x̃ clamped to the range, or
    x̃ ← x̃ − ½ε∇U(x̃) + √ε·α         (coupled),  K times from a replay buffer
    L = E U(x) − E U(x̃) + λ(E U(x)² + E U(x̃)²)

U is a residual network under spectral norm. In the range [0, 1] the published step is 10, noise
0.005, gradient bound 0.01; on [−1, 1] the same dynamics are 40, 0.01 and 0.005, and so on: the
settings speak of [0, 1] and are rescaled to the data's range. The defaults are those of CIFAR-10.
"""

from pydantic import Field

from energan.core import Domain, Model, Optimiser, SettingError, StepRule
from energan.core.schedules import Schedule
from energan.energies.scalar import Scalar
from energan.nets.conditional import classes_of
from energan.nets.conv import image_shape
from energan.nets.mlp import Widths
from energan.nets.resnet import ResidualEnergy
from energan.objectives import MaximumLikelihood
from energan.objectives.contrastive import L2
from energan.samplers.chains import ChainSampler
from energan.samplers.dynamics import check_spread, scaled_rule
from energan.samplers.kernels import Dynamical
from energan.samplers.replay import Replay

ADAM = Optimiser(lr=0.0001, beta1=0.0)


class ImageChains(Dynamical):
    """Settings of a residual energy of images and of the chains on it."""

    stages: Widths = Field((128, 256, 256), description="channels of each stage")
    blocks: Widths = Field((2,), description="residual blocks in each stage, or one number for all")
    halve_first: bool = Field(False, description="downsample in the first layer too")
    spectral: bool = Field(True, description="spectral normalisation of all weights")
    steps: int = Field(60, ge=1, description="K: chain steps per training step")
    step_size: float = Field(
        10.0, gt=0, description="step size of Langevin dynamics, for images in [0, 1]"
    )
    noise: float | None = Field(
        0.005,
        ge=0,
        description="standard deviation of the Langevin noise; none: √step_size, with half the "
        "gradient",
    )
    clip: float | None = Field(
        0.01, gt=0, description="clip each coordinate of the gradient to ± this"
    )
    noise_first: bool = Field(True, description="add the noise before the gradient is computed")
    buffer: int = Field(10_000, ge=1, description="number of chains in the replay buffer")
    restart: float = Field(
        0.05, ge=0, le=1, description="fraction of chains that restart from noise"
    )
    bytes: bool = Field(True, description="store the buffer's chains as bytes instead of floats")
    sample_steps: int = Field(
        0, ge=0, description="Langevin steps of a sample after it is taken from the buffer; 0: K"
    )
    energy_l2: Schedule = Field(
        1.0, description="λ: weight of the squared energies (L2 regularisation)"
    )
    l2: L2 = Field(
        "sum",
        description="regularise the sum of the squared energies, or their difference as some "
        "papers print it",
    )
    data_noise: float = Field(
        0.0, ge=0, description="standard deviation of noise added to data in [0, 1]"
    )
    energy_optimiser: Optimiser = Field(ADAM, description="optimiser")

    def noise_on(self, domain: Domain) -> float:
        """The standard deviation of noise on data of this range."""
        assert domain.low is not None
        assert domain.high is not None
        return self.data_noise * (domain.high - domain.low)

    def sampler(self, domain: Domain, classes: int = 0) -> ChainSampler:
        """The chains, of as many labels where U takes them. Raises SettingError for data without a
        range, or for noise that fills it."""
        if domain.low is None or domain.high is None:
            raise SettingError("chains of images are clamped to a range: set data.range to unit")
        rule = scaled_rule(
            self.step_size,
            self.noise,
            self.clip,
            domain.low,
            domain.high,
            noise_first=self.noise_first,
        )
        check_spread(rule)
        return ChainSampler(
            rule,
            self.steps,
            Replay(self.buffer, domain.shape, domain.low, domain.high, self.bytes, classes or None),
            restart=self.restart,
            sample_steps=self.sample_steps or self.steps,
            kernel=self.kernel,
            target_acceptance=self.target_acceptance,
        )


class Config(ImageChains):
    """Settings of IGEBM."""

    conditional: bool = Field(False, description="condition the energy on the label")

    @classmethod
    def tiny(cls) -> "Config":
        return cls(stages=(4,), blocks=(1,), steps=3, buffer=32)


def build(config: Config, domain: Domain) -> Model:
    """The three choices, for images of `domain`."""
    shape = image_shape(domain, "igebm")
    classes = classes_of(domain, "igebm") if config.conditional else 0
    network = ResidualEnergy(
        shape,
        config.stages,
        config.blocks,
        spectral=config.spectral,
        classes=classes,
        halve_first=config.halve_first,
    )
    sampler = config.sampler(domain, classes)
    return Model(
        energy=Scalar(network),
        sampler=sampler,
        objective=MaximumLikelihood(config.l2, config.noise_on(domain), domain.low, domain.high),
        hyper={"energy_l2": config.energy_l2},
        energy_optimiser=config.energy_optimiser,
        chosen=describe_rule(sampler.rule),
        conditional=classes > 0,
        temperature=sampler.rule.temperature,
    )


def describe_rule(rule: StepRule) -> dict[str, str]:
    """The steps that are made where the data's range is not [0, 1], in words."""
    if rule.low == 0 and rule.high == 1:
        return {}
    bound = "" if rule.clip is None else f", gradient clipped to {rule.clip:g}"
    what = f"step {rule.step_size:g}, noise {rule.spread:g}{bound}"
    return {"chains": f"{what} in [{rule.low:g}, {rule.high:g}]"}
