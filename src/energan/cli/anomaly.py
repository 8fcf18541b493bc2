"""`energan anomaly`: how well runs find the classes that they were not trained on."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from energan.anomaly.baselines import JUDGED
from energan.anomaly.detection import detection_table
from energan.anomaly.score_table import detect_left_out
from energan.cli.options import Checkpoint, ComputeDevice, Weights, parse
from energan.cli.run_options import judge_baselines, print_baselines
from energan.errors import SettingError
from energan.inference.run import Run
from energan.io.console import show, table_of
from energan.io.files import write_atomically, write_csv
from energan.version import __version__


@dataclass
class Anomaly:
    """Measure how well runs detect the classes that they were not trained on. Each run left out
    one or more classes (for example with --data.classes 1 2 3 4 5 6 7 8 9); the table has a
    row for each run, and the mean."""

    runs: Annotated[list[Path], tyro.conf.Positional]
    """run folders"""
    data: str | None = None
    """a labelled source to test on; if not set, each run's own test part or held-out examples"""
    weights: Weights = None
    checkpoint: Checkpoint = "last"
    device: ComputeDevice = "auto"
    out: Path | None = None
    """write the table to this .csv, or the table and its provenance to this .json"""


def anomaly(args: list[str]) -> int:
    options = parse(Anomaly, args, "energan anomaly")
    if options.out is not None and options.out.suffix not in (".csv", ".json"):
        raise SettingError(f"--out {options.out}: name a .csv or a .json file")
    runs = [
        Run(path, checkpoint=options.checkpoint, weights=options.weights, device=options.device)
        for path in options.runs
    ]
    for run in runs:
        run.check_judges()
    rows, about, compared = [], [], []
    for run in runs:
        sheet, found = detect_left_out(
            run.energies, run.job.settings.data, run.domain.whole, options.data
        )
        rows.append((sheet.anomalous_classes, found))
        fitted, beside = judge_baselines(run, sheet)
        compared += [(sheet.anomalous_classes, beside)] if beside else []
        about.append(
            {"run": str(run.path), "hash": run.config["hash"], "seed": run.job.settings.seed,
             "data": sheet.what, **asdict(run.network), "energan": __version__,
             "fitted": fitted, "baselines": [asdict(one) for one in beside]}
        )  # fmt: skip
    table = detection_table(rows)
    _print(table, [record["data"] for record in about])
    if compared:
        print(
            f"baselines, fitted to the training images of each run (AUROC on at most {JUDGED:,} "
            "images of each kind):"
        )
        print_baselines("anomaly", compared)
    if options.out is not None:
        _write(options.out, table, about)
        print(f"written: {options.out}")
    return 0


def _print(rows: list[dict[str, Any]], data: list[Any]) -> None:
    print(
        f"scored on {', '.join(dict.fromkeys(data))}; classes that a run did not train on count "
        "as anomalous"
    )
    table = table_of(
        "anomaly", "AUROC", "average precision", "FPR at 95% TPR", "normal", "anomalous"
    )
    for row in rows:
        figures = (f"{row[f]:.4f}" for f in ("auroc", "average_precision", "fpr_at_95_tpr"))
        table.add_row(row["anomaly"], *figures, f"{row['normal']:,}", f"{row['anomalous']:,}")
    show(table)


def _write(path: Path, rows: list[dict[str, Any]], about: list[dict[str, Any]]) -> None:
    if path.suffix == ".csv":
        write_csv(path, list(rows[0]), rows)
        return
    text = json.dumps({"table": rows, "runs": about}, indent=1, ensure_ascii=False)
    write_atomically(path, text + "\n")
