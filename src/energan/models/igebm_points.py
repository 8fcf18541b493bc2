"""IGEBM of points: a fully connected energy by maximum likelihood, sampled by its own chains.

    q(x) = exp(−U(x))/Z,    −∇ log q(x) = ∇U(x) − E_q ∇U
    x̃ ← x̃ − ½ε∇U(x̃) + √ε·α,  α ~ N(0, 1),   K times from a replay buffer
    L = E U(x) − E U(x̃) + λ(E U(x)² + E U(x̃)²)

Chains are refused moves by a Metropolis test (MALA, HMC), so that they have the law q and not one
that is wider by the step; and may jump to places all over the box by their share of exp(−U), or
nothing would say how much of q each mode has: between modes a gradient leads nowhere. `langevin`
and `underdamped` go without both. There is no spectral norm: modes that are narrow need a U that is
steep.
"""

from pydantic import Field

from energan.core import Domain, Model, Optimiser, SettingError, StepRule
from energan.core.schedules import Schedule
from energan.energies.scalar import Scalar
from energan.nets.conditional import WithLabels, classes_of
from energan.nets.mlp import Widths, smooth_mlp
from energan.objectives import MaximumLikelihood
from energan.objectives.contrastive import L2
from energan.samplers.chains import ChainSampler
from energan.samplers.kernels import Dynamical, Dynamics
from energan.samplers.replay import Replay

ADAM = Optimiser(lr=0.001, beta1=0.0)


class Config(Dynamical):
    """Settings of IGEBM of points."""

    hidden: Widths = Field((128, 128, 128), description="hidden layer widths, with SiLU units")
    conditional: bool = Field(False, description="condition the energy on the label")
    spectral: bool = Field(False, description="spectral normalisation of all weights")
    dynamics: Dynamics = Field(
        "mala",
        description="langevin or underdamped (approximate), mala or hmc (exact for any step size)",
    )
    steps: int = Field(40, ge=1, description="K: chain steps per training step")
    step_size: float = Field(0.01, gt=0, description="ε")
    noise: float | None = Field(
        None,
        ge=0,
        description="langevin: standard deviation of the noise; none: √ε, with half the gradient",
    )
    clip: float | None = Field(
        None, gt=0, description="langevin: clip each coordinate of the gradient to ± this"
    )
    buffer: int = Field(512, ge=1, description="number of chains in the replay buffer")
    restart: float = Field(
        0.0, ge=0, le=1, description="fraction of chains that restart from noise"
    )
    jumps: int = Field(
        64,
        ge=0,
        description="mala and hmc: number of random positions that a chain may jump to in a step",
    )
    box: float = Field(4.0, gt=0, description="initial noise is uniform in ± this")
    sample_steps: int = Field(
        0, ge=0, description="chain steps of a sample after it is taken from the buffer; 0: K"
    )
    energy_l2: Schedule = Field(
        0.001, description="λ: weight of the squared energies (L2 regularisation)"
    )
    l2: L2 = Field(
        "sum",
        description="regularise the sum of the squared energies, or their difference as some "
        "papers print it",
    )
    energy_optimiser: Optimiser = Field(ADAM, description="optimiser")

    @classmethod
    def tiny(cls) -> "Config":
        return cls(hidden=(8,), steps=3, buffer=32)


def build(config: Config, domain: Domain) -> Model:
    """The three choices, for points of `domain`."""
    if len(domain.shape) != 1 or domain.low is not None:
        raise SettingError(
            f"igebm_points takes unbounded points, and the data holds {domain.shape}: use "
            "--model igebm for images"
        )
    rule, kernel = StepRule(config.step_size, config.noise, config.clip), config.kernel
    if not kernel.takes(rule):
        raise SettingError(
            "model.noise and model.clip apply to langevin only: leave them out, or set "
            "--model.dynamics langevin"
        )
    classes = classes_of(domain, "igebm_points") if config.conditional else 0
    mlp = smooth_mlp(domain.size, config.hidden, beside=classes, spectral=config.spectral)
    sampler = ChainSampler(
        rule,
        config.steps,
        Replay(config.buffer, domain.shape, -config.box, config.box, classes=classes or None),
        restart=config.restart,
        sample_steps=config.sample_steps or config.steps,
        kernel=kernel,
        jumps=config.jumps,
        target_acceptance=config.target_acceptance,
    )
    return Model(
        energy=Scalar(WithLabels(mlp, classes) if classes else mlp, full_precision=True),
        sampler=sampler,
        objective=MaximumLikelihood(config.l2),
        hyper={"energy_l2": config.energy_l2},
        energy_optimiser=config.energy_optimiser,
        conditional=classes > 0,
        temperature=rule.temperature,
    )
