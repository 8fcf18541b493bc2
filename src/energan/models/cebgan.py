"""Conditional EBGAN, fully connected: the energy of x given a label y.

    U(x | y) = ‖Dec(Enc(x, y), y) − x‖
    L_D = E U(x | y) + E [m − U(G(z, y) | y)]^+
    L_G = E U(G(z, y) | y) + w · f_PT(Enc(G(z, y), y))             (w = 0 without the term)

Zhao et al. 2017 name it as future work (section 5) and give no network: this is that of section
4.1 with the label, one-hot, beside x, beside the code and beside z. y of the fakes is that of the
real batch.
"""

from energan.core import Domain, Model
from energan.energies.reconstruction import Reconstruction
from energan.models import ebgan
from energan.nets.autoencoder import mlp_autoencoder
from energan.nets.conditional import ConditionalAutoEncoder, WithLabels, classes_of
from energan.nets.mlp import check_output, mlp_generator, set_weights
from energan.samplers.generator import Generator


class Config(ebgan.Config):
    """Settings of the fully connected conditional EBGAN: those of the EBGAN."""

    @classmethod
    def tiny(cls) -> "Config":
        return cls(generator=(16, 16), encoder=(16, 8), latent=4, pull_away=0.1, dropout=0.2)


def build(config: Config, domain: Domain) -> Model:
    """The three choices, for events of `domain` with labels."""
    classes = classes_of(domain, "cebgan")
    check_output(config.output, domain)
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
    energy = Reconstruction(
        ConditionalAutoEncoder(autoencoder, domain.shape, classes),
        len(domain.shape),
        config.reduction,
        config.code,
    )
    return Model(
        energy=energy,
        sampler=Generator(WithLabels(generator, classes), config.latent, config.prior),
        objective=ebgan.LOSSES[config.loss](),
        hyper=ebgan.scheduled(config.loss, config.margin, config.pull_away),
        energy_optimiser=config.energy_optimiser,
        sampler_optimiser=config.sampler_optimiser,
        energy_steps=config.energy_steps,
        conditional=True,
    )
