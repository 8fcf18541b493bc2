"""One factor for all counts of training steps: a recipe at a sixth of its length.

The settings that count them are marked `Scalable` in their type: `Steps`, `Schedule`, `Margin`. How
often something is written, k, and the decay of averaged weights are not of them, and stay.
"""

from fractions import Fraction
from math import inf
from typing import Any

from pydantic import BaseModel

from energan.errors import SettingError
from energan.schedules import Scalable


def factor_of(written: str | float | Fraction) -> Fraction:
    """The factor of a number or a fraction, "1/6". Raises SettingError if it is not above 0."""
    text = str(written).strip()
    above, bar, below = text.partition("/")
    below = below if bar else "1"
    try:
        # first as floats: Fraction("1e999999999") would write all its digits
        if 0 < float(above) < inf and 0 < float(below) < inf:
            found = Fraction(above) / Fraction(below)
            return found.limit_denominator(10**9) or found  # the float 0.1666… is 1/6
    except (ValueError, ZeroDivisionError):
        pass
    raise SettingError(f"scale {text!r}: write a number or a fraction above 0, as 0.5 or 1/6")


def scaled_settings(settings: BaseModel, factor: Fraction) -> dict[str, Any]:
    """The changes, nested by group, that multiply every count of steps by the factor."""
    changes: dict[str, Any] = {}
    if factor == 1:
        return changes
    for name, info in type(settings).model_fields.items():
        value = getattr(settings, name)
        if isinstance(value, BaseModel) and (inner := scaled_settings(value, factor)):
            changes[name] = inner
        for mark in info.metadata:
            if isinstance(mark, Scalable) and (new := mark.by(value, factor)) != value:
                changes[name] = new
    return changes


def unfinished(settings: BaseModel, steps: int, prefix: str = "") -> list[str]:
    """What of the settings would still change after that many steps, each by its name and value:
    "model.margin linear(16, 0, 60000)"."""
    found: list[str] = []
    for name, info in type(settings).model_fields.items():
        value, path = getattr(settings, name), f"{prefix}{name}"
        if isinstance(value, BaseModel):
            found += unfinished(value, steps, f"{path}.")
        elif any(isinstance(mark, Scalable) and mark.end(value) > steps for mark in info.metadata):
            found.append(f"{path} {value}")
    return found
