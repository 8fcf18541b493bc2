"""Runs that differ in nothing but the seed, and what they score together."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from energan.evaluation.results import Result, round_floats
from energan.inference.run import Run
from energan.metrics.bootstrap import Interval, over_seeds


@dataclass(frozen=True)
class OverSeeds:
    """One metric of several runs of one system: its values by seed, their mean with the interval
    of Student's t, their median, and the median as a share of what real data gets."""

    name: str
    seeds: list[int]
    values: list[float]
    mean: float
    interval: Interval
    median: float
    share_of_real: float | None

    def record(self) -> dict[str, Any]:
        """As JSON takes it."""
        return {
            "name": self.name,
            "seeds": self.seeds,
            "values": [round_floats(value) for value in self.values],
            "mean": round_floats(self.mean),
            "low": round_floats(self.interval.low),
            "high": round_floats(self.interval.high),
            "interval": "95% Student t over seeds",
            "median": round_floats(self.median),
            "median_share_of_real": self.share_of_real and float(f"{self.share_of_real:.4g}"),
        }


def system_of(run: Run) -> str:
    """What runs of one system share: the model, its settings, data, precision, step and weights.

    Checkpoints that were each the best of a run stand for each other, whatever their steps.
    """
    settings = run.job.settings.model_dump(mode="json", include={"model", "data", "training"})
    precision = run.config["resolved"]["precision"]
    step = "best" if run.asked == "best" else run.step
    return json.dumps([run.job.model, settings, precision, step, run.weights], sort_keys=True)


def summarise(runs: Sequence[tuple[Run, Sequence[Result]]]) -> list[OverSeeds]:
    """For runs of one system, at least two, each metric that all of them have."""
    found = []
    for first in runs[0][1]:
        same = [next((r for r in results if r.name == first.name), None) for _, results in runs]
        results = [r for r in same if r is not None]
        if len(results) < len(runs):
            continue
        values = [r.value for r in results]
        mean = over_seeds(values)
        shares = [r.value / r.real for r in results if r.real]
        share = median(shares) if first.better == "higher" and len(shares) == len(runs) else None
        seeds = [run.job.settings.seed for run, _ in runs]
        found.append(
            OverSeeds(
                first.name, seeds, values, sum(values) / len(values), mean, median(values), share
            )
        )
    return found


def group_by_system(runs: Sequence[Run]) -> list[list[int]]:
    """Places of the runs of each system that has several, each with a seed of its own."""
    groups: dict[str, list[int]] = {}
    for place, run in enumerate(runs):
        groups.setdefault(system_of(run), []).append(place)
    return [
        places
        for places in groups.values()
        if len({runs[p].job.settings.seed for p in places}) == len(places) > 1
    ]
