"""Conditional EBGAN with convolutions: the energy of an image x given a label y.

    U(x | y) = ‖Dec(Enc(x, y), y) − x‖
    L_D = E U(x | y) + E [m − U(G(z, y) | y)]^+
    L_G = E U(G(z, y) | y) + w · f_PT(Enc(G(z, y), y))             (w = 0 without the term)

Zhao et al. 2017 name it as future work (section 5) and give no network: this is that of section
4.3 with y one-hot beside z, and as planes, the label's full of ones, beside the image and beside
the code's maps. y of the fakes is that of the batch of real data.
"""

from energan.core import Domain, Model
from energan.models import ebgan_conv
from energan.nets.conditional import classes_of
from energan.nets.conv import image_shape
from energan.nets.mlp import check_output
from energan.samplers.convolutional import conv_sampler


class Config(ebgan_conv.Config):
    """Settings of the convolutional conditional EBGAN: those of the convolutional EBGAN."""


def build(config: Config, domain: Domain) -> Model:
    """The three choices, for images of `domain` with labels."""
    shape = image_shape(domain, "cebgan_conv")
    classes = classes_of(domain, "cebgan_conv")
    check_output(config.output, domain)
    widths = config.generator_widths(shape)
    return ebgan_conv.build_against(
        conv_sampler(config, shape, classes), widths, config, domain, classes
    )
