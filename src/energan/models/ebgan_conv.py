"""Convolutional EBGAN and EBGAN-PT (Zhao et al. 2017, section 4.3): a DCGAN generator.

    U(x) = ‖Dec(Enc(x)) − x‖                                       (eq. 13)
    L_D = E U(x) + E [m − U(G(z))]^+                               (eq. 1)
    L_G = E U(G(z)) + w · f_PT(Enc(G(z)))                          (eqs 2, 14; w = 0 for EBGAN)

At 64×64 and the default widths these are the paper's networks: Enc (64)4c2s-(128)4c2s-(256)4c2s,
Dec (128)4c2s-(64)4c2s-(3)4c2s, G 1024-512-256-128 from 4×4. At other sizes the depths follow the
size: G starts from the smallest map of at least 4 pixels a side, the encoder ends at one of at
least 8, after two to four layers.
"""

from pydantic import Field

from energan.core import Config as BaseConfig
from energan.core import Domain, Model, Optimiser, SettingError
from energan.energies.reconstruction import Code, Reconstruction, Reduction
from energan.models.ebgan import LOSSES, Loss, scheduled
from energan.nets.conv import conv_autoencoder, conv_generator, halvings, image_shape
from energan.nets.mlp import Output, Widths, check_output, set_weights
from energan.samplers.generator import Generator, Prior
from energan.schedules import MARGIN, Margin, Schedule

ADAM = Optimiser(lr=0.0002)


class Config(BaseConfig):
    """Settings of the convolutional EBGAN; the defaults are the paper's for faces of 64×64."""

    margin: Margin = Field(20.0, description=MARGIN)
    pull_away: Schedule = Field(0.1, description="weight of the pulling-away term in G's loss")
    loss: Loss = Field("hinge", description="D's loss; contrastive has no margin, and diverges")
    reduction: Reduction = Field("l2", description="U from the difference: l2 norm, sum or mean")
    pull_away_code: Code = Field("raw", description="where the pulling-away term reads the code")
    generator: Widths = Field(
        (), description="maps of G's layers but the last, from the smallest; by the size if not set"
    )
    encoder: Widths = Field(
        (), description="maps of the encoder's layers, last the code; by the size if not set"
    )
    generator_width: int = Field(
        128, ge=1, description="maps of G's last hidden layer; each before it has twice as many"
    )
    encoder_width: int = Field(
        64, ge=1, description="maps of the encoder's first layer; each after it has twice as many"
    )
    latent: int = Field(100, ge=1, description="numbers in z")
    prior: Prior = Field("uniform", description="distribution of z")
    output: Output = Field("tanh", description="G's output unit: linear, tanh or sigmoid")
    decoder_output: Output = Field("linear", description="the decoder's output unit")
    scale: float | None = Field(
        0.02, gt=0, description="standard deviation of all first weights; none for fan-in"
    )
    energy_steps: int = Field(1, ge=1, description="D's steps for each of G's")
    energy_optimiser: Optimiser = Field(ADAM, description="D's optimiser")
    sampler_optimiser: Optimiser = Field(ADAM, description="G's optimiser")

    @classmethod
    def tiny(cls) -> "Config":
        return cls(generator=(8,), encoder=(4, 8), latent=4)


def build(config: Config, domain: Domain) -> Model:
    """The three choices, for images of `domain`."""
    event = image_shape(domain, "ebgan_conv")
    check_output(config.output, domain)
    generator_widths = config.generator or _growing(
        config.generator_width, halvings(*event[1:], smallest=4)
    )
    generator_widths = generator_widths if config.generator else generator_widths[::-1]
    encoder_widths = config.encoder or _growing(
        config.encoder_width, min(max(halvings(*event[1:], smallest=8), 2), 4)
    )
    for name, widths in (("generator", generator_widths), ("encoder", encoder_widths)):
        _check_depth(name, len(widths), event)
    generator = conv_generator(config.latent, generator_widths, event, config.output)
    autoencoder = conv_autoencoder(event[0], encoder_widths, config.decoder_output)
    if config.scale is not None:
        set_weights(generator, "normal", config.scale)
        set_weights(autoencoder, "normal", config.scale)
    return Model(
        energy=Reconstruction(autoencoder, 3, config.reduction, config.pull_away_code),
        sampler=Generator(generator, config.latent, config.prior),
        objective=LOSSES[config.loss](),
        hyper=scheduled(config.loss, config.margin, config.pull_away),
        energy_optimiser=config.energy_optimiser,
        sampler_optimiser=config.sampler_optimiser,
        energy_steps=config.energy_steps,
        chosen={
            "images": f"{event[2]}x{event[1]}, {'colour' if event[0] == 3 else 'grey'}",
            "generator": "-".join(map(str, generator_widths)),
            "encoder": "-".join(map(str, encoder_widths)),
        },
    )


def _growing(width: int, depth: int) -> tuple[int, ...]:
    """`depth` widths that double from `width`, to eight times it at most."""
    return tuple(width * min(2**i, 8) for i in range(depth))


def _check_depth(name: str, depth: int, event: tuple[int, int, int]) -> None:
    factor = 2 ** max(depth, 2)
    if depth == 0 or event[1] % 2**depth or event[2] % 2**depth:
        near = max(round(min(event[1:]) / factor) * factor, 8)
        raise SettingError(
            f"the {name} halves the sides {max(depth, 1)} times and the images are "
            f"{event[1]}x{event[2]}: resize them, as with --data.size {near}, or give "
            f"--model.{name} other widths"
        )
