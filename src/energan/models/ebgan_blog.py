"""The small convolutional EBGAN of most public copies, with their faults mended.

    U(x) = mean (Dec(Enc(x)) − x)²
    L_D = E U(x) + E [m − U(G(z))]^+          L_G = E U(G(z)) + 0.1 · f_PT(Enc(G(z)))

D: 3×3 convolution of stride 2 to 64, ReLU; dense to the code of 32; batch norm, ReLU, dense back,
batch norm, ReLU; up-sampling and a 3×3 convolution. G: dense to 128 maps of a quarter of the side;
twice up-sampling, 3×3 convolution, batch norm, LeakyReLU (128, 64); convolution, Tanh.
Their faults are not here: the hinge is on each sample, the pulling-away term has its square
and no diagonal, and batch norm's eps is not 0.8.
"""

from pydantic import Field
from torch import nn

from energan.core import Domain, Model, Optimiser, SettingError
from energan.core.schedules import MARGIN, Margin, Schedule
from energan.energies.reconstruction import Reconstruction, Reduction
from energan.models.ebgan import hyper_of
from energan.models.ebgan_conv import ADAM
from energan.nets.autoencoder import AutoEncoder
from energan.nets.conv import SLOPE, FlattenMaps, UnflattenMaps, UpConv, image_shape
from energan.nets.dense import BatchNorm, Dense, Sequential
from energan.nets.mlp import OUTPUTS, Output, check_output
from energan.objectives import Hinge
from energan.objectives.settings import Regularised
from energan.samplers.generator import Generator, Prior


class Config(Regularised):
    """Settings of the small convolutional EBGAN; the defaults are the copies'."""

    margin: Margin = Field(1.0, description=MARGIN)
    pull_away: Schedule = Field(
        0.1, description="weight of the pulling-away term (PT) in the generator's loss"
    )
    reduction: Reduction = Field(
        "mean",
        description="how the energy is computed from the reconstruction error: l2 norm, sum or "
        "mean",
    )
    width: int = Field(
        64,
        ge=1,
        description="channels of the discriminator and of the generator's last layers; the "
        "generator starts with twice as many",
    )
    code: int = Field(32, ge=1, description="dimension of the code")
    latent: int = Field(62, ge=1, description="dimension of the latent vector z")
    prior: Prior = Field("normal", description="distribution of z")
    output: Output = Field(
        "tanh", description="output activation of the generator: linear, tanh or sigmoid"
    )
    energy_optimiser: Optimiser = Field(ADAM, description="optimiser of the discriminator")
    sampler_optimiser: Optimiser = Field(ADAM, description="optimiser of the generator")

    @classmethod
    def tiny(cls) -> "Config":
        return cls(width=4, code=8, latent=4)


def build(config: Config, domain: Domain) -> Model:
    """The three choices, for images of `domain`."""
    channels, height, width = image_shape(domain, "ebgan_blog")
    check_output(config.output, domain)
    if height % 4 or width % 4:
        raise SettingError(
            "ebgan_blog needs sides that are multiples of 4, and the images are "
            f"{height}x{width}: resize them, for example with --data.size 32"
        )
    w = config.width
    maps = w * (height // 2) * (width // 2)
    autoencoder = AutoEncoder(
        Sequential(
            nn.Conv2d(channels, w, 3, stride=2, padding=1), nn.ReLU(),
            FlattenMaps(), Dense(maps, config.code, bias=False),
        ),
        Sequential(BatchNorm(config.code), nn.ReLU()),
        Sequential(
            Dense(config.code, maps, bias=False), BatchNorm(maps), nn.ReLU(),
            UnflattenMaps(w, height // 2, width // 2), UpConv(w, channels),
        ),
    )  # fmt: skip
    generator = Sequential(
        Dense(config.latent, 2 * w * (height // 4) * (width // 4)),
        UnflattenMaps(2 * w, height // 4, width // 4),
        UpConv(2 * w, 2 * w, bias=False), BatchNorm(2 * w), nn.LeakyReLU(SLOPE),
        UpConv(2 * w, w, bias=False), BatchNorm(w), nn.LeakyReLU(SLOPE),
        nn.Conv2d(w, channels, 3, padding=1), OUTPUTS[config.output](),
    )  # fmt: skip
    return Model(
        energy=Reconstruction(autoencoder, 3, config.reduction),
        sampler=Generator(generator, config.latent, config.prior),
        objective=config.on_seen(Hinge(), domain),
        hyper={**hyper_of("hinge", config.margin, config.pull_away), **config.penalties},
        energy_optimiser=config.energy_optimiser,
        sampler_optimiser=config.sampler_optimiser,
    )
