"""Scores as pure functions on tensors and arrays: float64 inside, Python numbers out."""

from energan.metrics.distance import sliced_wasserstein
from energan.metrics.diversity import variance_ratio
from energan.metrics.inception import inception_score, modified_inception_score
from energan.metrics.modes import ModeCoverage, modes_covered

__all__ = [
    "ModeCoverage", "inception_score", "modes_covered", "modified_inception_score",
    "sliced_wasserstein", "variance_ratio",
]  # fmt: skip
