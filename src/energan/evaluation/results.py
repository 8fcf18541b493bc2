"""A score as it is kept: its value, its interval, what real data gets, and what to know of it."""

import math
from dataclasses import asdict, dataclass, field
from typing import Any

from energan.evaluation.reference import Reference
from energan.metrics.bootstrap import Interval
from energan.metrics.catalogue import Better, better_of

DIGITS = 6


@dataclass(frozen=True)
class Result:
    """The value of one metric.

    Attributes:
        name: name of the metric.
        value: its value.
        low: lower end of the confidence interval; None without one.
        high: upper end of the confidence interval; None without one.
        interval: what the interval is.
        better: which values are better, "lower" or "higher"; None if neither is.
        real: the score of real data in place of samples; None if it was not computed.
        note: what to know about this value.
        details: further numbers.
    """

    name: str
    value: float
    low: float | None = None
    high: float | None = None
    interval: str | None = None
    better: Better = None
    real: float | None = None
    note: str | None = None
    details: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.better is None:
            object.__setattr__(self, "better", better_of(self.name))

    def record(self) -> dict[str, Any]:
        """As JSON takes it, with DIGITS significant digits."""
        found = {name: round_floats(value) for name, value in asdict(self).items()}
        return found if math.isfinite(self.value) else {**found, "infinite": True}

    def text(self) -> str:
        """The value, with its interval where there is one."""
        if self.low is None or self.high is None:
            return f"{self.value:.4g}"
        return f"{self.value:.4g} [{self.low:.4g}, {self.high:.4g}]"


@dataclass(frozen=True)
class EvaluationScores:
    """Of `count` events. images: how they were prepared, in words. extractor: its record. left_out:
    metric -> why it does not apply."""

    results: list[Result]
    count: int
    images: str
    reference: Reference
    extractor: dict[str, Any] | None = None
    left_out: dict[str, str] = field(default_factory=dict)


def with_interval(name: str, value: float, found: Interval, how: str, **rest: Any) -> Result:
    return Result(name, value, found.low, found.high, how, **rest)


def as_record(values: dict[str, Any]) -> dict[str, Any]:
    """As JSON takes it, with DIGITS significant digits and without what is None."""
    return {name: round_floats(value) for name, value in values.items() if value is not None}


def round_floats(value: Any) -> Any:
    """The same value with DIGITS significant digits in each float, however nested."""
    if isinstance(value, float):
        # JSON has no word for what is not finite: the value is left out, `infinite` says so
        return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None
    if isinstance(value, dict):
        return {k: round_floats(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [round_floats(v) for v in value]
    return value
