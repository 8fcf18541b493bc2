"""DCGAN (Radford et al. 2015): a GAN of strided convolutions.

    D(x) = sigmoid(−U(x)),  U(x) = −logit(x)
    L_D = E softplus(U(x)) + E softplus(−U(G(z)))           = −E log D(x) − E log(1 − D(G(z)))
    L_G = E softplus(U(G(z)))        (non-saturating)       = −E log D(G(z))

G projects z ~ U(−1, 1) of 100 to maps of 4×4 and doubles the sides by 4×4 transposed convolutions,
with ReLU and at last Tanh; D halves them by 4×4 convolutions of stride 2 with LeakyReLU 0.2, down
to 4×4 and one logit. Batch norm follows all layers but G's output and D's first; there is no
pooling and no hidden dense layer. Weights from N(0, 0.02²), Adam at 2e-4 with β1 0.5.

G at 64×64 is the paper's 1024-512-256-128. The paper does not print D's widths: here they are
64-128-256-512, beginning as EBGAN's encoder does. At other sizes the depths follow the size: both
end at maps of 4×4, or of the smallest sides that halving reaches, and widths stop at eight times
the narrowest.
"""

from pydantic import Field

from energan.core import Domain, Model, Optimiser
from energan.energies.logit import Logit
from energan.models.ebgan_conv import ADAM, describe_sizes
from energan.nets.conditional import WithPlanes
from energan.nets.conv import SLOPE, check_depth, conv_logit, growing, halvings, image_shape
from energan.nets.mlp import Widths, check_output, set_weights
from energan.objectives.settings import Adversarial
from energan.samplers.convolutional import ConvGenerated, conv_sampler


class Config(ConvGenerated, Adversarial):
    """Settings of DCGAN; the defaults are the paper's for images of 64×64."""

    discriminator: Widths = Field(
        (),
        description="channels of the discriminator's layers, the largest feature map first; if "
        "not set, chosen from the image size",
    )
    discriminator_width: int = Field(
        64,
        ge=1,
        description="channels of the discriminator's first layer; each later layer has twice as "
        "many",
    )
    slope: float = Field(
        SLOPE, ge=0, lt=1, description="negative slope of the discriminator's LeakyReLU"
    )
    energy_steps: int = Field(1, ge=1, description="discriminator updates per generator update")
    energy_optimiser: Optimiser = Field(ADAM, description="optimiser of the discriminator")
    sampler_optimiser: Optimiser = Field(ADAM, description="optimiser of the generator")

    @classmethod
    def tiny(cls) -> "Config":
        return cls(generator=(8,), discriminator=(4, 8), latent=4)

    def discriminator_widths(self, shape: tuple[int, int, int]) -> tuple[int, ...]:
        """Those that were set, or as many as the sides can be halved down to 4."""
        depth = halvings(*shape[1:], smallest=4)
        return self.discriminator or growing(self.discriminator_width, depth)


def build(config: Config, domain: Domain) -> Model:
    """The three choices, for images of `domain`."""
    return networks(config, domain, image_shape(domain, "dcgan"))


def networks(
    config: Config, domain: Domain, shape: tuple[int, int, int], classes: int = 0
) -> Model:
    """The two networks, and where there are `classes`, with the label joined to both."""
    check_output(config.output, domain)
    sampler = conv_sampler(config, shape, classes)
    widths = config.discriminator_widths(shape)
    check_depth("discriminator", len(widths), shape)
    channels, height, width = shape
    discriminator = conv_logit(widths, (channels + classes, height, width), slope=config.slope)
    if config.scale is not None:
        set_weights(discriminator, "normal", config.scale)
    return Model(
        energy=Logit(WithPlanes(discriminator, classes) if classes else discriminator),
        sampler=sampler,
        objective=config.objective(domain),
        hyper=config.penalties,
        energy_optimiser=config.energy_optimiser,
        sampler_optimiser=config.sampler_optimiser,
        energy_steps=config.energy_steps,
        chosen=describe_sizes(
            shape, generator=config.generator_widths(shape), discriminator=widths
        ),
        conditional=classes > 0,
    )
