"""How well a run finds defects in labelled images with masks, kept in its metrics.json."""

from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from energan.anomaly.baselines import BaselineComparison, compare, fit_baselines
from energan.anomaly.calibration import FPR, Calibration, make_finite
from energan.anomaly.detection import ANOMALOUS, NEITHER, NORMAL, share_flagged
from energan.anomaly.heatmaps import check_smoothing, threshold_scale
from energan.anomaly.localisation import Localisation, localise
from energan.anomaly.normal_data import nearly_trained
from energan.anomaly.score_table import ScoreTable, open_score_table
from energan.core import DataError, SettingError
from energan.evaluation.defect_pictures import draw_worst
from energan.evaluation.metrics_file import about_run, write_defects
from energan.evaluation.results import Result, as_record, with_interval
from energan.inference.run import Run
from energan.io.console import progress
from energan.io.text import agree, plural
from energan.metrics.detection import roc_points

INTERVAL = (
    "95% percentile bootstrap over {}; of image AUROC and shares Wilson's, of as many trials as "
    "have the variance of {}"
)


@dataclass(frozen=True)
class DefectScores:
    """record: the entry of metrics.json. found, baselines: what it was made of. results: of all
    kinds together, as others are."""

    record: dict[str, Any]
    found: Localisation
    baselines: list[BaselineComparison]

    @property
    def results(self) -> list[Result]:
        every = self.found.kinds[0]
        figures = {
            "image_auroc": (every.auroc, every.interval),
            "pixel_auroc": (every.pixels.auroc, every.pixels.auroc_interval),
            "aupro": (every.pixels.aupro, every.pixels.aupro_interval),
        }
        return [
            with_interval(
                f"{name}_of_defects", value, ends, self.record["interval"], better="higher"
            )
            for name, (value, ends) in figures.items()
            if value is not None and ends is not None
        ]


def evaluate_defects(
    run: Run,
    source: str,
    masks: Path | None = None,
    groups: str | None = None,
    *,
    smooth: float = 0.0,
    resamples: int = 1000,
    seed: int = 0,
) -> DefectScores:
    """Image AUROC, pixel AUROC and AUPRO of a source, by kind of defect; beside them baselines,
    what the run's threshold finds (where it has no calibration, that of its held-out part), and
    pictures of the worst images in the run's folder.

    masks: a folder of them, if not the source's own. groups: which images belong together, as
    `data.groups`, by default those of the run's own source: intervals resample them whole. smooth:
    as of `Run.heatmap`. The same call gives the same file. Raises SettingError without masks,
    DataError for images and masks that do not fit.
    """
    run.check_judges()
    check_smoothing(smooth, run.heatmap_kind)
    table = open_score_table(
        [source], run.job.settings.data, run.domain.whole, masks=masks, groups=groups
    )
    (images,) = table.sources
    if images.masks is None:
        raise SettingError(
            f"--defects {source}: there are no masks beside its images: name their folder, for "
            "example --masks ground_truth"
        )
    table = table.with_energies(run.energies)
    heatmap = partial(run.heatmap, smooth=smooth)
    with progress("heat maps compared with masks", len(table)) as advance:
        found = localise(table, heatmap, resamples=resamples, seed=seed, advance=advance)
    assert found is not None
    found = replace(found, notes=(*found.notes, *_about_near_duplicates(run, table)))
    calibration = _calibration(run, smooth)
    if calibration is not None:
        table = replace(table, calibration=calibration)
    baselines, verdict = _beside_baselines(run, table)
    data = {
        "source": table.what, "sha256": images.data.fingerprint, "events": len(table),
        "masks": sum(path is not None for path in images.masks.paths),
    }  # fmt: skip
    record = {
        **about_run(run, seed, len(table), resamples),
        "interval": _about_intervals(table),
        "map": run.heatmap_kind + (f", smoothed by {smooth:g} pixels" if smooth else ""),
        "data": data,
        "kinds": [as_record(row.record) for row in found.kinds],
        "notes": list(found.notes),
        **verdict,
    }
    scale = None
    if calibration is not None:
        record["threshold"] = as_record(_at_threshold(table, calibration))
        if calibration.judges_maps(smooth):
            scale = threshold_scale(calibration, run.heatmap_kind)
    record["pictures"] = [as_record(one) for one in draw_worst(run, table, heatmap, scale)]
    write_defects(run, record)
    return DefectScores(record, found, baselines)


def _about_intervals(table: ScoreTable) -> str:
    over = table.resampled
    return INTERVAL.format(
        over, "DeLong et al. 1988" if table.groups is None else "such a bootstrap"
    )


def _calibration(run: Run, smooth: float) -> Calibration | None:
    """The run's own, if it is of this network; else that of its held-out part, which is not kept;
    None if there can be none."""
    kept = run.calibration
    if kept is not None and kept.network != run.network:
        kept = None
    if kept is not None and (kept.part == "given" or kept.judges_maps(smooth)):
        return kept
    rate = FPR if kept is None else kept.fpr
    try:
        return run.calibrate(None, rate, smooth=smooth, keep=False)
    except (SettingError, DataError):  # nothing was held out, or too little
        return None


def _at_threshold(table: ScoreTable, calibration: Calibration) -> dict[str, Any]:
    """How many images of each kind are called anomalous, the normal ones first."""
    labels, counts = table.labels, []
    known = [i for i, side in enumerate(table.side.tolist()) if side != NEITHER]
    for anomalous, label in sorted({(bool(table.side[i] == ANOMALOUS), labels[i]) for i in known}):
        of_it = [
            i for i in known if (bool(table.side[i] == ANOMALOUS), labels[i]) == (anomalous, label)
        ]
        rows = torch.tensor(of_it)
        flags = table.scores.anomalous[rows]
        _, ends = share_flagged(flags, table.groups_of(rows))
        counts.append(as_record({
            "kind": label, "anomalous": anomalous, "images": len(rows),
            "flagged": int(flags.sum()), "interval": None if ends is None else asdict(ends),
        }))  # fmt: skip
    return {
        "energy": calibration.threshold,
        "fpr": calibration.fpr,
        "calibrated_on": str(calibration),
        "fitted": table.overlaps(calibration) > 0,
        "counts": counts,
    }


def _about_near_duplicates(run: Run, table: ScoreTable) -> tuple[str, ...]:
    """A sentence on normal images that are nearly training images, if there are any."""
    (images,) = table.sources
    try:
        near = nearly_trained(images.data, run.job.settings.data, run.domain.whole)
    except DataError:  # the baselines say that they are missing
        return ()
    if near is None:
        return ("near-duplicates of training images were not checked: there are too many images",)
    normal = table.side == NORMAL
    count = int(near[normal].sum())
    if not count:
        return ()
    of = plural(int(normal.sum()), "normal image")
    return (
        f"{count:,} of {of} {agree(count, 'are')} almost identical to training images, and "
        "score better than new images will",
    )


def _beside_baselines(
    run: Run, table: ScoreTable
) -> tuple[list[BaselineComparison], dict[str, Any]]:
    """What baselines score, and the record of it: with the ROC curves of the energy and of each;
    empty where labels give none."""
    assert table.energy is not None
    if table.detection is None:
        return [], {}
    known = table.side != NEITHER
    curves = [_curve("energy", table.energy[known], table.side[known])]
    record: dict[str, Any] = {"detection": as_record(asdict(table.detection))}
    compared: list[BaselineComparison] = []
    try:
        baselines = fit_baselines(run.job.settings.data, run.domain.whole)
    except DataError as error:  # the images to be judged may be all that is there
        baselines, record["baselines"] = None, {"missing": str(error)}
    if baselines is not None:
        rows, scores = table.baseline_scores(baselines)
        compared = compare(
            table.energy[rows], scores, table.side[rows] == ANOMALOUS, groups=table.groups_of(rows)
        )
        curves += [_curve(name, found, table.side[rows]) for name, found in scores.items()]
        record["baselines"] = {
            "about": baselines.about, "images": len(rows),
            "compared": [as_record(asdict(one)) for one in compared],
        }  # fmt: skip
    return compared, {**record, "roc": curves}


def _curve(name: str, scores: Tensor, sides: Tensor) -> dict[str, Any]:
    false, true = roc_points(make_finite(scores), sides == ANOMALOUS)
    return as_record({"name": name, "fpr": false.tolist(), "tpr": true.tolist()})
