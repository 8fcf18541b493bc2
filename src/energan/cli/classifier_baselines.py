"""The error of a run that classifies beside those of simple classifiers, as commands print it."""

from pathlib import Path
from typing import Any

from energan.core import DataError
from energan.evaluation import metrics_file
from energan.evaluation.classification import evaluate_classification
from energan.evaluation.classifier_baselines import BaselineError, verdict
from energan.inference.run import Run
from energan.io.console import show, table_of
from energan.io.text import plural


def report_baselines(path: Path) -> None:
    """Of a run that has just learned classes: its error beside that of baselines, kept in its
    metrics.json; nothing where no labelled events are left to compare with."""
    try:
        entry = evaluate_classification(Run(path)).record
    except DataError:  # said when training began
        return
    print_error(entry)
    print_baselines(entry)


def print_stored_verdict(run: Run) -> None:
    """What is known of a run beside baselines, or how to know it."""
    found = [
        e for e in metrics_file.read(run.path).classes if e.get("baselines", {}).get("compared")
    ]
    if not found:
        print(f"not compared with simple classifiers yet: energan evaluate {run.path}")
        return
    newest = max(found, key=lambda e: e.get("step") or 0)
    rows = [BaselineError(**one) for one in newest["baselines"]["compared"]]
    print(f"at step {newest['step']}, by `energan evaluate`: {verdict(rows)}")


def print_error(entry: dict[str, Any]) -> None:
    """The error of a record of `evaluate_classification`, with its interval."""
    low, high = entry["error_interval"]
    print(
        f"error {100 * entry['error']:.2f} % [{100 * low:.2f}, {100 * high:.2f}] "
        f"({entry['wrong']:,} wrong; 95% Wilson), calibration error "
        f"{100 * entry['calibration_error']:.2f} %"
    )


def print_baselines(entry: dict[str, Any]) -> None:
    """Errors of simple classifiers on the same events, and whether the run beats the best."""
    made = entry["baselines"]
    if why := made.get("missing"):
        print(f"  no baselines: {why}")
        return
    found = [BaselineError(**one) for one in made["compared"]]
    print(f"baselines, {made['about']}, on {plural(made['events'], 'event')}:")
    table = table_of("baseline", "error, % [95% Wilson]", "this run less the baseline, % [95%]")
    for one in found:
        low, high = 100 * one.low, 100 * one.high
        least, most = 100 * one.difference_low, 100 * one.difference_high
        table.add_row(
            one.name,
            f"{100 * one.error:.2f} [{low:.2f}, {high:.2f}]",
            f"{100 * one.difference:+.2f} [{least:+.2f}, {most:+.2f}]",
        )
    show(table)
    print(f"verdict: {verdict(found)}")
