"""Convolutional EBGAN and EBGAN-PT (Zhao et al. 2017, section 4.3): a DCGAN generator.

    U(x) = ‖Dec(Enc(x)) − x‖                                       (eq. 13)
    L_D = E U(x) + E [m − U(G(z))]^+                               (eq. 1)
    L_G = E U(G(z)) + w · f_PT(Enc(G(z)))                          (eqs 2, 14; w = 0 for EBGAN)

At 64×64 and the default widths these are the paper's networks: Enc (64)4c2s-(128)4c2s-(256)4c2s,
Dec (128)4c2s-(64)4c2s-(3)4c2s, G 1024-512-256-128 from 4×4. At other sizes the depths follow the
size: G starts from the smallest map of at least 4 pixels a side, the encoder ends at one of at
least 8, after two to four layers.

The decoder's transposed convolutions may be up-sampling with 3×3 convolutions, or unpooling by the
switches of an encoder that max-pools: the paper's appendix C names both as future work.
"""

from typing import Literal

from pydantic import Field

from energan.core import Domain, Model, Optimiser
from energan.core.schedules import MARGIN, Margin, Schedule
from energan.energies.reconstruction import Code, Reconstruction, Reduction
from energan.io.text import kind_of
from energan.models.ebgan import LOSSES, Loss, hyper_of
from energan.nets.autoencoder import AutoEncoder
from energan.nets.conditional import ConditionalMaps
from energan.nets.conv import (
    SLOPE,
    Doubling,
    check_depth,
    conv_autoencoder,
    growing,
    halvings,
    image_shape,
)
from energan.nets.mlp import Output, Widths, check_output, set_weights
from energan.nets.switches import SwitchedAutoEncoder, switched_autoencoder
from energan.objectives.settings import Regularised
from energan.samplers.convolutional import ConvGenerated, conv_sampler
from energan.samplers.generator import Generator

ADAM = Optimiser(lr=0.0002)


class Config(ConvGenerated, Regularised):
    """Settings of the convolutional EBGAN; the defaults are the paper's for faces of 64×64."""

    margin: Margin = Field(20.0, description=MARGIN)
    pull_away: Schedule = Field(
        0.1, description="weight of the pulling-away term (PT) in the generator's loss"
    )
    loss: Loss = Field(
        "hinge", description="loss of the discriminator; contrastive has no margin and diverges"
    )
    reduction: Reduction = Field(
        "l2",
        description="how the energy is computed from the reconstruction error: l2 norm, sum or "
        "mean",
    )
    pull_away_code: Code = Field("raw", description="where the pulling-away term reads the code")
    encoder: Widths = Field(
        (),
        description="channels of the encoder's layers; the last is the code; if not set, chosen "
        "from the image size",
    )
    encoder_width: int = Field(
        64,
        ge=1,
        description="channels of the encoder's first layer; each later layer has twice as many",
    )
    decoder_kind: Doubling | Literal["unpool"] = Field(
        "transposed",
        description="how the decoder doubles the resolution: transposed convolutions, "
        "upsampling and convolution, or unpooling with the indices of a max-pooling encoder",
    )
    decoder_output: Output = Field("linear", description="output activation of the decoder")
    energy_steps: int = Field(1, ge=1, description="discriminator updates per generator update")
    energy_optimiser: Optimiser = Field(ADAM, description="optimiser of the discriminator")
    sampler_optimiser: Optimiser = Field(ADAM, description="optimiser of the generator")

    @classmethod
    def tiny(cls) -> "Config":
        return cls(generator=(8,), encoder=(4, 8), latent=4)

    def encoder_widths(self, shape: tuple[int, int, int]) -> tuple[int, ...]:
        """Those that were set, or two to four: as often as the sides can be halved down to 8."""
        depth = min(max(halvings(*shape[1:], smallest=8), 2), 4)
        return self.encoder or growing(self.encoder_width, depth)


def build(config: Config, domain: Domain) -> Model:
    """The three choices, for images of `domain`."""
    shape = image_shape(domain, "ebgan_conv")
    check_output(config.output, domain)
    widths = config.generator_widths(shape)
    return build_against(conv_sampler(config, shape), widths, config, domain)


def build_against(
    sampler: Generator,
    widths: tuple[int, ...],
    config: Config,
    domain: Domain,
    classes: int = 0,
) -> Model:
    """The convolutional auto-encoder and its margin, against a generator with those widths.

    classes: how many labels it is told of, beside the image and beside the code.
    """
    shape = image_shape(domain, "ebgan_conv")
    encoder = config.encoder_widths(shape)
    check_depth("encoder", len(encoder), shape)
    autoencoder = _autoencoder(config, shape[0], encoder, classes)
    if config.scale is not None:
        set_weights(autoencoder, "normal", config.scale)
    network = ConditionalMaps(autoencoder, classes) if classes else autoencoder
    return Model(
        energy=Reconstruction(network, 3, config.reduction, config.pull_away_code),
        sampler=sampler,
        objective=config.on_seen(LOSSES[config.loss](), domain),
        hyper={**hyper_of(config.loss, config.margin, config.pull_away), **config.penalties},
        energy_optimiser=config.energy_optimiser,
        sampler_optimiser=config.sampler_optimiser,
        energy_steps=config.energy_steps,
        chosen=describe_sizes(shape, generator=widths, encoder=encoder),
        conditional=classes > 0,
    )


def _autoencoder(
    config: Config, channels: int, widths: tuple[int, ...], beside: int
) -> AutoEncoder | SwitchedAutoEncoder:
    output, kind = config.decoder_output, config.decoder_kind
    if kind == "unpool":
        return switched_autoencoder(channels, widths, output, slope=SLOPE, beside=beside)
    return conv_autoencoder(channels, widths, output, kind=kind, beside=beside)


def describe_sizes(shape: tuple[int, int, int], **widths: tuple[int, ...]) -> dict[str, str]:
    """What a convolutional model takes from the data, in words."""
    images = f"{shape[2]}x{shape[1]}, {kind_of(shape[0])}"
    return {"images": images, **{name: "-".join(map(str, w)) for name, w in widths.items()}}
