"""What a run's config.json and events.jsonl hold, as far as the commands rely on it.

Older versions wrote fewer keys: those have defaults here. Settings themselves are checked by the
classes of `experiment.settings`, which know the model.
"""

from math import prod
from typing import Annotated, Any, Literal, Self

from pydantic import Field, FiniteFloat, model_validator

from energan.io.cores import MOST_THREADS
from energan.io.documents import Document

MOST_BANDS = 2**10
MOST_SIDE, MOST_NUMBERS = 2**20, 2**28
"""Bounds that no machine or data set comes near; beyond them torch ends the process."""

Count = Annotated[int, Field(ge=0, le=2**53)]
Step = Annotated[int, Field(ge=0, le=10**9)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Byte = Annotated[int, Field(ge=0, le=255)]
Text = Annotated[str, Field(pattern=r"^[^\x00]*$")]
Shape = Annotated[
    list[Annotated[int, Field(ge=1, le=MOST_SIDE)]], Field(min_length=1, max_length=4)
]


Window = Annotated[list[FiniteFloat], Field(min_length=2, max_length=2)]


# --- config.json ----------------------------------------------------------------------------------


class StoredLabelMap(Document):
    """`core.LabelMap` of the sources of pairs."""

    values: list[Annotated[int, Field(ge=0, lt=2**24)]] = Field(min_length=1, max_length=64)
    colours: list[Annotated[list[Byte], Field(min_length=3, max_length=3)]]
    one_hot: bool = True

    @model_validator(mode="after")
    def _check(self) -> Self:
        if len(self.colours) != len(self.values):
            raise ValueError("resolved.domain.label_map: a colour for each value")
        return self


class StoredDomain(Document):
    """`core.Domain` of the data that the run was trained on."""

    shape: Shape
    low: FiniteFloat | None
    high: FiniteFloat | None
    classes: Annotated[int, Field(ge=1, le=MOST_SIDE)] | None
    condition_shape: Shape | None = None
    depth: Literal[8, 16] = 8
    shown: list[Annotated[int, Field(ge=0, lt=MOST_BANDS)]] = Field([])
    label_map: StoredLabelMap | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        for name in ("shape", "condition_shape"):
            shape = getattr(self, name)
            if shape is not None and prod(shape) > MOST_NUMBERS:
                raise ValueError(f"resolved.domain.{name}: {shape} is larger than any example")
        if (self.low is None) != (self.high is None):
            raise ValueError("resolved.domain: low and high are both numbers, or both null")
        if self.low is not None and self.high is not None and self.low >= self.high:
            raise ValueError(f"resolved.domain: low {self.low:g} is not below high {self.high:g}")
        return self


class StoredFact(Document):
    """One line of what was understood of the data, or done to it."""

    subject: Text
    text: Text
    warning: bool = False


class StoredData(Document):
    """The data as it was opened."""

    name: str
    events: Count
    fingerprint: str
    skipped: Count = 0
    class_names: list[str] | None = None
    labelled: Count = 0
    facts: list[StoredFact] = Field(default_factory=list)
    intensity: Window | None = None
    source_intensity: Window | None = None
    side_by_side: bool | None = None


class StoredMargin(Document):
    """A margin that was estimated."""

    margin: FiniteFloat


class Origin(Document):
    """The run whose weights this one started from."""

    path: Text
    step: Step
    sha256: Sha256


class StoredCode(Document):
    """Which source a model of one's own was trained with: the sha256 of paths and contents."""

    sha256: Sha256
    files: list[Text] = Field([])


class Resolved(Document):
    """What was found rather than asked for."""

    device: str = "cpu"
    precision: Literal["bf16", "32", "64"]
    threads: Annotated[int, Field(ge=1, le=MOST_THREADS)]
    ranks: Annotated[int, Field(ge=1, le=MOST_THREADS)] = 1
    data: StoredData
    domain: StoredDomain
    parameters: dict[str, Count] = Field({})
    chosen: dict[str, str] = Field({})
    labelled: Count = 0
    makes_samples: bool = True
    code: StoredCode | None = None
    margin: StoredMargin | None = None
    origin: Origin | None = Field(alias="from")


class RunConfig(Document):
    """config.json."""

    energan: str = ""
    recipe: str = ""
    model: str
    hash: str = ""
    asked: dict[str, Any]
    settings: dict[str, Any]
    resolved: Resolved


# --- events.jsonl ---------------------------------------------------------------------------------


class Event(Document):
    """One line of events.jsonl."""

    event: str
    time: FiniteFloat = 0.0
    step: Step = 0


class FigureEvent(Event):
    """FigureEvent of a step: losses, energies, scores."""

    __pydantic_extra__: dict[str, float]


class Start(Event):
    """A process began to train."""

    cohort: list[int] | None = None
    host: str | None = None
    pid: Annotated[int, Field(ge=1, le=2**31)] | None = None


class Written(Event):
    """A file was written into the run's folder."""

    path: Text


class Warned(Event):
    """A rule of the run's health spoke."""

    kind: str = ""
    says: str = ""


class RolledBack(Event):
    """A divergence was undone, and the learning rates were lowered."""

    rate_scale: Annotated[FiniteFloat, Field(gt=0, le=1)]


class WithReason(Event):
    """The run ended early, or a checkpoint was refused."""

    reason: str


EVENTS: dict[str, type[Event]] = {
    "step": FigureEvent, "score": FigureEvent, "start": Start,
    "samples": Written, "reconstructions": Written, "landscape": Written,
    "health": Warned, "rollback": RolledBack,
    "diverged": WithReason, "stopped": WithReason, "refused": WithReason,
}  # fmt: skip
"""By the name of the event; of others only what all have is looked at."""
