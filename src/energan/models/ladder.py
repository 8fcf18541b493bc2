"""The ladder network with few labels (Rasmus et al. 2015), as the baseline of EBGAN-LN.

U(x) = ‖x − ẑ⁰‖²,  x from the noisy encoder                         (bottom-layer cost)
L = CE(logits(x_l), y_l) + λ · E U(x),   λ = reconstruction / numbers in an example
"""

from pydantic import Field

from energan.core import Config as BaseConfig
from energan.core import Domain, Model, Optimiser, SettingError
from energan.core.schedules import Schedule
from energan.energies.ladder import LadderEnergy
from energan.nets.ladder import Ladder
from energan.nets.mlp import Widths
from energan.objectives.few_labels import FewLabels
from energan.samplers.none import NoSampler

ADAM = Optimiser(lr="linear(0.0002, 0, 40000, 80000)")


class LadderConfig(BaseConfig):
    """What the ladder network and EBGAN-LN have in common."""

    hidden: Widths = Field(
        (1000, 500, 250, 250, 250), description="hidden layer widths of the encoder"
    )
    noise: float = Field(0.3, ge=0, description="standard deviation of the noise in the encoder")
    reconstruction: float = Field(
        1000.0,
        gt=0,
        description="λ: weight of the energy U(x), divided by the size of an example; 1000/784 "
        "for digits",
    )
    classification: Schedule = Field(1.0, description="w: weight of the cross-entropy")
    layer_costs: tuple[float, ...] = Field(
        (),
        description="weights of the other layers' denoising costs, each divided by the layer's "
        "width, the lowest layer first; if empty, only the input layer has a cost",
    )
    top_scale: bool = Field(
        False,
        description="learn a scale γ of the logits, as in Rasmus et al.; without it the logits "
        "have unit variance, and probabilities stay well below 1",
    )
    labelled: int = Field(
        100, ge=2, description="labelled examples per batch, the same number of each class"
    )

    @property
    def recipe_for_photographs(self) -> str | None:
        return "few-labels-photos"

    def weight(self, domain: Domain) -> float:
        """λ."""
        return self.reconstruction / domain.size

    def hyper(self, domain: Domain) -> dict[str, Schedule]:
        """What the objective reads from the schedules."""
        return {
            "reconstruction": self.weight(domain),
            "classification": self.classification,
        }

    def ladder(self, domain: Domain) -> LadderEnergy:
        """The energy for examples of `domain`. Raises SettingError if those have no classes."""
        if not domain.classes or domain.condition_shape is not None:
            raise SettingError(
                "a ladder network learns classes from few labels, and this data has no labels: "
                "name a CSV of labels (data.labels), or sort the images into one folder per "
                "class"
            )
        widths = (domain.size, *self.hidden, domain.classes)
        costs, above = self.layer_costs, widths[1:]
        if costs and len(costs) != len(above):
            raise SettingError(
                f"model.layer_costs has {len(costs)} weights, and there are {len(above)} layers "
                "above the input: give one per layer"
            )
        bottom = self.weight(domain)
        weights = [cost / width / bottom for cost, width in zip(costs, above, strict=False)]
        network = Ladder(widths, self.noise, top_scale=self.top_scale)
        return LadderEnergy(network, domain.shape, weights)


class Config(LadderConfig):
    """Settings of the ladder network alone; the defaults are the paper's best baseline."""

    energy_optimiser: Optimiser = Field(ADAM, description="optimiser of the network")

    @classmethod
    def tiny(cls) -> "Config":
        return cls(hidden=(16, 12), labelled=20, energy_optimiser=Optimiser())


def build(config: Config, domain: Domain) -> Model:
    """The three choices, for examples of `domain`."""
    return Model(
        energy=config.ladder(domain),
        sampler=NoSampler(),
        objective=FewLabels(),
        hyper=config.hyper(domain),
        energy_optimiser=config.energy_optimiser,
        labelled=config.labelled,
    )
