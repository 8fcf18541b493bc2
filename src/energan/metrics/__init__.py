"""Scores as pure functions on tensors and arrays: float64 inside, Python numbers out.

The figures of pairs of images come as an array, one for each pair.
"""

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
from energan.metrics.frechet import Statistics, frechet_distance, frechet_distance_of, statistics_of
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
