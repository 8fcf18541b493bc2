"""What a recipe is."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Recipe:
    """A model's name and the settings that differ from the defaults, by group."""

    name: str
    summary: str
    model: str
    settings: dict[str, Any] = field(default_factory=dict)
