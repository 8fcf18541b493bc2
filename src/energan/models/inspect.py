"""An energy of cells, trained on synthetic defects: is this part normal, and where is it not?

    x', m = defects(x)                            images of the batch with defects, and their masks
    s(x) = smooth(f(x))                           a map: f gives each cell its log-odds of a defect
    U(x) = max s(x) + w·d(x)
    L    = α·E₊ + (1 − α)·E₋ + λ·E log(1 + exp(∓max s))

E₊ and E₋ are the focal losses −(1 − p_t)^γ log p_t (Lin et al. 2017, eq. 4) of anomalous and normal
cells, by m; ∓ is − for images with a defect. d(x) is the distance of x to the nearest training
image, both as thumbnails, less the mean of such distances between training images, over their
standard deviation.

Synthetic defects as of DRAEM (Zavrtanik, Kristan & Skočaj 2021) and CutPaste (Li et al. 2021), and
kinds of wear that inspection meets; f is a U-Net of cells without a decoder of images. f sees
images as they are, beside their own mean, and each place beside what is around it, since brightness
differs from one photograph to the next. It is trained on windows or whole images, and judges images
of any size; where it is trained on windows there is no d.
"""

from typing import Literal

from pydantic import Field

from energan.core import Config as BaseConfig
from energan.core import Domain, Model, Optimiser, SettingError
from energan.energies.anomaly_map import AnomalyMap
from energan.energies.nearest_image import NearestImage
from energan.models.ebgan_conv import describe_sizes
from energan.nets.conv import growing, image_shape
from energan.nets.segmentation import CellLogits, LocalNorm
from energan.objectives import CellwiseFocal
from energan.samplers.synthetic_defects import DefectSettings, SyntheticDefects

ADAM = Optimiser(lr="linear(0.0025, 0.00002, 800, 1900)", beta1=0.9, clip=1.0)


class Config(BaseConfig):
    """Settings of an energy of cells; the defaults are for photographs of some hundred pixels."""

    defects: DefectSettings = Field(DefectSettings(), description="synthetic defects to train on")
    width: int = Field(
        16,
        ge=1,
        description="channels at the finest scale; deeper scales have up to eight times as many",
    )
    scales: int = Field(
        5,
        ge=2,
        le=8,
        description="number of scales; each has half the resolution of the one before",
    )
    cell: Literal[1, 2, 4] = Field(
        2, description="pixels along one side of a cell of the anomaly map"
    )
    window: int = Field(
        24,
        ge=0,
        description="side in pixels of the neighbourhood that each position is compared with; "
        "0: no comparison",
    )
    smoothing: float = Field(
        1.5,
        ge=0,
        le=64,
        description="standard deviation of the Gaussian that smooths the map, in cells",
    )
    nearest: float = Field(
        1.0,
        ge=0,
        description="w: weight of the distance to the nearest training image in the anomaly "
        "score; 0: off",
    )
    thumbnail: int = Field(
        8, ge=2, le=64, description="side in pixels of the thumbnails used for that distance"
    )
    memory: int = Field(2048, ge=2, description="largest number of training thumbnails to keep")
    focus: float = Field(1.0, ge=0, description="γ of the focal loss; 0: logistic loss")
    weight: float = Field(0.2, gt=0, lt=1, description="α: weight of anomalous cells in the loss")
    image: float = Field(0.2, ge=0, description="λ: weight of the image-level loss")
    normal: float = Field(
        0.5, gt=0, le=1, description="fraction of each batch that is also shown without defects"
    )
    share: float = Field(
        0.3,
        gt=0,
        le=1,
        description="a cell counts as anomalous if at least this fraction of its pixels does",
    )
    energy_optimiser: Optimiser = Field(ADAM, description="optimiser")

    @classmethod
    def tiny(cls) -> "Config":
        return cls(width=4, scales=2, cell=1, window=4)


def build(config: Config, domain: Domain) -> Model:
    """The three choices, for images of `domain`."""
    shape = image_shape(domain, "inspect")
    if domain.low is None or domain.high is None:
        raise SettingError(
            "inspect needs images with a known range, and this data has none: set data.range to "
            "signed or unit"
        )
    widths = growing(config.width, config.scales)
    before = LocalNorm(config.window, domain.low) if config.window else None
    network = CellLogits(shape[0], widths, config.cell, before)
    nearest = None
    if config.nearest and domain.image_shape is None:  # a window is no thumbnail of the image
        nearest = NearestImage(shape[0], config.thumbnail, config.memory)
    return Model(
        energy=AnomalyMap(network, config.smoothing, nearest, config.nearest),
        sampler=SyntheticDefects(config.defects, domain.low, domain.high),
        objective=CellwiseFocal(
            config.focus, config.weight, config.image, config.share, config.normal
        ),
        energy_optimiser=config.energy_optimiser,
        chosen=describe_sizes(shape, scales=widths),
    )
