"""Scores of image to image: how near each result is to the target of its source."""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from energan.core import DataError, SettingError
from energan.data import DataSet, DataSettings, open_data, open_test_part
from energan.evaluation.inputs import EvaluationRequest
from energan.evaluation.reference import Reference, Split, View, open_judged_part
from energan.evaluation.results import EvaluationScores, Result, with_interval
from energan.inference.run import Run
from energan.io.pictures import show_condition
from energan.metrics.bootstrap import mean_interval
from energan.metrics.catalogue import better_of
from energan.metrics.images import WINDOW, l1, psnr, ssim

Figures = NDArray[np.float64]
AT_ONCE = 50
SMALLEST = WINDOW
"""Least side in pixels that SSIM needs."""
METRICS: dict[str, Callable[[Tensor, Tensor], Figures]] = {
    "l1": l1,
    "psnr": lambda made, real: psnr(made, real, 1),
    "ssim": lambda made, real: ssim(made, real, 1),
}
"""For images in [0, 1]; each is the mean over the evaluated pairs."""


def pair_reference(settings: DataSettings, source: str | None = None) -> Reference:
    """The test pairs of a run with these settings of data, or what was held out; `source` names
    others, of which all are taken where they have no test part.

    The training part is always that of the run, also beside other pairs.
    Raises DataError if either cannot be opened, or the two do not fit together.
    """
    plain = settings.model_copy(update={"jitter": False, "mirror": False})
    training = open_data(plain)
    judged, split = _own_pairs(plain, training) if source is None else _other_pairs(plain, source)
    if judged.domain.shape[0] != training.domain.shape[0]:
        raise DataError(
            f"the targets of {judged.name} have {judged.domain.shape[0]} channels, the run's "
            f"{training.domain.shape[0]}: name pairs of the same kind"
        )
    return Reference(judged, split, training, plain, source is not None)


def _own_pairs(settings: DataSettings, training: DataSet) -> tuple[DataSet, Split]:
    judged, split = open_judged_part(settings, training)
    kept = training.held_out
    if kept is not None and kept.fingerprint == judged.fingerprint:  # a folder val is both
        split = "held-out"
    return judged, split


def _other_pairs(settings: DataSettings, source: str) -> tuple[DataSet, Split]:
    changes = {"source": source, "limit": None, "held_out": None}
    settings = settings.model_copy(update=changes)
    test = open_test_part(settings)
    if test is None:  # none of its pairs were trained on
        test = open_data(settings.model_copy(update={"held_out": 0}))
    return test, "test"


def score_pairs(request: EvaluationRequest) -> EvaluationScores:
    """L1, PSNR (dB) and SSIM of a run's images, in [0, 1], beside those of two results that need no
    network: the source itself (identity) and the mean training target.

    Raises SettingError for a metric that is none of pairs, or does not apply.
    """
    if unfit := [name for name in request.metrics if name not in METRICS]:
        raise SettingError(
            f"--metrics {unfit[0]} does not apply: the run translates images, which "
            f"{', '.join(METRICS)} score"
        )
    reference = pair_reference(request.run.job.settings.data, request.reference)
    reference.tell(request.say)
    count = min(request.samples, len(reference.judged))
    request.say(f"translating {count:,} images of {request.about}")
    names = list(request.metrics or METRICS)
    if min(reference.judged.domain.shape[1:]) < SMALLEST:
        if request.metrics and "ssim" in names:
            raise SettingError(
                f"--metrics ssim does not apply: it needs sides of {SMALLEST} pixels"
            )
        names.remove("ssim")
    found = _compare(request.run, reference, count, names, request.seed)
    groups = reference.judged.groups
    groups = None if groups is None else groups[:count]
    results = [_result(name, figures, request, groups) for name, figures in found.items()]
    return EvaluationScores(results, count, "scaled to [0, 1]", reference)


def _compare(
    run: Run, reference: Reference, count: int, names: list[str], seed: int
) -> dict[str, list[Figures]]:
    """Name -> the figures of each result, of the source in its place, and of the mean target."""
    view = View(run.domain, reference.judged.domain.shape)
    assert reference.training.domain.mean is not None
    mean = view(reference.training.domain.mean.unsqueeze(0))
    parts: dict[str, list[list[Figures]]] = {name: [[], [], []] for name in names}
    for rows in torch.arange(min(count, reference.count)).split(AT_ONCE):
        batch = reference.judged.gather(rows)
        assert batch.condition is not None
        real = view(batch.x)
        made = view(run.sample(len(rows), seed + int(rows[0]), batch.condition))
        source = show_condition(batch.condition, reference.judged.domain)
        same = _with_channels(view(source), real.shape[1])
        for name in names:
            for into, x in zip(parts[name], (made, same, mean.expand_as(real)), strict=True):
                into.append(METRICS[name](x, real))
    return {name: [np.concatenate(part) for part in three] for name, three in parts.items()}


def _result(
    name: str, figures: list[Figures], request: EvaluationRequest, groups: Tensor | None
) -> Result:
    made, same, mean = figures
    value = float(made.mean())
    sign = 1 if better_of(name) == "higher" else -1
    details = {
        "pairs": len(made),
        "identity": float(same.mean()),
        "mean_image": float(mean.mean()),
        "share_better_than_identity": float((sign * made > sign * same).mean()),
        "share_better_than_mean_image": float((sign * made > sign * mean).mean()),
    }
    note = (
        f"the source itself {same.mean():.4g}, the mean training target {mean.mean():.4g}; better "
        f"than that in {details['share_better_than_mean_image']:.0%} of {len(made)} pairs"
    )
    count = len(made) if groups is None else len(groups.unique())
    if not np.isfinite(made).all() or count < 2:
        return Result(name, value, note=note, details=details)
    found = mean_interval(made, groups=groups, resamples=request.resamples, seed=request.seed)
    over = "pairs" if groups is None else f"{count:,} groups of pairs"
    how = f"95% bootstrap over {over}, {request.resamples} resamples"
    return with_interval(name, value, found, how, note=note, details=details)


def _with_channels(x: Tensor, channels: int) -> Tensor:
    """Images with as many channels: grey ones in each, or the mean of all."""
    if x.shape[1] == channels:
        return x
    return x.mean(1, keepdim=True).expand(-1, channels, -1, -1)
