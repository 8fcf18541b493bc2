"""GAN (Goodfellow et al. 2014) with convolutions: maxout in D, one deconvolution in G.

    D(x) = sigmoid(−U(x)),  U(x) = −logit(x)
    L_D = E softplus(U(x)) + E softplus(−U(G(z)))           = −E log D(x) − E log(1 − D(G(z)))
    L_G = E softplus(U(G(z)))        (non-saturating)       = −E log D(G(z))

The defaults are the published CIFAR-10 settings: z 100 -> ReLU 8000 -> ReLU 8000, read as 80 maps
of 10×10, -> a transposed 5×5 convolution of stride 3; D: maxout convolutions of 32, 32 and 192 maps
of 2 pieces, each with max-pooling, maxout 500×5, one logit; dropout 0.5, at the input 0.2.
"""

from typing import Annotated

from pydantic import Field

from energan.core import Domain, Model, Optimiser
from energan.energies.logit import Logit
from energan.nets.conv import image_shape
from energan.nets.maxout_conv import LAYERS, deconv_generator, maxout_conv_logit
from energan.nets.mlp import Output, Widths, check_output, set_weights
from energan.objectives.settings import Adversarial
from energan.samplers.generator import Generator, Prior

# 40,000 images in batches of 128 make 250 epochs of 78,125 updates.
SGD = Optimiser(
    kind="sgd", lr="geometric(0.004, 1.000004, 0.000001)", momentum="linear(0.5, 0.7, 78125)"
)
Size = Annotated[int, Field(ge=1)]


class Config(Adversarial):
    """Settings of the convolutional GAN of 2014."""

    generator: Widths = Field(
        (8000,),
        description="widths of the generator's ReLU layers before the deconvolution's input layer",
    )
    generator_maps: int = Field(
        80, ge=1, description="input channels of the generator's deconvolution"
    )
    discriminator: Widths = Field(
        (32, 32, 192),
        min_length=1,
        max_length=len(LAYERS),
        description="channels of the discriminator's convolutions",
    )
    discriminator_dense: int = Field(
        500, ge=1, description="maxout units of the discriminator's dense layer"
    )
    maxout_pieces: tuple[Size, Size] = Field(
        (2, 5),
        description="pieces per maxout unit: of the discriminator's convolutions, of its dense "
        "layer",
    )
    dropout: float = Field(
        0.5, ge=0, lt=1, description="dropout rate before each of the discriminator's layers"
    )
    input_dropout: float = Field(
        0.2, ge=0, lt=1, description="dropout rate of the discriminator's input"
    )
    latent: int = Field(100, ge=1, description="dimension of the latent vector z")
    prior: Prior = Field("uniform-unit-variance", description="distribution of z")
    output: Output = Field(
        "linear", description="output activation of the generator: linear, tanh or sigmoid"
    )
    generator_scale: float = Field(
        0.05, gt=0, description="half-width of the generator's uniform initial weights"
    )
    discriminator_scale: float = Field(
        0.005, gt=0, description="half-width of the discriminator's uniform initial weights"
    )
    energy_steps: int = Field(1, ge=1, description="k: discriminator updates per generator update")
    energy_optimiser: Optimiser = Field(SGD, description="optimiser of the discriminator")
    sampler_optimiser: Optimiser = Field(SGD, description="optimiser of the generator")

    @classmethod
    def tiny(cls) -> "Config":
        return cls(
            generator=(16,),
            generator_maps=4,
            discriminator=(4,),
            discriminator_dense=6,
            maxout_pieces=(2, 2),
            latent=4,
            dropout=0.2,
            generator_scale=0.3,  # at the published scales ten steps of float32 move nothing
            discriminator_scale=0.3,
        )


def build(config: Config, domain: Domain) -> Model:
    """The three choices, for images of `domain`."""
    shape = image_shape(domain, "gan_conv")
    check_output(config.output, domain)
    generator = deconv_generator(
        config.latent, config.generator, config.generator_maps, shape, config.output
    )
    discriminator = maxout_conv_logit(
        shape,
        config.discriminator,
        config.discriminator_dense,
        config.maxout_pieces,
        input_dropout=config.input_dropout,
        dropout=config.dropout,
    )
    set_weights(generator, "uniform", config.generator_scale)
    set_weights(discriminator, "uniform", config.discriminator_scale)
    return Model(
        energy=Logit(discriminator),
        sampler=Generator(generator, config.latent, config.prior),
        objective=config.objective(domain),
        hyper=config.penalties,
        energy_optimiser=config.energy_optimiser,
        sampler_optimiser=config.sampler_optimiser,
        energy_steps=config.energy_steps,
    )
