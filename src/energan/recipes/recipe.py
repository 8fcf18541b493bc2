"""What a recipe is."""

from dataclasses import dataclass, field
from typing import Any

TASKS = (
    "Make images like yours",
    "Make images of a class",
    "Is this part normal, and where not",
    "Classify from few labels",
    "Turn images into others",
    "Tag images",
)
"""What recipes are for, as `energan recipes` lists them."""


@dataclass(frozen=True)
class Recipe:
    """A model's name and the settings that differ from the defaults, by group.

    task: of TASKS, for what is meant for data of one's own, or stands for it. measured: on how many
    images, and how long a training took, of runs that docs/results holds; empty where none does.
    """

    name: str
    summary: str
    model: str
    settings: dict[str, Any] = field(default_factory=dict)
    task: str = ""
    measured: str = ""


def decayed(lr: float, steps: int, **optimiser: Any) -> dict[str, Any]:
    """Settings of Adam (β₁ 0.9), its rate falling to a tenth over so many steps; and others of
    `optimiser`."""
    return {"lr": f"linear({lr:g}, {lr / 10:g}, {steps})", "beta1": 0.9, **optimiser}
