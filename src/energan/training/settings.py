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
        10_000, ge=1, le=10**9, description="steps, each with one sampler update"
    )
    epochs: Epochs = Field(
        None,
        gt=0,
        le=10**6,
        description="passes over the training data, which set the steps once it is open, unless "
        "training.steps is set too",
    )
    batch_size: Annotated[int, ESSENTIAL] = Field(
        100, ge=1, le=65_536, description="real samples, and fakes, in a batch"
    )
    ema: Decay = Field(
        0.999,
        description="decay of the averaged weights for one step, or a schedule; faster at first; "
        "0 for none",
    )
    on_divergence: Literal["stop", "rollback"] = Field(
        "stop",
        description="a loss that is not finite, or chains that blow up, stop the run, or roll it "
        "back and halve its rates",
    )
    rollbacks: int = Field(5, ge=1, description="how often to roll back before giving up")
    guard: bool = Field(True, description="watch chains for a blow-up before numbers overflow")
    ema_every: int = Field(10, ge=1, description="steps between updates of the averaged weights")
