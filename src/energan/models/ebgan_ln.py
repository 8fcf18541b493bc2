"""EBGAN-LN (Zhao et al. 2017, section 4.2 and appendix D): a ladder network as EBGAN's energy.

    U(x) = ‖x − ẑ⁰‖²,  x from the noisy encoder                         (bottom-layer cost)
    L_D = w · CE(logits(x_l), y_l) + λ · (E U(x) + c · E [m − U(G(z))]^+)
    L_G = E U(G(z))

m falls to 0 and the generator stops; from then on D trains as the plain ladder network.
"""

from pydantic import Field

from energan.core import Domain, Model, Optimiser
from energan.core.schedules import FORMS, Schedule, Steps
from energan.models.ladder import LadderConfig
from energan.nets.mlp import Output, Widths, check_output, mlp_generator
from energan.objectives.few_labels import FewLabels
from energan.samplers.generator import Generator, Prior


class Config(LadderConfig):
    """Settings of EBGAN-LN; the defaults are the paper's, and ours where it names none."""

    margin: Schedule = Field("linear(16, 0, 60000)", description=f"m: {FORMS}")
    until: Steps = Field(60_000, ge=1, description="step at which the generator stops training")
    contrast: Schedule = Field(1.0, description="weight c of the hinge loss beside the energy U(x)")
    generator: Widths = Field((500, 500), description="hidden layer widths of the generator")
    norm: bool = Field(True, description="use batch norm in the generator, except in its output")
    latent: int = Field(100, ge=1, description="dimension of the latent vector z")
    prior: Prior = Field("normal", description="distribution of z")
    output: Output = Field(
        "sigmoid", description="output activation of the generator: linear, tanh or sigmoid"
    )
    energy_optimiser: Optimiser = Field(
        Optimiser(lr="linear(0.0005, 0, 60000, 120000)"),
        description="optimiser of the discriminator",
    )
    sampler_optimiser: Optimiser = Field(
        Optimiser(lr=0.00025), description="optimiser of the generator"
    )

    @property
    def phases(self) -> tuple[int, ...]:
        return (self.until,)

    @classmethod
    def tiny(cls) -> "Config":
        return cls(
            hidden=(16, 12), labelled=20, margin="linear(16, 0, 6)", until=6, generator=(16, 16),
            latent=4, energy_optimiser=Optimiser(),
        )  # fmt: skip


def build(config: Config, domain: Domain) -> Model:
    """The three choices, for examples of `domain`."""
    check_output(config.output, domain)
    energy = config.ladder(domain)
    network = mlp_generator(
        config.latent, config.generator, domain.shape, norm=config.norm, output=config.output
    )
    return Model(
        energy=energy,
        sampler=Generator(network, config.latent, config.prior, until=config.until),
        objective=FewLabels(),
        hyper={
            **config.hyper(domain),
            "margin": config.margin,
            "contrast": config.contrast,
        },
        energy_optimiser=config.energy_optimiser,
        sampler_optimiser=config.sampler_optimiser,
        labelled=config.labelled,
    )
