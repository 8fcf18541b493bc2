"""FixMatch (Sohn et al. 2020): a convolutional classifier of images from few labels.

    U(x) = −log Σ_y exp f_y(x),   p(y | x) = softmax(f(x))
    L = CE(f(α(x_l)), y_l) + λ · E 1[max p ≥ τ] · CE(f(A(x)), argmax p),   p of f(α(x))

α moves an image, A also changes its colours and cuts a rectangle out (DiffAugment, where the paper
has RandAugment); `data.mirror` flips for both. U is that of the classifier (Grathwohl et al. 2020,
eq. 7); no density is trained, as JEM does.
"""

from pydantic import Field

from energan.core import Config as BaseConfig
from energan.core import Domain, Model, Optimiser, SettingError
from energan.core.schedules import Schedule
from energan.energies.log_sum_exp import LogSumExp
from energan.nets.conv import halvings, image_shape
from energan.nets.mlp import Widths
from energan.nets.resnet import ResidualEnergy
from energan.objectives.augmented import Augmentation, DiffAugment, image_range
from energan.objectives.consistency import FixMatch
from energan.samplers.none import NoSampler

ADAM = Optimiser(lr=0.001, beta1=0.9)
SMALLEST, WIDEST = 4, 8
"""The side that stages halve images to, and the largest multiple of the first one's maps."""


class Config(BaseConfig):
    """Settings of FixMatch."""

    stages: Widths = Field(
        (),
        description="channels of the residual stages, each of which halves the sides; if not "
        "set, chosen from the image size",
    )
    width: int = Field(32, ge=1, description="channels of the first stage, each next has twice")
    blocks: Widths = Field((1,), min_length=1, description="residual blocks of each stage")
    weak: tuple[Augmentation, ...] = Field(
        ("translation",), description="weak augmentation: of labelled images, and for guesses"
    )
    strong: tuple[Augmentation, ...] = Field(
        ("colour", "translation", "cutout"),
        description="strong augmentation: of the images whose label is guessed",
    )
    threshold: float = Field(
        0.95, ge=0, le=1, description="τ: smallest probability of a guess that counts as a label"
    )
    consistency: Schedule = Field(1.0, description="λ: weight of the guessed labels")
    labelled: int = Field(
        64, ge=2, description="labelled images per batch, the same number of each class"
    )
    energy_optimiser: Optimiser = Field(ADAM, description="optimiser")

    @classmethod
    def tiny(cls) -> "Config":
        return cls(stages=(4,), labelled=20, threshold=0.1)


def build(config: Config, domain: Domain) -> Model:
    """The three choices, for images of `domain`."""
    shape = image_shape(domain, "fixmatch")
    if not domain.classes or domain.condition_shape is not None:
        raise SettingError(
            "fixmatch learns classes, and this data has none: name a CSV of labels (data.labels), "
            "or sort the images into one folder per class"
        )
    low, high = image_range(domain)
    depth = max(halvings(*shape[1:], smallest=SMALLEST) - 1, 1)
    stages = config.stages or tuple(config.width * min(2**i, WIDEST) for i in range(depth))
    network = ResidualEnergy(
        shape, stages, config.blocks, spectral=False, halve_first=not config.stages,
        outputs=domain.classes,
    )  # fmt: skip
    weak, strong = (DiffAugment(names, low, high) for names in (config.weak, config.strong))
    return Model(
        energy=LogSumExp(network),
        sampler=NoSampler(),
        objective=FixMatch(weak, strong, config.threshold),
        hyper={"consistency": config.consistency},
        energy_optimiser=config.energy_optimiser,
        chosen={"stages": "-".join(map(str, stages))},
        labelled=config.labelled,
    )
