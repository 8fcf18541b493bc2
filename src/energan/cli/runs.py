"""`energan runs`: runs and sweeps below a folder, without importing torch."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from energan.cli.options import parse
from energan.errors import EnerganError
from energan.io.console import figure, show, table_of
from energan.io.run_folder import RunFolder, find_runs
from energan.io.run_summary import FIGURES, RunSummary, summarise
from energan.io.text import duration, score_text, settings_text, varying
from energan.metrics.catalogue import sign_of
from energan.sweeps.store import (
    Definition,
    Record,
    SweepFolder,
    best_of,
    find_sweeps,
    score_of,
)

SHOWN = 20
"""Number of a sweep's trials to list."""


@dataclass
class Runs:
    """List the runs in a folder with their state, step and latest figures, and the progress of
    sweeps. For the folder of a sweep, list its best trials.

    U(real) and U(fake) are the mean energies of data and of samples. SWD is the sliced
    Wasserstein distance between samples and held-out data (lower is better), I′ the modified
    inception score (higher is better).
    """

    folder: Annotated[Path, tyro.conf.Positional] = Path("runs")
    """the folder to search"""


def runs(args: list[str]) -> int:
    folder = parse(Runs, args, "energan runs").folder
    if not folder.exists() and folder == Path("runs"):
        print("no runs yet; `energan train ebgan-digits` makes one")
        return 0
    if not folder.is_dir():
        raise EnerganError(f"{folder} is not a folder; name the one that holds your runs")
    sweeps = find_sweeps(folder)
    if [one.path for one in sweeps] == [folder]:
        _list_trials(sweeps[0])
        return 0
    if sweeps:
        _list_sweeps(sweeps)
    trials = [one.trials for one in sweeps]
    found = [run for run in find_runs(folder) if run.path.parent not in trials]
    if found and sweeps:
        print()
    if found:
        _list_runs(found)
    elif not sweeps:
        print(f"no runs in {folder}; `energan train ebgan-digits` makes one")
    return 0


def _list_runs(folders: Sequence[RunFolder]) -> None:
    """A line for each; a column for the error of held-out labels if one of them classifies."""
    rows = [_row(summarise(folder)) for folder in folders]
    columns = ["run", "recipe", "state", "step", "U(real)", "U(fake)", "images/s", "SWD"]
    if any(row[-1] for row in rows):
        columns.append("error")
    table = table_of(*columns)
    for row in rows:
        table.add_row(*row[: len(columns)])
    show(table)


def _row(found: RunSummary) -> list[str]:
    """Name, recipe, state, step and last figures of one run."""
    figures = [figure(found.figures.get(name)) for name in FIGURES]
    return [str(found.path), found.recipe, found.state, found.progress, *figures]


def _list_sweeps(folders: Sequence[SweepFolder]) -> None:
    """A line for each."""
    table = table_of(
        "sweep", "of", "recipe", "done", "diverged", "failed", "missing", "best", "with"
    )
    for folder in folders:
        try:
            table.add_row(str(folder.path), *_sweep_row(folder))
        except (EnerganError, OSError, ValueError, KeyError, TypeError):
            table.add_row(str(folder.path), "damaged")
    show(table)


def _list_trials(folder: SweepFolder) -> None:
    """How a sweep stands, its best trials first; those that train now before them."""
    definition, records = _read(folder)
    _list_sweeps([folder])
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
        print(f"… {len(order) - SHOWN:,} more; see all of them with: energan report {folder.path}")


def _sweep_row(folder: SweepFolder) -> list[str]:
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


def _read(folder: SweepFolder) -> tuple[Definition, list[Record]]:
    """What was asked for, and the records of that."""
    definition: Any = folder.definition()
    return definition, folder.records(definition["trials"])
