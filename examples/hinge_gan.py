"""A model of your own: a GAN with the hinge loss (Lim & Ye 2017).

cd examples && energan train --model hinge_gan --data ring --steps 3000
"""

import torch
import torch.nn.functional as F
from pydantic import Field

from energan.core import Config as BaseConfig
from energan.core import Context, Domain, Model, Optimiser
from energan.energies.logit import Logit
from energan.nets.mlp import mlp_generator, mlp_logit
from energan.objectives.descent import Descent
from energan.samplers.generator import Generator


class Config(BaseConfig):
    width: int = Field(256, ge=1, description="width of the hidden layers")
    optimiser: Optimiser = Field(Optimiser(lr=0.0002), description="of both networks")

    @classmethod
    def tiny(cls) -> "Config":
        return cls(width=8)


class HingeGAN(Descent):
    def contrast(self, real: torch.Tensor, fake: torch.Tensor, context: Context) -> torch.Tensor:
        return F.relu(1 + real).mean(-1) + F.relu(1 - fake).mean(-1)


def build(config: Config, domain: Domain) -> Model:
    hidden = [config.width] * 2
    output = "linear" if domain.low is None else "tanh"
    generator = mlp_generator(32, hidden, domain.shape, norm=True, output=output)
    return Model(
        energy=Logit(mlp_logit(domain.shape, hidden, norm=False)),
        sampler=Generator(generator, 32),
        objective=HingeGAN(),
        energy_optimiser=config.optimiser,
        sampler_optimiser=config.optimiser,
    )
