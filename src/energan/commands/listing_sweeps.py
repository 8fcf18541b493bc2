"""What `energan runs` says of sweeps, without importing torch."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from energan.commands.parts import show, table_of
from energan.errors import EnerganError

if TYPE_CHECKING:
    from energan.sweep.asked import Definition
    from energan.sweep.folder import Record, SweepFolder

SHOWN = 20
"""Trials of a sweep that are listed."""


def sweeps_in(root: Path) -> "list[SweepFolder]":
    """Sweeps in `root`, down to two folders deep, by name."""
    from energan.sweep.folder import SweepFolder

    patterns = ("sweep.json", "*/sweep.json", "*/*/sweep.json")
    found = {path.parent for pattern in patterns for path in root.glob(pattern)}
    return [SweepFolder(path) for path in sorted(found) if (path / "results").is_dir()]


def list_sweeps(folders: "Sequence[SweepFolder]") -> None:
    """A line for each."""
    table = table_of(
        "sweep", "of", "recipe", "done", "diverged", "failed", "missing", "best", "with"
    )
    for folder in folders:
        try:
            table.add_row(str(folder.path), *_row(folder))
        except (EnerganError, OSError, ValueError, KeyError, TypeError):
            table.add_row(str(folder.path), "damaged")
    show(table)


def list_trials(folder: "SweepFolder") -> None:
    """How a sweep stands, its best trials first; those that train now before them."""
    from energan.sweep.keeping import score_of
    from energan.sweep.wording import duration, score_text, settings_text, sign_of, varying

    definition, records = _read(folder)
    list_sweeps([folder])
    if not records:
        return
    axes = varying([r["values"] for r in records])
    scored = {r["id"]: score for r in records if (score := score_of(r)) is not None}
    order = sorted(records, key=lambda r: (r["id"] not in scored, -scored.get(r["id"], 0.0)))
    metric = definition["metrics"][0]
    print()
    table = table_of("trial", "state", sign_of(metric), "took", "with")
    for record in order[:SHOWN]:
        value = record["scores"].get(metric, {}).get("value")
        took = record.get("seconds")
        table.add_row(
            record["id"],
            record["state"],
            "" if record["state"] != "done" else score_text(value),
            "" if took is None else duration(took),
            settings_text(record["values"], axes),
        )
    show(table)
    if len(order) > SHOWN:
        print(f"… {len(order) - SHOWN:,} more; all of them: energan report {folder.path}")


def _row(folder: "SweepFolder") -> list[str]:
    from energan.sweep.keeping import best_of
    from energan.sweep.wording import score_text, settings_text, sign_of, varying

    definition, records = _read(folder)
    count, asked = Counter(r["state"] for r in records), len(definition["trials"])
    row = [f"{asked} of {definition['count']}", definition["recipe"]]
    row += [str(count[state]) for state in ("done", "diverged", "failed")]
    row.append(str(asked - len(records)))
    best = best_of(records)
    if best is None:
        return row
    score = score_text(best["scores"][best["metric"]]["value"])
    axes = varying([r["values"] for r in records])
    return [*row, f"{sign_of(best['metric'])} {score}", settings_text(best["values"], axes)]


def _read(folder: "SweepFolder") -> "tuple[Definition, list[Record]]":
    """What was asked for, and the records of that."""
    from energan.sweep.asked import read

    definition: Any = read(folder)
    return definition, folder.records(definition["trials"])
