"""R3GAN (Huang et al. 2024): relativistic pairs, penalties on D's gradient, a residual pair.

    U(x) = −logit(x)
    L_D = E softplus(U(x) − U(G(z))) + γ₁/2 · E ‖∇U(x)‖² + γ₂/2 · E ‖∇U(G(z))‖²
    L_G = E softplus(U(G(z)) − U(x))                               (x and z in pairs)

No network has a norm: blocks begin as identities (Fixup) and resampling is bilinear. The widths are
for a CPU; the published pair has 768 maps in every stage and two blocks each. The sides are halved
down to 4, or to the smallest that halving reaches. `conditional` gives both networks the label, a
fake that of the example in its pair. `loss` puts another loss on the same networks:
logistic, hinge, or wasserstein, which with `gradient_penalty` 10, `r1` 0 and `r2` 0 is WGAN-GP.
"""

from pydantic import Field

from energan.core import Domain, Model, Optimiser
from energan.core.schedules import Schedule
from energan.energies.logit import Logit
from energan.models.ebgan_conv import describe_sizes
from energan.nets.conditional import classes_of
from energan.nets.conv import check_depth, halvings, image_shape
from energan.nets.mlp import Output, Widths, check_output
from energan.nets.r3gan import ResidualGenerator, ResidualLogit
from energan.objectives.settings import Adversarial, AdversarialLoss
from energan.samplers.generator import Generator, Prior

ADAM = Optimiser(lr=0.0002, beta1=0.0, beta2=0.99)
WIDEST = 16
"""Largest width of a stage, as a multiple of the width at full resolution."""


class Config(Adversarial):
    """Settings of R3GAN."""

    loss: AdversarialLoss = Field("relativistic", description="relativistic loss of both networks")
    r1: Schedule = Field(
        0.05, description="γ of the penalty γ/2 · E ‖∇U(x)‖² on real examples (R1)"
    )
    r2: Schedule = Field(0.05, description="γ of the same penalty on samples (R2)")
    generator: Widths = Field(
        (),
        description="channels of the generator's stages, the lowest resolution first; if not "
        "set, chosen from the image size",
    )
    generator_width: int = Field(
        16,
        ge=1,
        description="channels of the generator's last stage; each earlier stage has twice as many",
    )
    discriminator: Widths = Field(
        (),
        description="channels of the discriminator's stages, the highest resolution first; if "
        "not set, chosen from the image size",
    )
    discriminator_width: int = Field(
        16,
        ge=1,
        description="channels of the discriminator's first stage; each later stage has twice as "
        "many",
    )
    conditional: bool = Field(False, description="condition both networks on the label")
    blocks: int = Field(1, ge=1, description="residual blocks per stage")
    group: int = Field(
        16, ge=1, description="channels per group of a block's 3×3 grouped convolution"
    )
    latent: int = Field(64, ge=1, description="dimension of the latent vector z")
    prior: Prior = Field("normal", description="distribution of z")
    output: Output = Field(
        "linear", description="output activation of the generator: linear, tanh or sigmoid"
    )
    energy_steps: int = Field(1, ge=1, description="discriminator updates per generator update")
    energy_optimiser: Optimiser = Field(ADAM, description="optimiser of the discriminator")
    sampler_optimiser: Optimiser = Field(ADAM, description="optimiser of the generator")

    @classmethod
    def tiny(cls) -> "Config":
        return cls(generator=(8, 4), discriminator=(4, 8), group=4, latent=4)

    def widths(self, shape: tuple[int, int, int]) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Of G and D: those that were set, or one for each size from the whole image's to 4."""
        stages = halvings(*shape[1:], smallest=4) + 1
        g, d = (
            tuple(width * min(2**i, WIDEST) for i in range(stages))
            for width in (self.generator_width, self.discriminator_width)
        )
        return self.generator or g[::-1], self.discriminator or d


def build(config: Config, domain: Domain) -> Model:
    """The three choices, for images of `domain`."""
    shape = image_shape(domain, "r3gan")
    check_output(config.output, domain)
    generator, discriminator = config.widths(shape)
    check_depth("generator", len(generator) - 1, shape)
    check_depth("discriminator", len(discriminator) - 1, shape)
    classes = classes_of(domain, "r3gan") if config.conditional else 0
    network = ResidualGenerator(
        config.latent, generator, config.blocks, config.group, shape, config.output, classes
    )
    logit = ResidualLogit(discriminator, config.blocks, config.group, shape, classes, config.latent)
    return Model(
        energy=Logit(logit),
        sampler=Generator(network, config.latent, config.prior),
        objective=config.objective(domain),
        hyper=config.penalties,
        energy_optimiser=config.energy_optimiser,
        sampler_optimiser=config.sampler_optimiser,
        energy_steps=config.energy_steps,
        conditional=classes > 0,
        chosen=describe_sizes(shape, generator=generator, discriminator=discriminator),
    )
