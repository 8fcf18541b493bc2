"""Conditional GAN (Mirza & Osindero 2014): labels joined to both fully connected networks.

    D(x | y) = sigmoid(−U(x | y)),  U(x | y) = −logit(x | y)
    L_D = E softplus(U(x | y)) + E softplus(−U(G(z, y) | y))
    L_G = E softplus(U(G(z, y) | y))                        (non-saturating; minimax selectable)

y of the fakes is that of the batch of real data. The defaults are the published MNIST settings: z
100 uniform -> 200, y -> 1000, joint 1200, sigmoid; D: x -> maxout 240×5, y -> maxout 50×5, joint
maxout 240×4; dropout 0.5 in both; SGD as in 2014, its rate divided by 1.00004 an update.
"""

from typing import Annotated, Literal

from pydantic import Field

from energan.core import Domain, Model, Optimiser
from energan.energies.logit import Logit
from energan.nets.conditional import classes_of, joint_generator, joint_maxout
from energan.nets.mlp import Output, check_output, set_weights
from energan.objectives.settings import Adversarial
from energan.samplers.generator import Generator, Prior

SGD_2014 = Optimiser(
    kind="sgd", lr="geometric(0.1, 1.00004, 0.000001)", momentum="linear(0.5, 0.7, 125000)"
)
Size = Annotated[int, Field(ge=1)]
Three = tuple[Size, Size, Size]


class Config(Adversarial):
    """Settings of the fully connected conditional GAN."""

    generator: Three = Field(
        (200, 1000, 1200),
        description="ReLU units in the generator: of the layer that reads z, of the one that "
        "reads the label, of the joint layer",
    )
    discriminator: Three = Field(
        (240, 50, 240),
        description="maxout units in the discriminator: of the layer that reads x, of the one "
        "that reads the label, of the joint layer",
    )
    maxout_pieces: Three = Field(
        (5, 5, 4), description="pieces per maxout unit of each of these layers"
    )
    dropout: float = Field(
        0.5, ge=0, lt=1, description="dropout rate of the hidden layers of both networks"
    )
    latent: int = Field(100, ge=1, description="dimension of the latent vector z")
    prior: Prior = Field("uniform-unit-variance", description="distribution of z")
    output: Output = Field(
        "sigmoid", description="output activation of the generator: linear, tanh or sigmoid"
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
        return cls(
            generator=(8, 6, 12),
            discriminator=(8, 4, 6),
            maxout_pieces=(2, 2, 2),
            latent=4,
            dropout=0.2,
            generator_scale=0.3,  # at the published scales ten steps of float32 move nothing
            discriminator_scale=0.3,
        )


def build(config: Config, domain: Domain) -> Model:
    """The three choices, for examples of `domain` with labels."""
    classes = classes_of(domain, "cgan")
    check_output(config.output, domain)
    generator = joint_generator(
        config.latent, classes, config.generator, domain.shape, config.output, config.dropout
    )
    discriminator = joint_maxout(
        domain.shape, classes, config.discriminator, config.maxout_pieces, config.dropout
    )
    set_weights(generator, config.weights, config.generator_scale)
    set_weights(discriminator, config.weights, config.discriminator_scale)
    return Model(
        energy=Logit(discriminator),
        sampler=Generator(generator, config.latent, config.prior),
        objective=config.objective(domain),
        hyper=config.penalties,
        energy_optimiser=config.energy_optimiser,
        sampler_optimiser=config.sampler_optimiser,
        energy_steps=config.energy_steps,
        conditional=True,
    )
