"""IGEBM (Du & Mordatch 2019): an energy trained by maximum likelihood, its samples its own chains.

    q(x) = exp(−U(x))/Z,    −∇ log q(x) = ∇U(x) − E_q ∇U
    x̃ ← x̃ − ½ε∇U(x̃) + √ε·α,  α ~ N(0, 1),   K times from a replay buffer       (coupled)
    x̃ ← x̃ − step·∇U(x̃) + noise·α, the gradient clipped, x̃ clamped to the range  (decoupled)
    L = E U(x) − E U(x̃) + λ(E U(x)² + E U(x̃)²)

Images have a residual network under spectral norm, points a fully connected one. Given the range
[0, 1], the published step is 10, noise 0.005, gradient bound 0.01; on [−1, 1] the same dynamics are
40, 0.01 and 0.005, and so on: the settings speak of [0, 1] and are rescaled to the data's range.
The defaults are those of CIFAR-10.
"""

from typing import Literal

from pydantic import Field
from torch import nn

from energan.core import Config as BaseConfig
from energan.core import Domain, Model, Optimiser, SettingError
from energan.energies.scalar import Scalar
from energan.nets.conditional import WithLabels, classes_of
from energan.nets.mlp import Widths, smooth_mlp
from energan.nets.resnet import ResidualEnergy
from energan.objectives.contrastive import L2, MaximumLikelihood
from energan.samplers.chains import Dynamics, LangevinChains
from energan.samplers.dynamics import Rule, scaled_rule
from energan.samplers.replay import Replay
from energan.schedules import Schedule

ADAM = Optimiser(lr=0.0001, beta1=0.0)


class Config(BaseConfig):
    """Settings of IGEBM."""

    stages: Widths = Field((128, 256, 256), description="maps of each stage (images)")
    blocks: Widths = Field((2,), description="blocks of each stage, or one number for all (images)")
    halve_first: bool = Field(False, description="the first layer halves the sides too (images)")
    hidden: Widths = Field((128, 128, 128), description="hidden widths (points)")
    spectral: bool = Field(True, description="spectral normalisation of all weights")
    conditional: bool = Field(False, description="whether U is of an event given its label")
    steps: int = Field(60, ge=1, description="K: steps of each chain in a training step")
    step_size: float = Field(10.0, gt=0, description="ε, of events in [0, 1]; as it is for points")
    noise: float | None = Field(
        0.005, ge=0, description="standard deviation in a step; None: √ε, and half the gradient"
    )
    clip: float | None = Field(0.01, gt=0, description="bound of each coordinate of the gradient")
    noise_first: bool = Field(True, description="add the noise before the gradient is taken")
    dynamics: Dynamics = Field("langevin", description="langevin, or mala: exact, for points")
    buffer: int = Field(10_000, ge=1, description="chains in the replay buffer")
    restart: float = Field(0.05, ge=0, le=1, description="share of chains started anew from noise")
    box: float = Field(
        4.0, gt=0, description="chains start uniformly in ±box where data has no bounds"
    )
    store: Literal["auto", "bytes", "numbers"] = Field(
        "auto", description="how chains are kept; auto: images as bytes, points as numbers"
    )
    sample_steps: int = Field(
        0, ge=0, description="steps of a sample beyond its place in the buffer; 0: K"
    )
    energy_l2: Schedule = Field(1.0, description="λ: weight of the squares of the energies")
    l2: L2 = Field("sum", description="their sum, or difference as later texts print it")
    data_noise: float = Field(0.0, ge=0, description="standard deviation of noise on the data")
    energy_optimiser: Optimiser = Field(ADAM, description="the optimiser")

    @classmethod
    def tiny(cls) -> "Config":
        return cls(stages=(4,), blocks=(1,), hidden=(8,), steps=3, buffer=32)


def build(config: Config, domain: Domain) -> Model:
    """The three choices, for events of `domain`."""
    classes = classes_of(domain, "igebm") if config.conditional else 0
    bounded = domain.low is not None and domain.high is not None
    low, high = domain.low if bounded else -config.box, domain.high if bounded else config.box
    assert low is not None
    assert high is not None
    parts = config.step_size, config.noise, config.clip
    rule = Rule(*parts, noise_first=config.noise_first)
    if bounded:
        rule = scaled_rule(*parts, low, high, noise_first=config.noise_first)
    if config.dynamics == "mala" and bounded:
        raise SettingError(
            "model.dynamics mala: a chain that is clamped to a range is not exact; use langevin"
        )
    packed = bounded if config.store == "auto" else config.store == "bytes"
    replay = Replay(config.buffer, domain.shape, low, high, packed, classes or None)
    sampler = LangevinChains(
        rule,
        config.steps,
        replay,
        restart=config.restart,
        sample_steps=config.sample_steps or config.steps,
        dynamics=config.dynamics,
    )
    return Model(
        energy=Scalar(network(config, domain, classes)),
        sampler=sampler,
        objective=MaximumLikelihood(config.l2, config.data_noise),
        hyper={"energy_l2": config.energy_l2},
        energy_optimiser=config.energy_optimiser,
        conditional=classes > 0,
    )


def network(config: Config, domain: Domain, classes: int) -> nn.Module:
    """A residual network for images, a fully connected one for points."""
    if len(domain.shape) == 3:
        channels, height, width = domain.shape
        return ResidualEnergy(
            (channels, height, width),
            config.stages,
            config.blocks,
            spectral=config.spectral,
            classes=classes,
            halve_first=config.halve_first,
        )
    mlp = smooth_mlp(domain.shape, config.hidden, beside=classes, spectral=config.spectral)
    return WithLabels(mlp, classes) if classes else mlp
