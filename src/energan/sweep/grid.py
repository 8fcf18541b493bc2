"""A grid: every combination of some values of some settings of a recipe."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod
from typing import Any

from energan.recipes import merged
from energan.settings import Job, load

Names = str | tuple[str, ...]
Axes = Mapping[Names, Sequence[Any]]


@dataclass(frozen=True)
class Sweep:
    """All combinations of the axes' values, each a change of the recipe.

    axes: a setting's dotted name -> its values, as {"model.margin": (8, 16)}; several names -> rows
    of values that go together.
    """

    name: str
    summary: str
    recipe: str
    axes: Axes

    @property
    def count(self) -> int:
        """How many trials there are."""
        return prod(len(values) for values in self.axes.values())

    def trials(self) -> Iterator[dict[str, Any]]:
        """The changes of each trial, nested by group; the last axis varies fastest."""
        for chosen in product(*self.axes.values()):
            changes: dict[str, Any] = {}
            for names, value in zip(self.axes, chosen, strict=True):
                pairs = (
                    ((names, value),) if isinstance(names, str) else zip(names, value, strict=True)
                )
                for name, one in pairs:
                    changes = merged(changes, _nested(name, one))
            yield changes

    def jobs(self, scale: str | float = 1) -> Iterator[Job]:
        """Each trial as a job. scale: of all counts of training steps, those of the trial too.

        Raises SettingError if a trial does not fit its recipe.
        """
        for changes in self.trials():
            job = load(self.recipe).changed(changes)
            yield job if scale == 1 else job.scaled(scale)


def _nested(name: str, value: Any) -> dict[str, Any]:
    """{"a": {"b": value}} of "a.b"."""
    for part in reversed(name.split(".")):
        value = {part: value}
    return value  # type: ignore[no-any-return]
