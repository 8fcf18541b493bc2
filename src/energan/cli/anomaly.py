"""`energan score`: whether images are normal."""

import csv
import io
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from energan.cli.options import parse, show, table_of
from energan.errors import SettingError
from energan.version import __version__

if TYPE_CHECKING:
    from energan.anomaly.calibration import Calibration
    from energan.anomaly.detection import Wanted
    from energan.anomaly.score_table import ScoreTable
    from energan.inference.run import Run


def anomaly(args: list[str]) -> int:
    import tyro

    @dataclass
    class Anomaly:
        """How well runs find the classes that they were not trained on: a table over runs that
        each left out one or more (as with --data.classes 1 2 3 4 5 6 7 8 9), and the mean."""

        runs: Annotated[list[Path], tyro.conf.Positional]
        """run folders"""
        data: str | None = None
        """a labelled source, if not each run's own: its test part, or what was held out"""
        weights: Literal["ema", "raw"] | None = None
        """averaged or raw; averaged where there are any"""
        checkpoint: str = "last"
        """last, best, or a step"""
        out: Path | None = None
        """write the table to this .csv, or, with what it is of, to this .json"""

    asked = parse(Anomaly, args, "energan anomaly")
    pass  # DROPPED
    from energan.anomaly.detection import detection_table
    from energan.anomaly.score_table import left_out

    if asked.out is not None and asked.out.suffix not in (".csv", ".json"):
        raise SettingError(f"--out {asked.out}: name a .csv or a .json file")
    runs = [opened(path, asked.checkpoint, asked.weights) for path in asked.runs]
    for run in runs:
        run.check_judges()
    rows, about = [], []
    for run in runs:
        sheet, found = left_out(run.energies, run.job.settings.data, run.domain, asked.data)
        rows.append((sheet.anomalous_classes, found))
        about.append(
            {"run": str(run.path), "hash": run.config["hash"], "seed": run.job.settings.seed,
             "data": sheet.what, **asdict(run.network), "energan": __version__}
        )  # fmt: skip
    table = detection_table(rows)
    _print_anomaly(table, [record["data"] for record in about])
    if asked.out is not None:
        asked.out.parent.mkdir(parents=True, exist_ok=True)
        _write(asked.out, table, about)
        print(f"written: {asked.out}")
    return 0


def _print_anomaly(rows: list[dict[str, Any]], data: list[Any]) -> None:
    print(f"scored on {', '.join(dict.fromkeys(data))}; the anomaly is what a run did not train on")
    table = table_of(
        "anomaly", "AUROC", "average precision", "FPR at 95% TPR", "normal", "anomalous"
    )
    for row in rows:
        figures = (f"{row[f]:.4f}" for f in ("auroc", "average_precision", "fpr_at_95_tpr"))
        table.add_row(row["anomaly"], *figures, f"{row['normal']:,}", f"{row['anomalous']:,}")
    show(table)


def _write(path: Path, rows: list[dict[str, Any]], about: list[dict[str, Any]]) -> None:
    from energan.io.files import write_atomically

    if path.suffix == ".json":
        text = json.dumps({"table": rows, "runs": about}, indent=1, ensure_ascii=False) + "\n"
    else:
        out = io.StringIO()
        writer = csv.DictWriter(out, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        text = out.getvalue()
    write_atomically(path, text)


SHOWN = 10
"""Images that are listed on the terminal, the worst first."""


def score(args: list[str]) -> int:
    import tyro

    @dataclass
    class Score:
        """Say of each image whether it is normal: its energy, the share of normal images with no
        higher energy, and yes or no at a threshold that at most a share --fpr of new normal
        images exceeds."""

        run: Annotated[Path, tyro.conf.Positional]
        """the run's folder"""
        images: Annotated[list[str], tyro.conf.Positional]
        """image files, folders, or data sources (of a name its test part, or what was held out)"""
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
        normal: tuple[str, ...] = ()
        """labelled images: classes that are normal"""
        weights: Literal["ema", "raw"] | None = None
        """averaged or raw; averaged where there are any"""
        checkpoint: str = "last"
        """last, best, or a step"""

    asked = parse(Score, args, "energan score")
    from energan.anomaly.detection import Wanted
    from energan.anomaly.score_table import judge

    _check(asked)
    run = opened(asked.run, asked.checkpoint, asked.weights)
    run.check_judges()
    wanted = Wanted(asked.anomaly, asked.normal)
    if asked.heatmaps is not None and len(run.domain.shape) != 3:
        raise SettingError(
            f"--heatmaps: {run.path} was trained on points, which have no pictures: leave it out"
        )
    sheet = judge(asked.images, run.job.settings.data, run.domain, wanted)
    calibration = _calibration(run, asked.calibrate, asked.fpr, wanted)
    sheet = sheet.scored(run.energies, calibration)
    _print(run, sheet, calibration, asked)
    if asked.out is not None:
        asked.out.parent.mkdir(parents=True, exist_ok=True)
        sheet.write_csv(asked.out)
        print(f"written: {asked.out}")
    if asked.heatmaps is not None:
        _draw(run, sheet, asked)
    return 0


def _check(asked: Any) -> None:
    if asked.fpr is not None and not 0 < asked.fpr < 1:
        raise SettingError(f"--fpr {asked.fpr:g}: it lies between 0 and 1, as 0.05")
    if asked.out is not None and (asked.out.suffix != ".csv" or asked.out.is_dir()):
        raise SettingError(f"--out {asked.out}: name a .csv file")
    if asked.heatmaps is not None and asked.heatmaps.exists() and not asked.heatmaps.is_dir():
        raise SettingError(f"--heatmaps {asked.heatmaps} is a file: name a folder")
    if asked.limit_heatmaps < 1:
        raise SettingError(f"--limit-heatmaps {asked.limit_heatmaps}: draw at least one")


def opened(path: Path, checkpoint: str, weights: Any) -> "Run":
    from energan.inference.run import Run
    from energan.io.console import say

    run = Run(path, checkpoint=checkpoint, weights=weights)
    for warning in run.warnings:
        say(f"energan: {warning}; using {run.checkpoint.name} instead")
    return run


def _calibration(
    run: "Run", normal: str | None, fpr: float | None, wanted: "Wanted"
) -> "Calibration":
    """The run's calibration, made or changed as asked for."""
    from energan.anomaly.calibration import FPR
    from energan.anomaly.normal_data import normal_images
    from energan.io.console import say

    if normal is not None:
        data = normal_images(normal, run.job.settings.data, run.domain, wanted)
        return run.calibrate(data, FPR if fpr is None else fpr)
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


def _print(run: "Run", sheet: "ScoreTable", calibration: "Calibration", asked: Any) -> None:
    print(f"{run.path}: {calibration.network}, calibrated on {calibration}")
    share = f"{100 * calibration.fpr:.3g} %"
    print(
        f"threshold: energy {calibration.threshold:.5g}, which at most {share} of new normal "
        "images exceed"
    )
    flagged = int(sheet.scores.anomalous.sum())
    print(
        f"{sheet.what}: {len(sheet):,} scored, {flagged:,} anomalous ({flagged / len(sheet):.1%})"
    )
    strange = int((~sheet.scores.energy.isfinite()).sum())
    if strange:
        print(f"  {strange:,} energies are not finite: these are called anomalous")
    if sheet.reused(calibration):
        print("  the threshold was set on the normal ones among them: it fits them by design")
    if sheet.skipped:
        print(f"  {len(sheet.skipped):,} could not be read and are left out")
        for where, reason in sheet.skipped[:SHOWN]:
            print(f"    {where}: {reason}")
        if len(sheet.skipped) > SHOWN:
            print(f"    … {len(sheet.skipped) - SHOWN:,} more")
    found = sheet.detection
    if found is not None:
        caught, false = sheet.shares_flagged
        print(
            f"anomalous by label: {sheet.anomalous_classes}; AUROC {found.auroc:.4f}, average "
            f"precision {found.average_precision:.4f}, FPR at 95 % TPR {found.fpr_at_95_tpr:.4f} "
            f"({found.anomalous:,} anomalous, {found.normal:,} normal)\n"
            f"  at the threshold {caught:.1%} of the anomalous and {false:.1%} of the normal ones "
            "are called anomalous"
        )
    elif sheet.labelled:
        print(sheet.why_no_detection)
    _print_worst(sheet)


def _print_worst(sheet: "ScoreTable") -> None:
    worst = sheet.worst(SHOWN)
    print(
        f"highest energies ({len(worst)} of {len(sheet):,}):" if len(sheet) > SHOWN else "scores:"
    )
    columns = ["image", "energy", "percentile", "anomalous", *(["label"] if sheet.labelled else [])]
    table = table_of(*columns)
    for row in worst:
        record = sheet.record(row)
        table.add_row(*(str(record[column]).replace("[", r"\[") for column in columns))
    show(table)


def _draw(run: "Run", sheet: "ScoreTable", asked: Any) -> None:
    from energan.anomaly import heatmaps
    from energan.io.console import progress

    rows = sheet.worst(asked.limit_heatmaps)
    x = sheet.events(rows)
    shown = heatmaps.Pictures(
        x, run.heatmap(x), "squared error" if run.reconstructs else "saliency",
        [sheet.line(row) for row in rows], [bool(sheet.scores.anomalous[row]) for row in rows],
        run.reconstruct(x) if run.reconstructs else None,
    )  # fmt: skip
    names = heatmaps.file_names([sheet.names[row] for row in rows])
    with progress("drawing heat maps", len(rows)) as advance:
        heatmaps.write(
            asked.heatmaps, names, shown, run.domain,
            shared=asked.heatmap_scale == "shared", advance=advance,
        )  # fmt: skip
    left = "" if len(rows) == len(sheet) else f" of {len(sheet):,}, those of the highest energy"
    print(f"heat maps: {len(rows):,}{left} ({shown.kind}): {asked.heatmaps}")
    if not run.reconstructs:
        print("  the energy has no reconstruction: the maps show its gradient, |dU/dx|")
