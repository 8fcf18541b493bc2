"""The DCGAN generator as settings and a sampler: one for all systems that draw with it.

Systems that share it start, from one seed, with the same weights of G.
"""

from pydantic import Field

from energan.core import Config
from energan.nets.conditional import WithLabels
from energan.nets.conv import check_depth, conv_generator, growing, halvings
from energan.nets.mlp import Output, Widths, set_weights
from energan.samplers.generator import Generator, Prior


class ConvGenerated(Config):
    """Settings of the generator; the defaults are Radford et al. 2015's for images of 64×64."""

    generator: Widths = Field(
        (),
        description="channels of the generator's layers except the last, the lowest resolution "
        "first; if not set, chosen from the image size",
    )
    generator_width: int = Field(
        128,
        ge=1,
        description="channels of the generator's last hidden layer; each earlier layer has "
        "twice as many",
    )
    latent: int = Field(100, ge=1, description="dimension of the latent vector z")
    prior: Prior = Field("uniform", description="distribution of z")
    output: Output = Field(
        "tanh", description="output activation of the generator: linear, tanh or sigmoid"
    )
    scale: float | None = Field(
        0.02, gt=0, description="standard deviation of all initial weights; none: scaled by fan-in"
    )

    def generator_widths(self, event: tuple[int, int, int]) -> tuple[int, ...]:
        """Those that were set, or as many as the sides can be halved down to 4."""
        depth = halvings(*event[1:], smallest=4)
        return self.generator or growing(self.generator_width, depth)[::-1]


def conv_sampler(config: ConvGenerated, event: tuple[int, int, int], classes: int = 0) -> Generator:
    """G with its first weights drawn; with `classes` the label stands, one-hot, beside z.

    Raises SettingError if the sides do not fit its depth.
    """
    widths = config.generator_widths(event)
    check_depth("generator", len(widths), event)
    network = conv_generator(config.latent + classes, widths, event, config.output)
    if config.scale is not None:
        set_weights(network, "normal", config.scale)
    drawn = WithLabels(network, classes) if classes else network
    return Generator(drawn, config.latent, config.prior)
