"""`energan score`: whether images are normal."""

from dataclasses import dataclass
from pathlib import Path

from energan.anomaly.baselines import JUDGED, verdict
from energan.anomaly.calibration import FPR, MOST_KEPT, Calibration
from energan.anomaly.detection import ANOMALOUS, NORMAL, Wanted
from energan.anomaly.normal_data import normal_images
from energan.anomaly.score_table import ScoreTable, open_score_table
from energan.cli.localisation import print_localisation
from energan.cli.options import (
    Checkpoint,
    ComputeDevice,
    ImageSources,
    RunPath,
    Weights,
    check_file,
    parse,
)
from energan.cli.run_options import (
    brackets,
    judge_baselines,
    print_facts,
    print_skipped,
)
from energan.cli.score_heatmaps import HeatmapOptions, HeatmapScale, draw_heatmaps
from energan.data.settings import Layouts
from energan.errors import SettingError
from energan.inference.run import Run
from energan.inference.thresholds import kept_calibration, warn_of_trained
from energan.io.console import show, table_of
from energan.io.text import agree, plural, printable
from energan.metrics.bootstrap import Interval

SHOWN = 10
"""Images listed on the terminal, the highest score first."""


@dataclass
class Score:
    """Decide for each image whether it is normal. The output has its energy, the percentage of
    normal images with at most that energy, and yes or no: at most a fraction --fpr of new
    normal images is flagged."""

    run: RunPath
    images: ImageSources
    calibrate: str | None = None
    """normal images that were not trained on, a folder or a data source, to calibrate the threshold
    on; by default the run's own held-out part. The run keeps the threshold"""
    fpr: float | None = None
    """largest fraction of normal images that may be called anomalous (default 0.05)"""
    out: Path | None = None
    """write all scores to this .csv"""
    heatmaps: Path | None = None
    """write pictures to this folder, the highest score first: the image as the model sees it, its
    reconstruction, the heat map"""
    overlays: Path | None = None
    """write the heat maps on top of the images, at full size, to this folder"""
    limit_heatmaps: int = 100
    """largest number of pictures of each kind"""
    heatmap_files: tuple[str, ...] = ()
    """draw these images instead of the highest scores: file names, ends of paths, or patterns such
    as 'crack/*.png'"""
    heatmap_scale: HeatmapScale = "threshold"
    """colour scale: relative to the calibrated threshold of heat maps, the same in every call; one
    scale for all images of this call (shared); or one per image"""
    smooth: float = 0.0
    """smooth the maps with a Gaussian of this standard deviation, in pixels of the model's input"""
    anomaly: tuple[str, ...] = ()
    """labelled images: the anomalous classes, by name or number"""
    groups: str | None = None
    """which images of a folder or a table belong together, as in training (--data.groups). It
    applies to the images to score, whose groups intervals resample whole, and to those of
    --calibrate, where --fpr is then the fraction of images of new groups"""
    normal: tuple[str, ...] = ()
    """labelled images: the normal classes"""
    labels: str | None = None
    """a CSV of file,label with the labels of some images of a folder, as --data.labels in
    training"""
    masks: Path | None = None
    """a folder of defect masks named as the images: computes pixel AUROC and AUPRO of the heat maps
    for each kind of defect; by default the folder ground_truth of an inspection data set"""
    layout: Layouts = "auto"
    """how to read a folder, if there are two ways: its subfolders are classes (classes), or all its
    images are scored alike (flat); as --data.layout in training"""
    weights: Weights = None
    checkpoint: Checkpoint = "last"
    device: ComputeDevice = "auto"


def score(args: list[str]) -> int:
    options = parse(Score, args, "energan score")
    _check(options)
    drawing = HeatmapOptions(
        options.heatmaps, options.overlays, options.limit_heatmaps, options.heatmap_files,
        options.heatmap_scale, options.smooth,
    )  # fmt: skip
    drawing.check()
    run = Run(
        options.run, checkpoint=options.checkpoint, weights=options.weights, device=options.device
    )
    run.check_judges()
    wanted = Wanted(options.anomaly, options.normal)
    drawing.check_fits(run)
    table = open_score_table(
        options.images, run.job.settings.data, run.domain.whole, wanted, options.layout,
        options.masks, options.groups, options.labels,
    )  # fmt: skip
    drawing.choose(table)  # a file that is not there is told before anything is scored
    calibration = _calibration(run, options, wanted, drawing)
    table = table.score(run.energies, calibration)
    _print(run, table, calibration)
    print_localisation(table, drawing.heatmap(run), required=options.masks is not None)
    if options.out is not None:
        table.write_csv(options.out)
        print(f"written: {options.out}")
    if drawing.wanted:
        draw_heatmaps(run, table, calibration, drawing)
    return 0


def _check(options: Score) -> None:
    if options.fpr is not None and not 0 < options.fpr < 1:
        raise SettingError(
            f"--fpr {options.fpr:g}: give a number between 0 and 1, for example 0.05"
        )
    check_file(options.out, ".csv")


def _calibration(run: Run, options: Score, wanted: Wanted, drawing: HeatmapOptions) -> Calibration:
    """The run's calibration, made or changed as asked for."""
    normal, fpr, smooth = options.calibrate, options.fpr, options.smooth
    if normal is not None:
        settings = run.job.settings.data
        data = normal_images(normal, settings, run.domain.whole, wanted, options.groups)
        made = run.calibrate(data, FPR if fpr is None else fpr, smooth=smooth)
        warn_of_trained(run, data, "normal image", "calibrate on images that were not trained on")
        for fact in data.facts:
            print(f"{normal}: {fact}")
        if data.groups is None and settings.groups is not None:
            print(
                f"{normal}: every image counts separately, but the run was trained with groups: "
                "give --groups to say which images belong together"
            )
        return made
    return kept_calibration(run, fpr, smooth, maps=drawing.needs_threshold)


def _print(run: Run, table: ScoreTable, calibration: Calibration) -> None:
    print(f"{run.path}: {calibration.network}, calibrated on {calibration}")
    print(f"threshold: energy {calibration.threshold:.5g}, which {calibration.promise}")
    if run.judged is not None:
        print(f"energy of an image: {run.judged}")
    flagged = int(table.scores.anomalous.sum())
    print(
        f"{printable(table.what)}: {len(table):,} scored, {flagged:,} anomalous "
        f"({flagged / len(table):.1%})"
    )
    strange = int((~table.scores.energy.isfinite()).sum())
    if strange:
        print(f"  {plural(strange, 'energy')} not finite: called anomalous")
    _print_overlap(table, calibration)
    print_skipped(table.skipped)
    print_facts(table.sources)
    _print_detection(table)
    if table.detection is not None:
        _print_baselines(run, table)
    _print_worst(table)


def _print_overlap(table: ScoreTable, calibration: Calibration) -> None:
    """Of the images that set the threshold, those that are judged by it."""
    if not calibration.digests:
        print(
            "  calibrated by an earlier version, which did not keep on which images: if they are "
            "among these, the threshold fits them by design"
        )
    elif count := table.overlaps(calibration):
        least = "at least " if calibration.count > MOST_KEPT else ""
        print(
            f"  {least}{plural(count, 'image')} of these {agree(count, 'are')} among those that "
            f"the threshold was calibrated on, so it fits {'them' if count > 1 else 'it'} by design"
        )


def _print_detection(table: ScoreTable) -> None:
    """How well labelled anomalies are found, or why that is not known."""
    found = table.detection
    if found is not None:
        caught, false = (_share(*table.share_flagged(side)) for side in (ANOMALOUS, NORMAL))
        print(
            f"anomalous classes: {table.anomalous_classes}; AUROC {found.auroc:.4f}"
            f"{brackets(table.auroc_interval)}, average precision {found.average_precision:.4f}, "
            f"FPR at 95 % TPR {found.fpr_at_95_tpr:.4f} "
            f"({found.anomalous:,} anomalous, {found.normal:,} normal)\n  at the threshold, "
            f"{caught} of the anomalous and {false} of the normal images are called anomalous\n"
            f"  [95% intervals over {table.resampled}{_about_missing(table)}]"
        )
    elif table.labelled:
        print(table.why_no_detection)


def _share(value: float, ends: Interval | None) -> str:
    return f"{value:.1%}" + ("" if ends is None else f" [{ends.low:.1%}, {ends.high:.1%}]")


def _about_missing(table: ScoreTable) -> str:
    """Why there is no interval of the AUROC."""
    if table.auroc_interval is not None:
        return ""
    what = "images" if table.groups is None else "groups"
    return f"; none of the AUROC, which needs two {what} of normal and of anomalous images"


def _print_baselines(run: Run, table: ScoreTable) -> None:
    """AUROC of what needs no training, and which of it is not beaten."""
    about, found = judge_baselines(run, table)
    if not found:
        return
    counts = [int((table.side == side).sum()) for side in (NORMAL, ANOMALOUS)]
    most = f"; on at most {JUDGED:,} images of each kind" if max(counts) > JUDGED else ""
    print(f"baselines, {about}{most}:")
    listed = table_of("baseline", "AUROC", "energy minus baseline [95%]")
    for one in found:
        listed.add_row(one.name, f"{one.auroc:.4f}", f"{one.difference:+.4f} {one.ends}")
    show(listed)
    if (said := verdict(found)) is not None:
        print(f"  {said}")


def _print_worst(table: ScoreTable) -> None:
    worst = table.worst(SHOWN)
    print(f"highest scores ({len(worst)} of {len(table):,}):" if len(table) > SHOWN else "scores:")
    columns = ["image", "energy", "percentile", "anomalous", *(["label"] if table.labelled else [])]
    listed = table_of(*columns)
    for row in worst:
        record = table.record(row)
        listed.add_row(*(record[column] for column in columns))
    show(listed)
