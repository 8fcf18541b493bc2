"""`energan classify`: which class images are of."""

from dataclasses import dataclass
from pathlib import Path

from energan.cli.classifier_baselines import print_stored_verdict
from energan.cli.options import (
    Checkpoint,
    ComputeDevice,
    ImageSources,
    RunPath,
    Weights,
    check_file,
    parse,
)
from energan.cli.run_options import print_facts, print_skipped
from energan.inference.classification import Predictions, predict
from energan.inference.run import Run
from energan.io.console import show, table_of
from energan.io.text import plural

SHOWN = 10
"""Images listed on the terminal, the least certain first."""


@dataclass
class Classify:
    """Predict the class of each image, with its probability, by a run that learned classes."""

    run: RunPath
    images: ImageSources
    out: Path | None = None
    """write file, label and probability of every image to this .csv"""
    weights: Weights = None
    checkpoint: Checkpoint = "last"
    device: ComputeDevice = "auto"


def classify(args: list[str]) -> int:
    options = parse(Classify, args, "energan classify")
    check_file(options.out, ".csv")
    run = Run(
        options.run, checkpoint=options.checkpoint, weights=options.weights, device=options.device
    )
    run.check_classifies()
    found = predict(
        options.images, run.job.settings.data, run.domain, run.classify_all, run.class_names
    )
    _print(run, found)
    if options.out is not None:
        found.write_csv(options.out)
        print(f"written: {options.out}")
    elif len(found) > SHOWN:
        print("write all of them: --out labels.csv")
    return 0


def _print(run: Run, found: Predictions) -> None:
    print(
        f"{run.path}: step {run.step}, {run.weights} weights, "
        f"{plural(len(run.class_names), 'class')}"
    )
    print(f"{found.what}: {len(found):,} classified")
    print_skipped(found.skipped)
    print_facts(found.groups)
    print_stored_verdict(run)
    table = table_of("class", "images", "mean probability")
    for name, count, probability in found.counts:
        table.add_row(name, f"{count:,}", f"{probability:.4f}")
    show(table)
    rows = found.least_sure(SHOWN)
    many = len(found) > SHOWN
    print(f"least certain ({len(rows)} of {len(found):,}):" if many else "classes:")
    table = table_of("file", "label", "probability")
    for row in rows if many else range(len(found)):
        table.add_row(*found.record(row).values())
    show(table)
