"""The figures that a run logged, as what judges them reads them: oldest first."""

from collections.abc import Mapping
from typing import Any

from energan.training.hooks import Figures

History = list[tuple[int, Figures]]
"""(step, figures), oldest first."""


def add_event(history: History, step: int, figures: Figures) -> None:
    """One event more; those that a rollback undid go."""
    while history and history[-1][0] >= step:
        history.pop()
    history.append((step, figures))


def last_figures(history: History, count: int, *names: str) -> list[Figures]:
    """Of the last `count` events; none if they are fewer, or one of them lacks one of `names`."""
    last = [figures for _, figures in history[-count:]]
    complete = len(last) == count and all(name in f for f in last for name in names)
    return last if complete else []


def figures_of(event: Mapping[str, Any]) -> Figures:
    """The figures of a step or score event, as the run's folder keeps it."""
    return {name: float(v) for name, v in event.items() if name not in ("event", "time", "step")}
