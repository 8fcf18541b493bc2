"""Which of two scores is the better one, before there is a score."""

from typing import Literal

from energan.errors import SettingError

HIGHER = (
    "modified_inception_score", "inception_score", "class_coverage", "label_agreement", "precision",
    "recall", "density", "coverage", "parzen", "modes", "high_quality_share", "psnr", "ssim",
    "precision_at_10", "recall_at_10",
)  # fmt: skip
LOWER = (
    "error", "calibration_error", "class_kl", "modes_kl", "sliced_wasserstein", "frechet_distance",
    "kernel_distance", "l1",
)  # fmt: skip


def better_of(metric: str) -> Literal["higher", "lower"]:
    """Which scores are better. Raises SettingError for what ranks nothing, as a variance ratio."""
    if metric in HIGHER:
        return "higher"
    if metric in LOWER:
        return "lower"
    raise SettingError(
        f"metrics: {metric} cannot rank trials; let the first be one of "
        f"{', '.join((*HIGHER, *LOWER))}"
    )
