"""GAN (Goodfellow et al. 2014) with fully connected networks.

    D(x) = sigmoid(−U(x)),  U(x) = −logit(x)
    L_D = E softplus(U(x)) + E softplus(−U(G(z)))           = −E log D(x) − E log(1 − D(G(z)))
    L_G = E softplus(U(G(z)))        (non-saturating)       = −E log D(G(z))
    L_G = −E softplus(−U(G(z)))      (minimax)              = E log(1 − D(G(z)))

The defaults are the published MNIST settings: maxout with dropout in D, ReLU and sigmoid in G,
k = 1. With `maxout_pieces` 0, D is the ReLU network of Zhao et al. 2017, section 4.1.
"""

from typing import Literal

from pydantic import Field

from energan.core import Domain, Model, Optimiser
from energan.energies.logit import Logit
from energan.nets.mlp import (
    Output,
    Widths,
    check_output,
    maxout_logit,
    mlp_generator,
    mlp_logit,
    set_output_mean,
    set_weights,
)
from energan.objectives.settings import Adversarial
from energan.samplers.generator import Generator, Prior

SGD_2014 = Optimiser(
    kind="sgd", lr="geometric(0.1, 1.000004, 0.000001)", momentum="linear(0.5, 0.7, 125000)"
)


class Config(Adversarial):
    """Settings of the fully connected GAN."""

    generator: Widths = Field((1200, 1200), description="hidden layer widths of the generator")
    discriminator: Widths = Field(
        (240, 240), description="hidden layer widths of the discriminator"
    )
    maxout_pieces: int = Field(
        5, ge=0, description="pieces per maxout unit of the discriminator; 0: ReLU units"
    )
    dropout: float = Field(
        0.5, ge=0, lt=1, description="dropout rate of the discriminator's hidden layers"
    )
    input_dropout: float = Field(
        0.2, ge=0, lt=1, description="dropout rate of the discriminator's input (maxout only)"
    )
    norm: bool = Field(
        False,
        description="use batch norm in the generator, and in the discriminator if its units are "
        "ReLU",
    )
    latent: int = Field(100, ge=1, description="dimension of the latent vector z")
    prior: Prior = Field("uniform-unit-variance", description="distribution of z")
    output: Output = Field(
        "sigmoid", description="output activation of the generator: linear, tanh or sigmoid"
    )
    start_at_mean: bool = Field(
        True, description="initialise the generator's output bias to the mean training image"
    )
    weights: Literal["normal", "uniform"] = Field(
        "uniform", description="distribution of the initial weights"
    )
    generator_scale: float = Field(
        0.05,
        gt=0,
        description="initial scale of the generator's weights: standard deviation or half-width",
    )
    discriminator_scale: float = Field(
        0.005, gt=0, description="initial scale of the discriminator's weights"
    )
    energy_steps: int = Field(1, ge=1, description="k: discriminator updates per generator update")
    energy_optimiser: Optimiser = Field(SGD_2014, description="optimiser of the discriminator")
    sampler_optimiser: Optimiser = Field(SGD_2014, description="optimiser of the generator")

    @classmethod
    def tiny(cls) -> "Config":
        return cls(generator=(16,), discriminator=(8,), maxout_pieces=2, latent=4)


def build(config: Config, domain: Domain) -> Model:
    """The three choices, for examples of `domain`."""
    check_output(config.output, domain)
    generator = mlp_generator(
        config.latent, config.generator, domain.shape, norm=config.norm, output=config.output
    )
    if config.maxout_pieces:
        discriminator = maxout_logit(
            domain.shape,
            config.discriminator,
            config.maxout_pieces,
            input_dropout=config.input_dropout,
            dropout=config.dropout,
        )
    else:
        discriminator = mlp_logit(
            domain.shape, config.discriminator, norm=config.norm, dropout=config.dropout
        )
    set_weights(generator, config.weights, config.generator_scale)
    set_weights(discriminator, config.weights, config.discriminator_scale)
    if config.start_at_mean and domain.mean is not None:
        set_output_mean(generator, domain.mean, config.output)
    return Model(
        energy=Logit(discriminator),
        sampler=Generator(generator, config.latent, config.prior),
        objective=config.objective(domain),
        hyper=config.penalties,
        energy_optimiser=config.energy_optimiser,
        sampler_optimiser=config.sampler_optimiser,
        energy_steps=config.energy_steps,
    )
