"""`energan recipes` and `energan runs`: what there is, without importing torch."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from energan.commands.parts import figure, parse, show, table_of
from energan.errors import EnerganError


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
    from energan.commands.listing_sweeps import list_sweeps, list_trials, sweeps_in
    from energan.folder import find_runs

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
