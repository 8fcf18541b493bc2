"""Scores as pure functions on tensors and arrays: float64 inside, Python numbers out.

The figures of pairs of images come as an array, one for each pair.

Names load when they are used, so that the catalogue of metrics needs no torch.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from energan.metrics.bootstrap import (
        Interval,
        inception_interval,
        interval,
        mean_interval,
        over_seeds,
    )
    from energan.metrics.classification import (
        Paired,
        Reliability,
        calibration_error,
        confusion,
        error_interval,
        error_rate,
        paired_difference,
        reliability,
    )
    from energan.metrics.detection import (
        auroc,
        auroc_interval,
        average_precision,
        calibrated_threshold,
        fpr_at_tpr,
        percentile_of,
    )
    from energan.metrics.distance import sliced_wasserstein
    from energan.metrics.diversity import variance_ratio
    from energan.metrics.frechet import (
        Statistics,
        frechet_distance,
        frechet_distance_of,
        statistics_of,
    )
    from energan.metrics.images import l1, psnr, ssim
    from energan.metrics.inception import inception_score, modified_inception_score
    from energan.metrics.kernel import (
        KernelDistance,
        kernel_distance,
        kernel_distance_error,
        kernel_distance_interval,
    )
    from energan.metrics.modes import (
        ClassCoverage,
        ModeCoverage,
        class_coverage,
        modes_covered,
        stacked_labels,
    )
    from energan.metrics.neighbours import (
        Memorisation,
        Neighbourhoods,
        PrecisionRecall,
        memorisation,
        nearest,
        neighbourhoods,
        precision_recall_density_coverage,
    )
    from energan.metrics.partition import EnergyLogLikelihood, energy_log_likelihood, log_partition
    from energan.metrics.parzen import (
        LogLikelihood,
        parzen_log_likelihood,
        parzen_sigma,
        parzen_validation,
    )
    from energan.metrics.tagging import (
        AtK,
        at_k,
        nearest_words,
        neighbour_votes,
        oracle_at_k,
        top_tags,
        word_votes,
    )

__all__ = [
    "AtK", "ClassCoverage", "EnergyLogLikelihood", "Interval", "KernelDistance", "LogLikelihood",
    "Memorisation", "ModeCoverage", "Neighbourhoods", "Paired", "PrecisionRecall", "Reliability",
    "Statistics", "at_k", "auroc", "auroc_interval", "average_precision", "calibrated_threshold",
    "calibration_error", "class_coverage", "confusion", "energy_log_likelihood", "error_interval",
    "error_rate", "fpr_at_tpr", "frechet_distance", "frechet_distance_of", "inception_interval",
    "inception_score", "interval", "kernel_distance", "kernel_distance_error",
    "kernel_distance_interval", "l1", "log_partition", "mean_interval", "memorisation",
    "modes_covered", "modified_inception_score", "nearest", "nearest_words", "neighbour_votes",
    "neighbourhoods", "oracle_at_k", "over_seeds", "paired_difference", "parzen_log_likelihood",
    "parzen_sigma", "parzen_validation", "percentile_of", "precision_recall_density_coverage",
    "psnr", "reliability", "sliced_wasserstein", "ssim", "stacked_labels", "statistics_of",
    "top_tags", "variance_ratio", "word_votes",
]  # fmt: skip

_MODULES = (
    "bootstrap", "classification", "detection", "distance", "diversity", "frechet", "images",
    "inception", "kernel", "modes", "neighbours", "partition", "parzen", "tagging",
)  # fmt: skip


def __dir__() -> list[str]:
    return __all__


def __getattr__(name: str) -> Any:
    if name in __all__:
        for module in _MODULES:
            found = importlib.import_module(f"energan.metrics.{module}")
            if hasattr(found, name):
                return getattr(found, name)
    raise AttributeError(f"module 'energan.metrics' has no attribute {name!r}")
