"""Conditional EBGAN, fully connected: the energy of x given a label y.

    U(x | y) = ‖Dec(Enc(x, y), y) − x‖
    L_D = E U(x | y) + E [m − U(G(z, y) | y)]^+
    L_G = E U(G(z, y) | y) + w · f_PT(Enc(G(z, y), y))             (w = 0 without the term)

Zhao et al. 2017 name it as future work (section 5) and give no network: this is that of section
4.1 with the label, one-hot, beside x, beside the code and beside z. y of the fakes is that of the
real batch.
"""

from energan.core import Domain, Model
from energan.models import ebgan
from energan.nets.conditional import classes_of
from energan.nets.mlp import check_output


class Config(ebgan.Config):
    """Settings of the fully connected conditional EBGAN: those of the EBGAN."""


def build(config: Config, domain: Domain) -> Model:
    """The three choices, for examples of `domain` with labels."""
    classes = classes_of(domain, "cebgan")
    check_output(config.output, domain)
    return ebgan.networks(config, domain, classes)
