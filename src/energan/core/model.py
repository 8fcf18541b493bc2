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
    """Base of all settings: frozen, and an unknown name is an error."""

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
        """Of a model's settings: whether its energy learns classes, which needs no network to know.

        Those with a setting `labelled`, examples with labels in each batch, do unless it is 0. A
        model that classifies without one says `classifies: ClassVar[bool] = True`.
        """
        return bool(getattr(self, "labelled", 0))

    @property
    def phases(self) -> tuple[int, ...]:
        """Of a model's settings: the training steps, in order, from which a step costs more or less
        than before. `energan train --minutes` and the plan of a sweep time a step of each phase.

        A model whose steps all cost alike leaves it empty.
        """
        return ()


class Optimiser(Config):
    """How one network's parameters are stepped."""

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
    """What a model file's `build` returns.

    hyper: scheduled values by name, as the objective reads them from the context.
    energy_steps: k, energy steps for each sampler step (Goodfellow et al. 2014, algorithm 1).
    chosen: what the build chose by itself from the data, for the user to see.
    conditional: whether both networks take labels, or the conditions that examples come with, so
        that batches and samples must carry them.
    labelled: labelled examples that each batch brings beside the unlabelled ones; 0 for none. The
        energy of such a model classifies: it gives logits, in stream "eval" too.
    temperature: T, where training makes exp(−U/T)/Z the density of the data; None where U is no
        log-density, as a hinge's or a GAN's is none.
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
