"""`energan classify`: which class images are of."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from energan.cli.options import parse, show, table_of
from energan.errors import SettingError

if TYPE_CHECKING:
    from energan.inference.classification import Predictions
    from energan.inference.run import Run

SHOWN = 10
"""Images that are listed on the terminal, the least sure first."""


def classify(args: list[str]) -> int:
    import tyro

    @dataclass
    class Classify:
        """Say of each image which class it is of, and how probable that is, by a run that learnt
        classes from few labels."""

        run: Annotated[Path, tyro.conf.Positional]
        """the run's folder"""
        images: Annotated[list[str], tyro.conf.Positional]
        """image files, folders, or data sources (of a name its test part, or what was held out)"""
        out: Path | None = None
        """write file, label and probability of every image to this .csv"""
        weights: Literal["ema", "raw"] | None = None
        """averaged or raw; averaged where there are any"""
        checkpoint: str = "last"
        """last, best, or a step"""

    asked = parse(Classify, args, "energan classify")
    from energan.cli.anomaly import opened
    from energan.inference.classification import check_classifies, predict

    if asked.out is not None and (asked.out.suffix != ".csv" or asked.out.is_dir()):
        raise SettingError(f"--out {asked.out}: name a .csv file")
    run = opened(asked.run, asked.checkpoint, asked.weights)
    check_classifies(run.classifies, f"{run.path}: the model {run.job.model}")
    found = predict(
        asked.images, run.job.settings.data, run.domain, run.classify_all, run.class_names
    )
    _print(run, found, asked)
    if asked.out is not None:
        asked.out.parent.mkdir(parents=True, exist_ok=True)
        found.write_csv(asked.out)
        print(f"written: {asked.out}")
    return 0


def _print(run: "Run", found: "Predictions", asked: Any) -> None:
    print(f"{run.path}: step {run.step}, {run.weights} weights, {len(run.class_names)} classes")
    print(f"{found.what}: {len(found):,} classified")
    if found.skipped:
        print(f"  {len(found.skipped):,} could not be read and are left out")
        for where, reason in found.skipped[:SHOWN]:
            print(f"    {where}: {reason}")
        if len(found.skipped) > SHOWN:
            print(f"    … {len(found.skipped) - SHOWN:,} more")
    table = table_of("class", "images", "mean probability")
    for name, count, probability in found.counts:
        table.add_row(name, f"{count:,}", f"{probability:.4f}")
    show(table)
    rows = found.least_sure(SHOWN)
    many = len(found) > SHOWN
    print(f"least sure ({len(rows)} of {len(found):,}):" if many else "classes:")
    table = table_of("file", "label", "probability")
    for row in rows if many else range(len(found)):
        table.add_row(*found.record(row).values())
    show(table)
    if many and asked.out is None:
        print("all of them: --out labels.csv")
