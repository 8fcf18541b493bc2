"""Which of two scores is the better one, before there is a score."""

from typing import Literal

from energan.errors import SettingError
from energan.metrics import catalogue


def better_of(metric: str) -> Literal["higher", "lower"]:
    """Which scores are better. Raises SettingError for what ranks nothing, as a variance ratio."""
    better = catalogue.better_of(metric)
    if better is None:
        fit = ", ".join(name for name, m in catalogue.METRICS.items() if m.better and m.scored)
        raise SettingError(f"metrics: {metric} cannot rank trials; let the first be one of {fit}")
    return better
