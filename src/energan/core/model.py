"""A model is the three, and how they are stepped."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from energan.core.contracts import Energy, Objective, Sampler
from energan.core.schedules import ESSENTIAL, FORMS, Decay, Schedule
from energan.errors import describe

MOST = 10**9
"""Largest value of an integer setting that has no bound of its own."""


def _whole_numbers(value: object) -> Iterator[int]:
    if isinstance(value, int):
        yield value
    elif isinstance(value, (tuple, list)):
        for one in value:
            yield from _whole_numbers(one)


class Config(BaseModel):
    """Base class of settings, a frozen pydantic model that refuses unknown names.

    A model's settings subclass it: its fields become command-line options with help and bounds.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @model_validator(mode="after")
    def _check_sizes(self) -> Self:
        """No number is so large that torch, or the machine's 64 bits, fail at it."""
        for name, value in self:
            if name != "seed" and any(abs(n) > MOST for n in _whole_numbers(value)):
                raise PydanticCustomError(
                    "too_large", "{name}: at most {most} (given: {given})",
                    {"name": name, "most": f"{MOST:,}", "given": describe(value)},
                )  # fmt: skip
        return self

    @property
    def classifies(self) -> bool:
        """Whether a model with these settings learns classes.

        True if there is a setting `labelled` above 0. A model that classifies without that
        setting overrides this with `classifies: ClassVar[bool] = True`.
        """
        return bool(getattr(self, "labelled", 0))

    @property
    def phases(self) -> tuple[int, ...]:
        """Training steps, in ascending order, at which a step begins to cost more or less.

        `energan train --minutes` and the plan of a sweep time one step of each phase. Empty if
        all steps of a model cost the same.
        """
        return ()

    @property
    def recipe_for_photographs(self) -> str | None:
        """The recipe that suits photographs better than this model, which flattens images; training
        on photographs names it in a warning. None for models without such a recipe."""
        return None


class Optimiser(Config):
    """Settings of the optimiser of one network."""

    kind: Literal["adam", "adamw", "sgd"] = Field("adam", description="update rule")
    lr: Annotated[Schedule, ESSENTIAL] = Field(0.001, description=f"learning rate: {FORMS}")
    beta1: float = Field(0.5, ge=0, lt=1, description="Adam: decay rate of the first moment (β₁)")
    beta2: Decay = Field(
        0.999, description="Adam: decay rate of the second moment (β₂), a number or a schedule"
    )
    eps: float = Field(1e-8, gt=0, description="Adam: ε, added to the denominator")
    momentum: Schedule = Field(0.0, description="SGD: momentum, a number or a schedule")
    weight_decay: Schedule = Field(
        0.0,
        description="adamw: weight decay; each step shrinks the weights by this times the "
        "learning rate",
    )
    clip: float | None = Field(
        None, gt=0, description="clip the gradient to this norm, separately for each seed"
    )

    @model_validator(mode="after")
    def _check_weight_decay(self) -> Self:
        if self.weight_decay and self.kind != "adamw":
            raise PydanticCustomError(
                "weight_decay",
                "weight_decay needs adamw: set kind to adamw, or leave weight_decay at 0",
            )
        return self


@dataclass
class Model:
    """A model: its energy, sampler and objective, and how they are trained. `build` returns one.

    Attributes:
        energy: the energy network.
        sampler: what makes samples.
        objective: the losses.
        hyper: scheduled values by name, such as a margin; objectives read them from the context.
        energy_optimiser: optimiser of the energy's parameters.
        sampler_optimiser: optimiser of the sampler's parameters.
        energy_steps: energy updates per sampler update (k in Goodfellow et al. 2014, algorithm
            1).
        chosen: what `build` chose from the data, by name, to be shown to the user.
        conditional: whether energy and sampler take labels, or the conditions that come with the
            examples.
        labelled: number of labelled examples that each batch contains beside the unlabelled
            ones, for models that learn from few labels. If above 0, the energy must return
            logits.
        temperature: T, if training fits the density exp(−U/T)/Z to the data; None for energies
            that are no log-density, such as those of a hinge loss or a GAN.
    """

    energy: Energy
    sampler: Sampler
    objective: Objective
    hyper: dict[str, Schedule] = field(default_factory=dict)
    energy_optimiser: Optimiser = field(default_factory=Optimiser)
    sampler_optimiser: Optimiser = field(default_factory=Optimiser)
    energy_steps: int = 1
    chosen: dict[str, str] = field(default_factory=dict)
    conditional: bool = False
    labelled: int = 0
    temperature: float | None = None

    def __post_init__(self) -> None:
        self.objective.check(self.energy)
