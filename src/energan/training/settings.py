"""What a user says about training."""

from fractions import Fraction
from typing import Annotated, Literal

from pydantic import Field

from energan.core import Config
from energan.core.schedules import ESSENTIAL, Decay, Scalable, Steps


def _scaled_epochs(count: float | None, factor: Fraction) -> float | None:
    return None if count is None else float(count * factor)


Epochs = Annotated[float | None, Scalable(_scaled_epochs, lambda count: 0.0)]


class TrainingSettings(Config):
    """How long, on how much, and what is averaged."""

    steps: Annotated[Steps, ESSENTIAL] = Field(
        10_000,
        ge=1,
        le=10**9,
        description="number of training steps; each updates the generator (or the chains) once",
    )
    epochs: Epochs = Field(
        None,
        gt=0,
        le=10**6,
        description="passes over the training data; sets the number of steps, unless "
        "training.steps is set too",
    )
    batch_size: Annotated[int, ESSENTIAL] = Field(
        100, ge=1, le=65_536, description="batch size: real examples, and as many samples"
    )
    ema: Decay = Field(
        0.999,
        description="decay of the averaged weights (EMA) per step, a number or a schedule; the "
        "average warms up faster; 0: no averaging",
    )
    on_divergence: Literal["stop", "rollback"] = Field(
        "stop",
        description="what to do if a loss is not finite or the chains diverge: stop, or roll "
        "back and halve the learning rates",
    )
    rollbacks: int = Field(5, ge=1, description="largest number of rollbacks")
    guard: bool = Field(True, description="stop before numbers overflow if the chains diverge")
    ema_every: int = Field(10, ge=1, description="steps between updates of the averaged weights")
