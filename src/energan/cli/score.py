"""`energan score`: whether images are normal."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from energan.anomaly import heatmaps
from energan.anomaly.baselines import JUDGED, verdict
from energan.anomaly.calibration import FPR, Calibration
from energan.anomaly.detection import ANOMALOUS, NORMAL, Wanted
from energan.anomaly.normal_data import normal_images
from energan.anomaly.score_table import ScoreTable, open_score_table
from energan.cli.localisation import print_localisation
from energan.cli.options import Checkpoint, ImageSources, RunPath, Weights, check_file, parse
from energan.cli.run_options import judge_baselines, print_facts, print_skipped
from energan.data.settings import Layouts
from energan.errors import SettingError
from energan.inference.run import Run
from energan.io.console import progress, say, show, table_of
from energan.io.text import plural, printable

SHOWN = 10
"""Images that are listed on the terminal, the worst first."""


@dataclass
class Score:
    """Say of each image whether it is normal: its energy, the share of normal images with no
    higher energy, and yes or no at a threshold that at most a share --fpr of new normal
    images exceeds."""

    run: RunPath
    images: ImageSources
    calibrate: str | None = None
    """normal images that were not trained on, a folder or a source, to set the threshold by;
    by default the run's own held-out part. The threshold is kept in the run"""
    fpr: float | None = None
    """share of normal images to be called anomalous, at most (0.05)"""
    out: Path | None = None
    """write all scores to this .csv"""
    heatmaps: Path | None = None
    """a folder for pictures of where each image's energy comes from, the worst first"""
    limit_heatmaps: int = 100
    """how many of them, at most"""
    heatmap_scale: Literal["shared", "own"] = "shared"
    """one colour scale for all, so that they compare, or each its own"""
    anomaly: tuple[str, ...] = ()
    """labelled images: classes that are anomalous, by name or number"""
    groups: str | None = None
    """which images of a folder belong together, as --data.groups of a training: of those to score,
    and of --calibrate, where --fpr then is the share of images of new groups"""
    normal: tuple[str, ...] = ()
    """labelled images: classes that are normal"""
    masks: Path | None = None
    """a folder of masks of defects, called as their images: pixel AUROC and AUPRO of the heat maps,
    by kind of defect; the folder ground_truth of an inspection data set if not set"""
    layout: Layouts = "auto"
    """of a folder that can be read in two ways: its first folders are the classes (classes), or all
    images in it are scored (flat); as --data.layout of a training"""
    weights: Weights = None
    checkpoint: Checkpoint = "last"


def score(args: list[str]) -> int:
    options = parse(Score, args, "energan score")
    _check(options)
    run = Run(options.run, checkpoint=options.checkpoint, weights=options.weights)
    run.check_judges()
    wanted = Wanted(options.anomaly, options.normal)
    if options.heatmaps is not None and len(run.domain.shape) != 3:
        raise SettingError(
            f"--heatmaps: {run.path} was trained on points, which have no pictures: leave it out"
        )
    table = open_score_table(
        options.images, run.job.settings.data, run.domain, wanted, options.layout, options.masks,
        options.groups,
    )  # fmt: skip
    calibration = _calibration(run, options, wanted)
    table = table.score(run.energies, calibration)
    _print(run, table, calibration)
    print_localisation(run, table, required=options.masks is not None)
    if options.out is not None:
        table.write_csv(options.out)
        print(f"written: {options.out}")
    if options.heatmaps is not None:
        shared = options.heatmap_scale == "shared"
        _draw(run, table, options.heatmaps, options.limit_heatmaps, shared)
    return 0


def _check(options: Score) -> None:
    if options.fpr is not None and not 0 < options.fpr < 1:
        raise SettingError(f"--fpr {options.fpr:g}: it lies between 0 and 1, as 0.05")
    check_file(options.out, ".csv")
    folder = options.heatmaps
    if folder is not None and folder.exists() and not folder.is_dir():
        raise SettingError(f"--heatmaps {folder} is a file: name a folder")
    if options.limit_heatmaps < 1:
        raise SettingError(f"--limit-heatmaps {options.limit_heatmaps}: draw at least one")


def _calibration(run: Run, options: Score, wanted: Wanted) -> Calibration:
    """The run's calibration, made or changed as asked for."""
    normal, fpr = options.calibrate, options.fpr
    if normal is not None:
        settings = run.job.settings.data
        data = normal_images(normal, settings, run.domain, wanted, options.groups)
        made = run.calibrate(data, FPR if fpr is None else fpr)
        for fact in data.facts:
            print(f"{normal}: {fact}")
        if data.groups is None and settings.groups is not None:
            print(
                f"{normal}: each image counts for itself, though the run was trained by groups: "
                "--groups says which belong together"
            )
        return made
    kept = run.calibration
    if kept is None:
        say("not calibrated yet: calibrating on the run's own held-out part")
        return run.calibrate(None, FPR if fpr is None else fpr)
    if kept.network != run.network:
        if kept.part == "given":
            raise SettingError(
                f"{run.path} was calibrated on {kept.source} at {kept.network}, and this is "
                f"{run.network}: calibrate anew, with --calibrate {kept.source}"
            )
        say(f"calibrated at {kept.network}, and this is {run.network}: calibrating anew")
        return run.calibrate(None, kept.fpr if fpr is None else fpr)
    if fpr is not None and fpr != kept.fpr:
        kept = kept.at(fpr)
        kept.save(run.path)
    return kept


def _print(run: Run, table: ScoreTable, calibration: Calibration) -> None:
    print(f"{run.path}: {calibration.network}, calibrated on {calibration}")
    print(f"threshold: energy {calibration.threshold:.5g}, which {calibration.promise}")
    flagged = int(table.scores.anomalous.sum())
    print(
        f"{printable(table.what)}: {len(table):,} scored, {flagged:,} anomalous "
        f"({flagged / len(table):.1%})"
    )
    strange = int((~table.scores.energy.isfinite()).sum())
    if strange:
        print(f"  {plural(strange, 'energy')} not finite: called anomalous")
    if table.overlaps(calibration):
        print("  the threshold was set on the normal ones among them: it fits them by design")
    print_skipped(table.skipped)
    print_facts(table.groups)
    _print_detection(table)
    if table.detection is not None:
        _print_baselines(run, table)
    _print_worst(table)


def _print_detection(table: ScoreTable) -> None:
    """How well labelled anomalies are found, or why that is not known."""
    found = table.detection
    if found is not None:
        caught, false = table.shares_flagged
        print(
            f"anomalous by label: {table.anomalous_classes}; AUROC {found.auroc:.4f}, average "
            f"precision {found.average_precision:.4f}, FPR at 95 % TPR {found.fpr_at_95_tpr:.4f} "
            f"({found.anomalous:,} anomalous, {found.normal:,} normal)\n"
            f"  at the threshold {caught:.1%} of the anomalous and {false:.1%} of the normal ones "
            "are called anomalous"
        )
    elif table.labelled:
        print(table.why_no_detection)


def _print_baselines(run: Run, table: ScoreTable) -> None:
    """AUROC of what needs no training, and which of it is not beaten."""
    about, found = judge_baselines(run, table)
    if not found:
        return
    counts = [int((table.side == side).sum()) for side in (NORMAL, ANOMALOUS)]
    most = f"; on {JUDGED:,} images of a side at most" if max(counts) > JUDGED else ""
    print(f"baselines, {about}{most}:")
    listed = table_of("baseline", "AUROC", "the energy's less it [95%]")
    for one in found:
        difference = f"{one.difference:+.4f} [{one.low:+.4f}, {one.high:+.4f}]"
        listed.add_row(one.name, f"{one.auroc:.4f}", difference)
    show(listed)
    if (said := verdict(found)) is not None:
        print(f"  {said}")


def _print_worst(table: ScoreTable) -> None:
    worst = table.worst(SHOWN)
    print(
        f"highest energies ({len(worst)} of {len(table):,}):" if len(table) > SHOWN else "scores:"
    )
    columns = ["image", "energy", "percentile", "anomalous", *(["label"] if table.labelled else [])]
    listed = table_of(*columns)
    for row in worst:
        record = table.record(row)
        listed.add_row(*(record[column] for column in columns))
    show(listed)


def _draw(run: Run, table: ScoreTable, folder: Path, limit: int, shared: bool) -> None:
    rows = table.worst(limit)
    x = table.events(rows)
    shown = heatmaps.Pictures(
        x, run.heatmap(x), run.heatmap_kind,
        [table.line(row) for row in rows], [bool(table.scores.anomalous[row]) for row in rows],
        run.reconstruct(x) if run.reconstructs else None,
    )  # fmt: skip
    names = heatmaps.file_names([table.names[row] for row in rows])
    with progress("drawing heat maps", len(rows)) as advance:
        heatmaps.write(folder, names, shown, run.domain, shared=shared, advance=advance)
    left = "" if len(rows) == len(table) else f" of {len(table):,}, those of the highest energy"
    print(f"heat maps: {len(rows):,}{left} ({shown.kind}): {folder}")
    if run.heatmap_kind == "saliency":
        print("  the energy has no reconstruction: the maps show its gradient, |dU/dx|")
