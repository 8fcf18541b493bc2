"""`energan evaluate` of runs that classify: error, confusion, calibration, and seeds together."""

from collections.abc import Sequence
from typing import Any

from energan.cli.classifier_baselines import print_baselines, print_error
from energan.evaluation import few_labels
from energan.evaluation.classification import ClassificationScores, evaluate_classification
from energan.evaluation.few_labels import ScoredRun, System
from energan.inference.run import Run
from energan.io.console import show, table_of
from energan.io.files import write_atomically
from energan.io.text import agree, plural
from energan.report.run.classification import draw_entry

WIDEST, LISTED = 20, 10
"""Classes of a table that fits a terminal; if there are more, that many mistakes are listed
instead."""


def score_classes(run: Run, reference: str | None, labels: str | None) -> ClassificationScores:
    """What `evaluate_classification` makes, printed and drawn."""
    made = evaluate_classification(run, reference=reference, labels=labels)
    drawn = []
    for picture in draw_entry(made.record):
        path = run.path / f"{picture.name}.png"
        write_atomically(path, picture.light)
        drawn.append(str(path))
    _print(run, made.record)
    print(f"  drawn: {', '.join(drawn)}")
    print(f"  written: {run.path / 'metrics.json'}")
    return made


def _print(run: Run, entry: dict[str, Any]) -> None:
    data = entry["data"]
    part = {"test": "test part", "held-out": "held-out part"}.get(entry["part"], "all")
    print(
        f"\n{run.path}: step {run.step}, {run.weights} weights, on {entry['count']:,} labelled "
        f"{run.domain.noun}s of {data['source']}, {part}"
    )
    if data.get("left_out"):
        others = plural(data["left_out"], f"other {run.domain.noun}")
        have = agree(data["left_out"], "have")
        print(f"  skipped: {others} {have} no label, or one that the run does not know")
    if data.get("note"):
        print(f"  {data['note']}: do not read this error as a test error")
    print_error(entry)
    print_baselines(entry)
    if len(entry["class_names"]) > WIDEST:
        _print_mistakes(entry)
    else:
        _print_table(entry)


def _print_table(entry: dict[str, Any]) -> None:
    names = entry["class_names"]
    table = table_of("true \\ found", *names, "wrong")
    for column in table.columns[1:]:
        column.justify = "right"
    for row, (name, counts) in enumerate(zip(names, entry["confusion"], strict=True)):
        total = sum(counts)
        share = f"{(total - counts[row]) / total:.2%}" if total else ""
        table.add_row(name, *(f"{n:,}" if n else "·" for n in counts), share)
    show(table)


def _print_mistakes(entry: dict[str, Any]) -> None:
    """The most frequent mistakes, where the whole table would be too wide."""
    names = entry["class_names"]
    wrong = [
        (count, names[row], names[column])
        for row, counts in enumerate(entry["confusion"])
        for column, count in enumerate(counts)
        if count and row != column
    ]
    table = table_of("true", "found", "events")
    for count, true, found in sorted(wrong, key=lambda m: (-m[0], m[1], m[2]))[:LISTED]:
        table.add_row(true, found, f"{count:,}")
    show(table)


def print_seeds_of_classes(made: Sequence[ScoredRun]) -> dict[str, Any] | None:
    """Errors over seeds beside the published ones, and differences in pairs; None if there is
    nothing to set side by side."""
    found = few_labels.group_systems(made)
    shown = {(s.labelled, s.against): few_labels.published_errors(s) for s in found}
    if len(made) < 2 and not any(shown.values()):
        return None
    for key, rows in shown.items():
        _print_systems([s for s in found if (s.labelled, s.against) == key], rows)
    pairs = few_labels.compare_systems(found)
    if pairs:
        print("\ndifferences in pairs of one seed (negative: the first is better)")
        table = table_of(
            "differences between runs with the same seed (negative: the first is better)",
            "seeds",
            "difference in error, % [95% Student t]",
        )
        for pair in pairs:
            ends = pair.found.interval
            text = f"{100 * pair.found.mean:+.3f}"
            if ends is not None:
                text += f" [{100 * ends.low:+.3f}, {100 * ends.high:+.3f}]"
            table.add_row(f"{pair.b} − {pair.a}", ", ".join(map(str, pair.seeds)), text)
        show(table)
    return few_labels.record(found)


def _print_systems(found: Sequence[System], rows: Sequence[dict[str, Any]]) -> None:
    labels = "all labels" if found[0].labelled is None else f"{found[0].labelled:,} labels"
    beside = "; published: 15 seeds in Zhao et al. 2017" if rows else ""
    print(f"\nerror in %, {labels} (mean ± standard deviation over seeds{beside})")
    table = table_of("model", "error", "seeds", "on")
    for row in rows:
        table.add_row(
            row["model"], f"{row['value']:.2f} ± {row['plus_minus']:.2f}", "", "mnist, test"
        )
    for s in found:
        spread = "" if s.std is None else f" ± {100 * s.std:.2f}"
        table.add_row(
            f"{s.name} (here)",
            f"{100 * s.mean:.2f}{spread}",
            ", ".join(map(str, s.seeds)),
            s.against,
        )
    show(table)
