"""Values that change with the step, written as a number or as a short expression.

A setting of type `Schedule` is a number or one of these strings (`t` counts steps from 0):

| written | value at step t |
|---|---|
| `0.001` | 0.001 throughout |
| `linear(a, b, n)` | from a at t = 0 straight to b at t = n, then b |
| `linear(a, b, n, start)` | a until `start`, then straight to b over n steps, then b |
| `cosine(a, b, n[, start])` | the same along half a cosine: a + (b − a)(1 − cos(π t/n))/2 |
| `geometric(a, r, floor)` | max(a / r^t, floor) |

Goodfellow et al. 2014 lower their rate by `geometric(0.1, 1.000004, 1e-6)`. The form survives JSON
and the command line: `--model.margin "linear(16, 0, 60000)"`.

Settings that count training steps carry a mark, `Scalable`, by which one factor scales them all:
schedules, and plain counts of type `Steps`.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from math import cos, inf, isfinite, log2, pi
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel

from energan.errors import SettingError

_CALL = re.compile(r"^\s*(\w+)\s*\(([^()]*)\)\s*$")


def _share(t: int, n: float, start: float) -> float:
    """Of the way from `start` over n steps that is done at t, 0 to 1."""
    if n < 0:
        raise ValueError("linear(from, to, steps) and cosine(from, to, steps) need steps ≥ 0")
    return min(max((t - start) / n, 0.0), 1.0) if n > 0 else float(t >= start)


def _linear(t: int, a: float, b: float, n: float, start: float = 0.0) -> float:
    return a + (b - a) * _share(t, n, start)


def _cosine(t: int, a: float, b: float, n: float, start: float = 0.0) -> float:
    return a + (b - a) * (1 - cos(pi * _share(t, n, start))) / 2


def _geometric(t: int, a: float, r: float, floor: float = 0.0) -> float:
    if r < 1:
        raise ValueError("geometric(from, divisor, floor) needs a divisor of at least 1")
    # In logarithms: r**t overflows a float for the long runs in which the floor has long won.
    return max(a * float(2.0 ** (-t * log2(r))), floor)


_FORMS: dict[str, tuple[Callable[..., float], range]] = {
    "linear": (_linear, range(3, 5)),
    "cosine": (_cosine, range(3, 5)),
    "geometric": (_geometric, range(2, 4)),
}


def parse(written: float | str) -> Callable[[int], float]:
    """Return the function from step to value that a schedule stands for.

    Raises:
        ValueError: if `written` is not a schedule; the message lists the forms.
    """
    try:
        constant = float(written)
    except ValueError:
        pass
    else:
        if not isfinite(constant):
            raise ValueError(f"{written!r} is not a finite number")
        return lambda t: constant
    match = _CALL.match(str(written))
    form, counts = _FORMS.get(match[1], (None, range(0))) if match else (None, range(0))
    try:
        arguments = [float(a) for a in match[2].split(",")] if match else []
    except ValueError:
        form = None
        arguments = []
    if form is None or len(arguments) not in counts or not all(map(isfinite, arguments)):
        raise ValueError(
            f"{written!r} is not a number or a schedule: write linear(from, to, steps), "
            "linear(from, to, steps, start), cosine(from, to, steps, start) or geometric(from, "
            "divisor, floor)"
        )
    chosen = form
    chosen(0, *arguments)  # an impossible argument speaks now, not at step 1
    return lambda t: chosen(t, *arguments)


BETWEEN = ("linear", "cosine")
"""Forms that go from one value to another over a number of steps."""
FOREVER = 10**12
FORMS = (
    "a number, linear(from, to, steps[, start]), cosine(from, to, steps[, start]) or "
    "geometric(from, divisor[, floor])"
)
"""How a schedule is written, for help texts."""


def _check_form(written: float | str) -> float | str:
    parse(written)
    return written


def _check(written: float | str) -> float | str:
    value = parse(written)
    if min(value(0), value(FOREVER)) < 0:
        raise ValueError(f"{written!r} falls below 0")
    return written


def _check_decay(written: float | str) -> float | str:
    value = parse(_check(written))
    if max(value(0), value(FOREVER)) >= 1:
        raise ValueError(f"{written!r} must stay below 1")
    return float(value(0)) if value(0) == value(FOREVER) else written


@dataclass(frozen=True)
class Scalable:
    """Marks a setting that counts training steps, so that `--scale` scales it.

    Attributes:
        by: function (value, factor) that returns the scaled value.
        end: function from a value to the step from which it no longer changes.
    """

    by: Callable[[Any, Fraction], Any]
    end: Callable[[Any], float]


def scaled_count(count: int, factor: Fraction) -> int:
    """Scale a number of steps: rounded, at least 1; 0 stays 0."""
    return max(1, round(count * factor)) if count else 0


def scaled_schedule(written: float | str, factor: Fraction) -> float | str:
    """Scale a schedule in time: its value at step factor·t is the former value at t. Numbers stay.

    For `linear` and `cosine` both ends are rounded to steps, so that a schedule that ends with
    the training still does. `geometric` gets the divisor r^(1/factor), since
    (r^(1/factor))^(factor·t) = r^t.
    """
    match = _CALL.match(str(written))
    if match is None:
        return written
    form, arguments = match[1], [a.strip() for a in match[2].split(",")]
    if form in BETWEEN:
        n, *rest = (Fraction(a) for a in arguments[2:])
        start = rest[0] if rest else Fraction(0)
        begin, end = round(start * factor), round((start + n) * factor)
        counts = [max(1, end - begin) if n else 0, *([begin] if rest else [])]
        arguments[2:] = map(str, counts)
    else:
        # past 2^1000 the next step's value is 0, or the floor, in any case
        power = min(log2(float(arguments[1])) / float(factor), 1000.0)
        arguments[1] = repr(float(2.0**power))
    return f"{form}({', '.join(arguments)})"


def end_of(written: float | str) -> float:
    """The step from which a schedule no longer changes; 0 for a number and for `geometric`, which
    never ends.
    """
    match = _CALL.match(str(written))
    if match is None or match[1] not in BETWEEN:
        return 0.0
    n, *start = (float(a) for a in match[2].split(",")[2:])
    return n + (start[0] if start else 0.0)


class Essential:
    """Marks a setting that `train --help` shows; `--help-all` shows all."""


ESSENTIAL = Essential()
Steps = Annotated[int, Scalable(scaled_count, float)]
"""A setting that counts training steps."""
Schedule = Annotated[float | str, AfterValidator(_check), Scalable(scaled_schedule, end_of)]
"""A setting that changes with the step, never below 0: a rate, a margin, a weight."""
SignedSchedule = Annotated[
    float | str, AfterValidator(_check_form), Scalable(scaled_schedule, end_of)
]
"""One that may fall below 0."""
Decay = Annotated[float | str, AfterValidator(_check_decay), Scalable(scaled_schedule, end_of)]
"""A schedule that stays in [0, 1): a decay rate."""

AUTO = "auto"


def _check_margin(written: float | str) -> float | str:
    return written if written == AUTO else _check(written)


Margin = Annotated[
    float | str, AfterValidator(_check_margin), Scalable(scaled_schedule, end_of), ESSENTIAL
]
"""A margin: a schedule, or AUTO, which is resolved to a number before a model is built."""
MARGIN = f"margin m: auto (estimated from the data), or {FORMS}"


def factor_of(written: str | float | Fraction) -> Fraction:
    """Read a factor, a number or a fraction such as "1/6".

    Raises:
        SettingError: if it is not above 0.
    """
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
    raise SettingError(
        f"scale {text!r}: give a number or a fraction above 0, for example 0.5 or 1/6"
    )


def scaled_settings(settings: BaseModel, factor: Fraction) -> dict[str, Any]:
    """The changes, nested by group, that multiply all counts of steps in
    `settings` by the factor.
    """
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


def unfinished_settings(settings: BaseModel, steps: int, prefix: str = "") -> list[str]:
    """Settings that would still change after so many steps, by name and value: "model.margin
    linear(16, 0, 60000)".
    """
    found: list[str] = []
    for name, info in type(settings).model_fields.items():
        value, path = getattr(settings, name), f"{prefix}{name}"
        if isinstance(value, BaseModel):
            found += unfinished_settings(value, steps, f"{path}.")
        elif any(isinstance(mark, Scalable) and mark.end(value) > steps for mark in info.metadata):
            found.append(f"{path} {value}")
    return found
