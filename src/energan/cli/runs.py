"""`energan recipes` and `energan runs`: what there is, without importing torch."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from energan.cli.options import figure, parse, show, table_of
from energan.errors import EnerganError

if TYPE_CHECKING:
    from energan.sweep.asked import Definition
    from energan.sweep.folder import Record, SweepFolder


def recipes(args: list[str]) -> int:
    @dataclass
    class Recipes:
        """List the named settings that `energan train` takes."""

    parse(Recipes, args, "energan recipes")
    from energan.recipes import RECIPES

    table = table_of("recipe", "model", "data", "steps", "what")
    for recipe in RECIPES.values():
        source = recipe.settings.get("data", {}).get("source", "digits")
        steps = recipe.settings.get("training", {}).get("steps", "")
        table.add_row(recipe.name, recipe.model, source, str(steps), recipe.summary)
    show(table)
    return 0


def runs(args: list[str]) -> int:
    import tyro

    @dataclass
    class Runs:
        """List the runs below a folder with their state, step and last figures, and sweeps with
        how they stand; the best trials of a sweep, if the folder is one."""

        folder: Annotated[Path, tyro.conf.Positional] = Path("runs")
        """where to look"""

    asked = parse(Runs, args, "energan runs")
    pass  # DROPPED
    from energan.io.run_folder import find_runs

    if not asked.folder.exists() and asked.folder == Path("runs"):
        print("no runs yet; `energan train ebgan-digits` makes one")
        return 0
    if not asked.folder.is_dir():
        raise EnerganError(f"{asked.folder} is no folder; name the one that holds your runs")
    sweeps = sweeps_in(asked.folder)
    if [one.path for one in sweeps] == [asked.folder]:
        list_trials(sweeps[0])
        return 0
    if sweeps:
        list_sweeps(sweeps)
    trials = [one.trials for one in sweeps]
    found = [run for run in find_runs(asked.folder) if run.path.parent not in trials]
    if not found and sweeps:
        return 0
    if not found:
        print(f"no runs in {asked.folder}; `energan train ebgan-digits` makes one")
        return 0
    if sweeps:
        print()
    rows = [[str(folder.path), *_row(folder)] for folder in found]
    classify = any(row[-1] for row in rows)
    last = ["error"] if classify else []  # of held-out labels
    table = table_of(
        "run", "recipe", "state", "step", "U(real)", "U(fake)", "images/s", "SWD", *last
    )
    for row in rows:
        table.add_row(*(row if classify else row[:-1]))
    show(table)
    return 0


def _row(folder: Any) -> list[str]:
    """Recipe, state, step and last figures of one run; the last is the error of its classes."""
    try:
        return _figures(folder)
    except (EnerganError, OSError, ValueError, KeyError, TypeError):
        return ["", "damaged", *[""] * 6]


def _figures(folder: Any) -> list[str]:
    config = folder.read_config()
    total = config["settings"]["training"]["steps"]
    steps, scored = folder.read("step"), folder.read("score")
    last = steps[-1] if steps else {}
    figures = [figure(last.get(k)) for k in ("energy_real", "energy_fake", "images_per_s")]
    named = ("sliced_wasserstein", "error")
    distance, error = (figure(scored[-1].get(k)) if scored else "" for k in named)
    reached = max((e["step"] for e in folder.read()), default=0)
    begin = [config.get("recipe", ""), folder.state(), f"{reached}/{total}"]
    return [*begin, *figures, distance, error]


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
            table.add_row(str(folder.path), *_sweep_row(folder))
        except (EnerganError, OSError, ValueError, KeyError, TypeError):
            table.add_row(str(folder.path), "damaged")
    show(table)


def list_trials(folder: "SweepFolder") -> None:
    """How a sweep stands, its best trials first; those that train now before them."""
    from energan.io.text import duration, score_text, settings_text, varying
    from energan.metrics.catalogue import sign_of
    from energan.sweep.keeping import score_of

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


def _sweep_row(folder: "SweepFolder") -> list[str]:
    from energan.io.text import score_text, settings_text, varying
    from energan.metrics.catalogue import sign_of
    from energan.sweep.keeping import best_of

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
