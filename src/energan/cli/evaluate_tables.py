"""`energan evaluate` of runs that classify: error, confusion, calibration, and seeds together."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from energan.cli.options import show, table_of
from energan.errors import SettingError

if TYPE_CHECKING:
    from energan.evaluation.classification import Classes
    from energan.evaluation.few_labels import Made, System
    from energan.inference.run import Run
from typing import TYPE_CHECKING

from energan.cli.options import figure

if TYPE_CHECKING:
    from pathlib import Path

    from energan.evaluation.ood import Outside
    from energan.inference.run import Run

WIDEST, LISTED = 20, 10
"""Classes of a table that fits a terminal, and mistakes that are listed where there are more."""


def wants(run: "Run", asked: Any) -> bool:
    """Whether the run's classes are to be scored. SettingError if they are, and it has none."""
    from energan.evaluation.classification import NAMES

    named = [name for name in asked.metrics if name in NAMES]
    if named and not run.classifies:
        raise SettingError(
            f"--metrics {named[0]} does not apply: the model {run.job.model} does not classify"
        )
    if asked.labels is not None and not run.classifies:
        raise SettingError(f"--labels: the model {run.job.model} does not classify; leave it out")
    every = "all" in asked.metrics or not (asked.metrics or asked.ood)
    return run.classifies and (every or bool(named))


def others(metrics: Sequence[str]) -> tuple[str, ...]:
    """The metrics that are of samples."""
    from energan.evaluation.classification import NAMES

    return tuple(name for name in metrics if name not in NAMES)


def scored(run: "Run", asked: Any) -> "Classes":
    """What `classes_of` makes, printed and drawn."""
    from energan.evaluation.classification import classes_of
    from energan.report.run.classification import pictures

    made = classes_of(run, reference=asked.reference, labels=asked.labels)
    drawn = []
    for picture in pictures(made.record):
        path = run.path / f"{picture.name}.png"
        path.write_bytes(picture.light)
        drawn.append(str(path))
    _print(run, made.record)
    print(f"  drawn: {', '.join(drawn)}")
    print(f"  written: {run.path / 'metrics.json'}")
    return made


def _print(run: "Run", entry: dict[str, Any]) -> None:
    data, (low, high) = entry["data"], entry["error_interval"]
    part = {"test": "test part", "held-out": "held-out part"}.get(entry["part"], "all")
    print(
        f"\n{run.path}: step {run.step}, {run.weights} weights, on {entry['count']:,} labelled "
        f"events of {data['source']}, {part}"
    )
    if data.get("left_out"):
        print(f"  {data['left_out']:,} others have no label, or one that the run does not know")
    if data.get("note"):
        print(f"  {data['note']}: this error is no test error")
    print(
        f"error {100 * entry['error']:.2f} % [{100 * low:.2f}, {100 * high:.2f}] "
        f"({entry['wrong']:,} wrong; 95% Wilson), calibration error "
        f"{100 * entry['calibration_error']:.2f} %"
    )
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


def print_together(made: Sequence["Made"]) -> dict[str, Any] | None:
    """Errors over seeds beside the published ones, and differences in pairs; None if there is
    nothing to set side by side."""
    from energan.evaluation import few_labels

    found = few_labels.systems(made)
    shown = {(s.labelled, s.against): few_labels.published(s) for s in found}
    if len(made) < 2 and not any(shown.values()):
        return None
    for key, rows in shown.items():
        _print_systems([s for s in found if (s.labelled, s.against) == key], rows)
    pairs = few_labels.differences(found)
    if pairs:
        print("\ndifferences in pairs of one seed (negative: the first is better)")
        table = table_of("pair", "seeds", "difference in error, % [95% Student t]")
        for pair in pairs:
            ends = pair.found.interval
            text = f"{100 * pair.found.mean:+.3f}"
            if ends is not None:
                text += f" [{100 * ends.low:+.3f}, {100 * ends.high:+.3f}]"
            table.add_row(f"{pair.b} − {pair.a}", ", ".join(map(str, pair.seeds)), text)
        show(table)
    return few_labels.record(found)


def _print_systems(found: Sequence["System"], rows: Sequence[dict[str, Any]]) -> None:
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


def check(asked: Any) -> None:
    """Raise SettingError for options that say nothing together."""
    picture = asked.ood_picture
    if picture is not None and not asked.ood:
        raise SettingError("--ood-picture draws what --ood scores: name other data, as --ood all")
    if picture is not None and (picture.suffix.lower() != ".png" or picture.is_dir()):
        raise SettingError(f"--ood-picture {picture}: name a .png file")
    if picture is not None and len(asked.runs) > 1:
        raise SettingError("--ood-picture draws one run: name one, or leave it out")
    if asked.ood and not asked.metrics:
        for option in ("reference", "extractor"):
            if getattr(asked, option) is not None:
                raise SettingError(
                    f"--{option} is for metrics, and --ood alone makes none: leave it out, or "
                    "name them by --metrics"
                )


def scored_ood(run: "Run", asked: Any) -> "Outside":
    """What `out_of_distribution` makes, printed, and drawn if that is asked for."""
    from energan.evaluation.ood import out_of_distribution
    from energan.io.console import say

    made = out_of_distribution(
        run, asked.ood, samples=asked.samples, seed=asked.seed, say=lambda text: say(f"  {text}")
    )
    _print_ood(run, made)
    if asked.ood_picture is not None:
        _draw(made, asked.ood_picture)
    return made


def _draw(made: "Outside", path: "Path") -> None:
    from energan.report.run.ood import energies

    picture = energies({**made.record, "sets": made.sets})
    if picture is None:
        raise SettingError("--ood-picture: no energy of these sets is finite: leave it out")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(picture.light)
    print(f"  drawn: {path}")


def _print_ood(run: "Run", made: "Outside") -> None:
    record = made.record
    own = record["held_out"]
    print(
        f"\n{run.path}: step {run.step}, {run.weights} weights, energy of other data beside "
        f"{own['source']}, {own['split']} part, {own['events']:,} events of mean energy "
        f"{figure(own['mean_energy'])} (seed {record['seed']})"
    )
    if "note" in own:
        print(f"  {own['note']}")
    table = table_of(
        "other data", "events", "AUROC [95%]", "average precision", "FPR at 95% TPR", "mean energy"
    )
    for row in made.sets:
        table.add_row(
            row["name"], f"{row['events']:,}",
            f"{row['auroc']:.4f} [{row['low']:.4f}, {row['high']:.4f}]",
            f"{row['average_precision']:.4f}", f"{row['fpr_at_95_tpr']:.4f}",
            figure(row.get("mean_energy")),
        )  # fmt: skip
    show(table)
    notes: dict[str, list[str]] = {}
    for row in made.sets:
        if "note" in row:
            notes.setdefault(row["note"], []).append(row["name"])
    for note, names in notes.items():
        print(f"  {', '.join(names)}: {note}")
    for row in made.sets:
        if "not_finite" in row:
            print(
                f"  {row['name']}: {row['not_finite']:,} energies are not finite, and count as the "
                "highest"
            )
        if "unreadable" in row:
            print(f"  {row['name']}: {row['unreadable']:,} could not be read and are left out")
    print(f"  written: {run.path / 'metrics.json'}")
