"""Image to image, pix2pix (Isola et al. 2016): U-Net, patches, and the distance from the truth.

    U(x | s) = −logit of each patch of x, given the source s       D = sigmoid(−U)
    L_D = ½ (E softplus(U(x | s)) + E softplus(−U(G(s) | s)))      over samples and patches
    L_G = E softplus(U(G(s) | s)) + λ · E |x − G(s)|               (eqs 1, 3, 4; non-saturating)

G has no z: dropout in its first three decoder layers is the noise, at test time too, and both
networks normalise by the statistics of what is before them, at test time too. At 256×256 these are
the published networks. At other sizes the U-Net halves the sides as often as they can be halved,
the maps are as many as a quarter of the smaller side, 16 to 64, and D sees as large a share of it.
The rates are for 80,000 steps: 200 epochs of 400 pairs one by one, falling over the second half.
"""

import math
from typing import Literal

from pydantic import Field

from energan.core import Config as BaseConfig
from energan.core import Domain, Model, Optimiser, SettingError
from energan.core.schedules import Schedule
from energan.energies.patch import Patches
from energan.nets.conv import growing, image_shape
from energan.nets.mlp import Output, Widths, check_output, set_weights
from energan.nets.patch import check_patches, patch_logits, receptive_field
from energan.nets.unet import UNet, unet_widths
from energan.objectives import PairedLogistic
from energan.objectives.augmented import Augmentation, augmented
from energan.samplers.translator import Translator

ADAM = Optimiser(lr="linear(0.0002, 0, 40000, 40000)")
NARROWEST, WIDEST = 16, 64
"""Channels of the networks' first layers, by image size; the widest are the published ones."""
FEWEST, MOST = 2, 4
"""Number of the discriminator's layers, by image size; the largest is the published one."""


class Config(BaseConfig):
    """Settings of image to image; the defaults are the published ones, for 400 pairs."""

    l1: Schedule = Field(100.0, description="weight of the L1 distance in the generator's loss")
    generator: Widths = Field(
        (),
        description="channels of the U-Net's encoder layers; if not set, chosen from the image "
        "size",
    )
    generator_width: int | None = Field(
        None,
        ge=1,
        description="channels of the U-Net's first layer; each later layer has twice as many, "
        "up to 8 times; if not set, chosen from the image size: 64 at 256x256, 16 at 64x64",
    )
    discriminator: Widths = Field(
        (),
        description="channels of the discriminator's layers; four layers see patches of 70x70 "
        "pixels, three 34x34, two 16x16; if not set, chosen from the image size",
    )
    augment: tuple[Augmentation, ...] = Field(
        (),
        description="augmentation of the discriminator's pairs, real and fake: colour (of the "
        "target alone), translation, cutout (DiffAugment)",
    )
    dropout: float = Field(
        0.5, ge=0, lt=1, description="dropout rate in the generator, its only noise"
    )
    norm: Literal["batch", "image"] = Field(
        "batch",
        description="normalise over the batch, or over each image alone as sampling does; use "
        "image for batches of more than one",
    )
    output: Output = Field(
        "tanh", description="output activation of the generator: linear, tanh or sigmoid"
    )
    scale: float | None = Field(
        0.02, gt=0, description="standard deviation of all initial weights; none: scaled by fan-in"
    )
    energy_optimiser: Optimiser = Field(ADAM, description="optimiser of the discriminator")
    sampler_optimiser: Optimiser = Field(ADAM, description="optimiser of the generator")

    @classmethod
    def tiny(cls) -> "Config":
        return cls(generator=(4, 8, 8), discriminator=(4, 8))

    def generator_widths(self, height: int, width: int) -> tuple[int, ...]:
        """Those that were set, or as many as the sides can be halved. Raises SettingError if that
        is too rarely."""
        if len(self.generator) == 1:
            raise SettingError(
                f"model.generator {self.generator[0]}: a U-Net needs at least two layers"
            )
        first = self.generator_width or _first_width(height, width)
        return self.generator or unet_widths(first, height, width)

    def discriminator_widths(self, height: int, width: int) -> tuple[int, ...]:
        """Those that were set, or as many as see a quarter of the smaller side, as 70 pixels are of
        256. Raises SettingError for a single one."""
        if len(self.discriminator) == 1:
            raise SettingError(
                f"model.discriminator {self.discriminator[0]}: a patch discriminator needs two "
                "layers or more"
            )
        depth = int(math.log2(min(height, width))) - 4
        return self.discriminator or growing(
            _first_width(height, width), min(max(depth, FEWEST), MOST)
        )


def _first_width(height: int, width: int) -> int:
    """Maps of the first layers of both networks, where they are not set."""
    return min(max(min(height, width) // 4, NARROWEST), WIDEST)


def build(config: Config, domain: Domain) -> Model:
    """The three choices, for pairs of images of `domain`."""
    sources, (channels, height, width) = _shapes(domain)
    check_output(config.output, domain)
    widths = config.generator_widths(height, width)
    patches = config.discriminator_widths(height, width)
    check_patches(patches, height, width)
    each = config.norm == "image"
    generator = UNet(
        sources,
        channels,
        widths,
        innermost_norm=min(height, width) >> len(widths) > 1,
        each=each,
        dropout=config.dropout,
        output=config.output,
    )
    generator.check(height, width)
    discriminator = patch_logits(sources + channels, patches, each=each)
    if config.scale is not None:
        set_weights(generator, "normal", config.scale)
        set_weights(discriminator, "normal", config.scale)
    side = receptive_field(patches)
    return Model(
        energy=Patches(discriminator),
        sampler=Translator(generator),
        objective=augmented(PairedLogistic(), config.augment, domain),
        hyper={"l1": config.l1},
        energy_optimiser=config.energy_optimiser,
        sampler_optimiser=config.sampler_optimiser,
        conditional=True,
        chosen={
            "images": f"{width}x{height}, {sources} -> {channels} channels",
            "generator": "-".join(map(str, widths)),
            "discriminator": "-".join(map(str, patches)),
            "patches": f"{side}x{side}",
        },
    )


def _shapes(domain: Domain) -> tuple[int, tuple[int, int, int]]:
    """The sources' channels, the targets' (C, H, W). Raises SettingError if there are no pairs."""
    if domain.condition_shape is None:
        raise SettingError(
            "pix2pix translates images, and the data has no pairs: name a folder of pairs and "
            "set data.direction, or choose a model that needs no pairs"
        )
    shape = image_shape(domain, "pix2pix")
    if len(domain.condition_shape) != 3 or domain.condition_shape[1:] != shape[1:]:
        raise SettingError(
            "pix2pix needs both images of a pair to have the same size: the sources have shape "
            f"{domain.condition_shape}, the targets {shape}"
        )
    return domain.condition_shape[0], shape
