"""JEM (Grathwohl et al. 2020): a classifier that is an energy too, sampled by its own chains.

    U(x) = −log Σ_y exp f_y(x),   p(y | x) = softmax(f(x)),   q(x) = exp(−U(x))/Z
    L = c·(E U(x) − E U(x̃) + λ(E U(x)² + E U(x̃)²)) + w·CE(f(x_l), y_l)
    x̃ ← x̃ − step·∇U(x̃) + noise·α,  α ~ N(0, 1),  K times from a replay buffer

One network classifies, samples and scores. x is every image, x_l those with a label, so that few
labels do. The published step is 1, noise 0.01 and noise on data 0.03, on [−1, 1]; the settings
speak of [0, 1]. There is no norm; spectral norm would hold the logits, and so probabilities, down.
"""

from pydantic import Field

from energan.core import Domain, Model, Optimiser, SettingError
from energan.core.schedules import Schedule
from energan.energies.log_sum_exp import LogSumExp
from energan.models.igebm import ImageChains, describe_rule
from energan.nets.conv import image_shape
from energan.nets.resnet import ResidualEnergy
from energan.objectives.joint import JointLikelihood

ADAM = Optimiser(lr=0.0001, beta1=0.9)


class Config(ImageChains):
    """Settings of JEM."""

    spectral: bool = Field(False, description="spectral normalisation of all weights")
    steps: int = Field(20, ge=1, description="K: chain steps per training step")
    step_size: float = Field(
        0.25, gt=0, description="step size of Langevin dynamics, for images in [0, 1]"
    )
    clip: float | None = Field(
        None, gt=0, description="clip each coordinate of the gradient to ± this"
    )
    noise_first: bool = Field(False, description="add the noise before the gradient is computed")
    energy_l2: Schedule = Field(
        0.0, description="λ: weight of the squared energies (L2 regularisation)"
    )
    data_noise: float = Field(
        0.015, ge=0, description="standard deviation of noise added to data in [0, 1]"
    )
    labelled: int = Field(
        64, ge=2, description="labelled images per batch, the same number of each class"
    )
    classification: Schedule = Field(1.0, description="w: weight of the cross-entropy")
    contrast: Schedule = Field(1.0, description="c: weight of the likelihood of x")
    energy_optimiser: Optimiser = Field(ADAM, description="optimiser")

    @classmethod
    def tiny(cls) -> "Config":
        return cls(stages=(4,), blocks=(1,), steps=3, buffer=32, labelled=20)


def build(config: Config, domain: Domain) -> Model:
    """The three choices, for images of `domain`."""
    shape = image_shape(domain, "jem")
    if not domain.classes or domain.condition_shape is not None:
        raise SettingError(
            "jem learns classes, and this data has none: name a CSV of labels (data.labels), or "
            "sort the images into one folder per class"
        )
    sampler = config.sampler(domain)
    network = ResidualEnergy(
        shape,
        config.stages,
        config.blocks,
        spectral=config.spectral,
        halve_first=config.halve_first,
        outputs=domain.classes,
    )
    return Model(
        energy=LogSumExp(network),
        sampler=sampler,
        objective=JointLikelihood(config.l2, config.noise_on(domain), domain.low, domain.high),
        hyper={
            "energy_l2": config.energy_l2,
            "classification": config.classification,
            "contrast": config.contrast,
        },
        energy_optimiser=config.energy_optimiser,
        chosen=describe_rule(sampler.rule),
        labelled=config.labelled,
        temperature=sampler.rule.temperature,
    )
