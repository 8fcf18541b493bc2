"""Conditional DCGAN: labels joined to both convolutional networks.

    D(x | y) = sigmoid(−U(x | y)),  U(x | y) = −logit(x | y)
    L_D = E softplus(U(x | y)) + E softplus(−U(G(z, y) | y))
    L_G = E softplus(U(G(z, y) | y))                        (non-saturating; minimax selectable)

Mirza & Osindero 2014 join y to both networks and give fully connected ones; these are Radford et
al. 2015's. y stands one-hot beside z, and in D as planes beside the image, the label's full of
ones. y of the fakes is that of the batch of real data.
"""

from energan.core import Domain, Model
from energan.models import dcgan
from energan.nets.conditional import classes_of
from energan.nets.conv import image_shape


class Config(dcgan.Config):
    """Settings of the conditional DCGAN: those of the DCGAN."""


def build(config: Config, domain: Domain) -> Model:
    """The three choices, for images of `domain` with labels."""
    shape = image_shape(domain, "cdcgan")
    return dcgan.networks(config, domain, shape, classes_of(domain, "cdcgan"))
