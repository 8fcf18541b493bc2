"""EBGAN and EBGAN-PT (Zhao et al. 2017) with the fully connected networks of section 4.1.

    U(x) = ‖Dec(Enc(x)) − x‖                                       (eq. 13)
    L_D = E U(x) + E [m − U(G(z))]^+                               (eq. 1)
    L_G = E U(G(z)) + w · f_PT(Enc(G(z)))                          (eqs 2, 14; w = 0 for EBGAN)

Layer counts as in table 1: n layers of G are n − 1 hidden ones and the output; n layers of D are
n − 1 of the encoder, whose last is the code, and the decoder's one.
"""

from typing import Literal

from pydantic import Field

from energan.core import Domain, Model, Objective, Optimiser
from energan.core.schedules import MARGIN, Margin, Schedule
from energan.energies.reconstruction import Code, Reconstruction, Reduction
from energan.nets.autoencoder import mlp_autoencoder
from energan.nets.conditional import ConditionalAutoEncoder, WithLabels
from energan.nets.mlp import Output, Widths, check_output, mlp_generator, set_weights
from energan.objectives import Contrastive, Hinge, Log, SquareSquare
from energan.objectives.settings import Regularised
from energan.samplers.generator import Generator, Prior

Loss = Literal["hinge", "square-square", "log", "contrastive"]
LOSSES: dict[str, type[Objective]] = {
    "hinge": Hinge,
    "square-square": SquareSquare,
    "log": Log,
    "contrastive": Contrastive,
}


def hyper_of(loss: Loss, margin: Schedule, pull_away: Schedule) -> dict[str, Schedule]:
    """What an EBGAN's objective reads from the schedules: no more than it has."""
    hyper: dict[str, Schedule] = {}
    if issubclass(LOSSES[loss], Hinge):
        hyper["margin"] = margin
    if pull_away != 0:
        hyper["pull_away"] = pull_away
    return hyper


class Config(Regularised):
    """Settings of the fully connected EBGAN; the defaults are its best of figure 4."""

    margin: Margin = Field(10.0, description=MARGIN)
    pull_away: Schedule = Field(
        0.0, description="weight of the pulling-away term (PT) in the generator's loss"
    )
    loss: Loss = Field(
        "hinge", description="loss of the discriminator; contrastive has no margin and diverges"
    )
    reduction: Reduction = Field(
        "l2",
        description="how the energy is computed from the reconstruction error: l2 norm, sum or "
        "mean",
    )
    code: Code = Field("raw", description="where the pulling-away term reads the code")
    generator: Widths = Field((800,) * 4, description="hidden layer widths of the generator")
    encoder: Widths = Field(
        (1024,),
        min_length=1,
        description="layer widths of the discriminator's encoder; the last is the code",
    )
    decoder: Widths = Field((), description="hidden layer widths of the discriminator's decoder")
    norm: bool = Field(
        True,
        description="use batch norm, except in the generator's output and the discriminator's "
        "first layer",
    )
    dropout: float = Field(
        0.0, ge=0, lt=1, description="dropout rate of the discriminator's hidden layers"
    )
    latent: int = Field(100, ge=1, description="dimension of the latent vector z")
    prior: Prior = Field("normal", description="distribution of z")
    output: Output = Field(
        "tanh", description="output activation of the generator: linear, tanh or sigmoid"
    )
    decoder_output: Output = Field("linear", description="output activation of the decoder")
    generator_scale: float | None = Field(
        0.02,
        gt=0,
        description="standard deviation of the generator's initial weights; none: scaled by fan-in",
    )
    discriminator_scale: float | None = Field(
        0.002,
        gt=0,
        description="standard deviation of the discriminator's initial weights; none: scaled by "
        "fan-in",
    )
    energy_steps: int = Field(1, ge=1, description="discriminator updates per generator update")
    energy_optimiser: Optimiser = Field(Optimiser(), description="optimiser of the discriminator")
    sampler_optimiser: Optimiser = Field(Optimiser(), description="optimiser of the generator")

    @classmethod
    def tiny(cls) -> "Config":
        return cls(generator=(16, 16), encoder=(16, 8), latent=4, pull_away=0.1, dropout=0.2)


def build(config: Config, domain: Domain) -> Model:
    """The three choices, for examples of `domain`."""
    check_output(config.output, domain)
    return networks(config, domain)


def networks(config: Config, domain: Domain, classes: int = 0) -> Model:
    """The two networks, and where there are `classes`, with the label beside x, code and z."""
    autoencoder = mlp_autoencoder(
        domain.shape,
        config.encoder,
        decoder=config.decoder,
        norm=config.norm,
        dropout=config.dropout,
        output=config.decoder_output,
        beside=classes,
    )
    generator = mlp_generator(
        config.latent + classes,
        config.generator,
        domain.shape,
        norm=config.norm,
        output=config.output,
    )
    if config.discriminator_scale is not None:
        set_weights(autoencoder, "normal", config.discriminator_scale)
    if config.generator_scale is not None:
        set_weights(generator, "normal", config.generator_scale)
    network = ConditionalAutoEncoder(autoencoder, domain.shape, classes) if classes else autoencoder
    return Model(
        energy=Reconstruction(network, len(domain.shape), config.reduction, config.code),
        sampler=Generator(
            WithLabels(generator, classes) if classes else generator, config.latent, config.prior
        ),
        objective=config.on_seen(LOSSES[config.loss](), domain),
        hyper={**hyper_of(config.loss, config.margin, config.pull_away), **config.penalties},
        energy_optimiser=config.energy_optimiser,
        sampler_optimiser=config.sampler_optimiser,
        energy_steps=config.energy_steps,
        conditional=classes > 0,
    )
