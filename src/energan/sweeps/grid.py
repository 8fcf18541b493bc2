"""A grid: every combination of some values of some settings of a recipe."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from math import prod
from typing import TYPE_CHECKING, Any

from energan.io.nested import merged, nested

if TYPE_CHECKING:
    from energan.experiment.settings import Job

Values = dict[str, Any]
"""Axis -> the value that a trial has there, as JSON writes it."""
Axes = Mapping[str, Sequence[Any]]


@dataclass(frozen=True)
class Sweep:
    """All combinations of the axes' values, each a change of the recipe.

    axes: name -> its values. settings: the values of a trial -> dotted settings and what they get;
    without it an axis is named by the setting that it changes, as {"model.margin": (8, 16)}.
    base: dotted settings that all trials change in the same way.
    metrics: what trials are scored by, the first of them the one that ranks them; without any, what
    suits the data.
    """

    name: str
    summary: str
    recipe: str
    axes: Axes
    settings: Callable[[Values], Mapping[str, Any]] | None = None
    base: Mapping[str, Any] = field(default_factory=dict)
    metrics: tuple[str, ...] = ()

    @property
    def count(self) -> int:
        """How many trials there are."""
        return prod(len(values) for values in self.axes.values())

    def values(self) -> Iterator[Values]:
        """Of each trial its value on each axis; the last axis varies fastest."""
        for chosen in product(*self.axes.values()):
            yield dict(zip(self.axes, chosen, strict=True))

    def changes(self, values: Values) -> dict[str, Any]:
        """What these values change of the recipe, nested by group."""
        dotted = {**self.base, **(values if self.settings is None else self.settings(values))}
        changes: dict[str, Any] = {}
        for name, value in dotted.items():
            changes = merged(changes, nested(name, value))
        return changes

    def job(self, values: Values, scale: str | float = 1) -> "Job":
        """The trial of these values. scale: of all counts of training steps, the trial's own too.

        Raises SettingError if the trial does not fit its recipe.
        """
        # with torch, which those who only list do without
        from energan.experiment.settings import load

        job = load(self.recipe).changed(self.changes(values))
        return job if scale == 1 else job.scaled(scale)

    def jobs(self, scale: str | float = 1) -> Iterator["Job"]:
        """Each trial as a job, in the order of `values`."""
        return (self.job(values, scale) for values in self.values())
