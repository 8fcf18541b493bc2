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
    """A grid of trials: all combinations of some values, each a change of one recipe.

    Attributes:
        name: name of the sweep, and of its folder.
        summary: one line on what it compares.
        recipe: name of the recipe, or a settings file.
        axes: values of each axis by its name. Without `settings`, an axis is named by the
            setting that it changes: `{"model.margin": (8, 16)}`.
        settings: function from the values of a trial to the settings that they change, by dotted
            names.
        base: settings that all trials change in the same way, by dotted names.
        metrics: metrics to score trials by; the first one ranks them. Chosen by the data if
            empty.
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
        """Number of trials."""
        return prod(len(values) for values in self.axes.values())

    def values(self) -> Iterator[Values]:
        """Yield the value on each axis, for each trial; the last axis varies fastest."""
        for chosen in product(*self.axes.values()):
            yield dict(zip(self.axes, chosen, strict=True))

    def changes(self, values: Values) -> dict[str, Any]:
        """Settings that a trial with these values changes, nested by group."""
        dotted = {**self.base, **(values if self.settings is None else self.settings(values))}
        changes: dict[str, Any] = {}
        for name, value in dotted.items():
            changes = merged(changes, nested(name, value))
        return changes

    def job(self, values: Values, scale: str | float = 1) -> "Job":
        """Build the job of the trial with these values.

        Args:
            values: value on each axis.
            scale: factor on all counts of training steps, those of the trial included.

        Raises:
            SettingError: if the trial does not fit the recipe.
        """
        # with torch, which those who only list do without
        from energan.experiment.settings import load

        job = load(self.recipe).changed(self.changes(values))
        return job if scale == 1 else job.scaled(scale)

    def jobs(self, scale: str | float = 1) -> Iterator["Job"]:
        """Each trial as a job, in the order of `values`."""
        return (self.job(values, scale) for values in self.values())
