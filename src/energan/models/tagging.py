"""Tags of images (Mirza & Osindero 2014, section 4.2): a GAN of tag vectors given image features.

    D(v | f) = sigmoid(−U(v | f)),  U(v | f) = −logit(v | f)
    L_D = E softplus(U(v | f)) + E softplus(−U(G(z, f) | f))
    L_G = E softplus(U(G(z, f) | f))                        (non-saturating; minimax selectable)

v is the vector of one of the image's tags, f the image's features; f joins both networks. To tag an
image, samples of v are drawn, and the words nearest to each of them vote. The defaults are the
published settings: G: z normal 100 -> ReLU 500, f -> ReLU 2000, both -> v by a linear layer; D:
v -> ReLU 500, f -> ReLU 1200, both -> maxout 1000×3; dropout 0.5 in both; SGD as in section 4.1.

Not printed, and ours: weights N(0, 2/fan-in) at first, biases 0; G's output is divided by √V, and
D's input multiplied by it: unit vectors are then numbers of mean square 1 to both. Real v are as
few as the words, so D could tell any v that is not quite one of them, and G would learn nothing;
`noise` on what D is trained on takes that from it (Sønderby et al. 2017, "instance noise").
"""

from typing import Annotated

import torch
from pydantic import Field
from torch import nn

from energan.core import Config as BaseConfig
from energan.core import Domain, Model, Optimiser, SettingError
from energan.energies.logit import Logit
from energan.models.cgan import SGD_2014
from energan.nets.conditional import Joined
from energan.nets.dense import Dense, Dropout, GaussianNoise, Maxout, Scaled, Sequential
from energan.nets.mlp import Widths, hidden_layers
from energan.objectives import Logistic
from energan.objectives.logistic import SamplerLoss
from energan.samplers.generator import Generator, Prior

Width = Annotated[int, Field(ge=1)]
Two = tuple[Width, Width]


class Config(BaseConfig):
    """Settings of the tagging GAN."""

    generator: Two = Field(
        (500, 2000),
        description="ReLU units in the generator: of the layer that reads z, of the one that "
        "reads the features",
    )
    generator_joint: Widths = Field(
        (),
        description="widths of the generator's ReLU layers after these, before its linear output",
    )
    discriminator: Two = Field(
        (500, 1200),
        description="ReLU units in the discriminator: of the layer that reads the tag vector, "
        "of the one that reads the features",
    )
    joint: int = Field(1000, ge=1, description="maxout units of the discriminator's joint layer")
    maxout_pieces: int = Field(3, ge=1, description="pieces per maxout unit")
    generator_dropout: float = Field(
        0.5, ge=0, lt=1, description="dropout rate of the generator's hidden layers"
    )
    discriminator_dropout: float = Field(
        0.5, ge=0, lt=1, description="dropout rate of the discriminator's hidden layers"
    )
    noise: float = Field(
        0.0,
        ge=0,
        description="standard deviation of noise added to the tag vectors that the "
        "discriminator trains on",
    )
    latent: int = Field(100, ge=1, description="dimension of the latent vector z")
    prior: Prior = Field("normal", description="distribution of z")
    sampler_loss: SamplerLoss = "non-saturating"
    energy_steps: int = Field(1, ge=1, description="k: discriminator updates per generator update")
    energy_optimiser: Optimiser = Field(SGD_2014, description="optimiser of the discriminator")
    sampler_optimiser: Optimiser = Field(SGD_2014, description="optimiser of the generator")

    @classmethod
    def tiny(cls) -> "Config":
        return cls(
            generator=(8, 8),
            generator_joint=(8,),
            discriminator=(8, 8),
            joint=6,
            maxout_pieces=2,
            latent=4,
            generator_dropout=0.2,
            discriminator_dropout=0.2,
            noise=0.1,
        )


def build(config: Config, domain: Domain) -> Model:
    """The three choices, for vectors that come with vectors."""
    features, vector = _sizes(domain)
    generator = _generator(config, features, vector)
    discriminator = _discriminator(config, features, vector)
    for network in (generator, discriminator):
        _set_weights(network)
    return Model(
        energy=Logit(discriminator),
        sampler=Generator(generator, config.latent, config.prior),
        objective=Logistic(config.sampler_loss),
        energy_optimiser=config.energy_optimiser,
        sampler_optimiser=config.sampler_optimiser,
        energy_steps=config.energy_steps,
        conditional=True,
        chosen={"images": f"{features} features", "tags": f"vectors of length {vector}"},
    )


def _sizes(domain: Domain) -> tuple[int, int]:
    """Numbers in the features and in a tag vector. Raises SettingError for data of another kind."""
    shape = domain.condition_shape
    if shape is None or len(shape) != 1 or len(domain.shape) != 1:
        raise SettingError(
            "tagging needs features and tags, and the data has none: name a .npz of both "
            "(`energan features` makes one from tagged images)"
        )
    return shape[0], domain.shape[0]


def _generator(config: Config, features: int, vector: int) -> Joined:
    """(z, f) -> v."""
    of_z, of_f = config.generator
    sizes = [of_z + of_f, *config.generator_joint]
    return Joined(
        _hidden(config.latent, of_z, config.generator_dropout),
        _hidden(features, of_f, config.generator_dropout),
        Sequential(
            *hidden_layers(sizes, norm=False, norm_first=False, dropout=config.generator_dropout),
            Dense(sizes[-1], vector),
            Scaled(vector**-0.5),
        ),
        None,
    )


def _discriminator(config: Config, features: int, vector: int) -> Joined:
    """(v, f) -> logit."""
    of_v, of_f = config.discriminator
    layers: list[nn.Module] = [Maxout(of_v + of_f, config.joint, config.maxout_pieces)]
    if config.discriminator_dropout:
        layers.append(Dropout(config.discriminator_dropout))
    return Joined(
        Sequential(
            GaussianNoise(config.noise),
            Scaled(vector**0.5),
            *_hidden(vector, of_v, config.discriminator_dropout),
        ),
        _hidden(features, of_f, config.discriminator_dropout),
        Sequential(*layers, Dense(config.joint, 1)),
        None,
    )


def _hidden(inputs: int, units: int, dropout: float) -> Sequential:
    return Sequential(
        *hidden_layers([inputs, units], norm=False, norm_first=False, dropout=dropout)
    )


@torch.no_grad()
def _set_weights(network: nn.Module) -> None:
    """Weights from N(0, 2/fan-in): each layer's output varies as its input does."""
    for layer in network.modules():
        if isinstance(layer, Dense):
            layer.weight.normal_(0, (2 / layer.weight.shape[1]) ** 0.5)
            if layer.bias is not None:
                layer.bias.zero_()
