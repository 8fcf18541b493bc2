"""`energan recipes`: which recipe to take for a task, without importing torch."""

from collections.abc import Iterable
from dataclasses import dataclass

from energan.cli.options import parse
from energan.io.console import show, table_of
from energan.recipes import RECIPES, TASKS, Recipe

OTHERS = "Reproduce a paper"


@dataclass
class Recipes:
    """List the recipes for `energan train` by task, with the training time where it was
    measured."""


def recipes(args: list[str]) -> int:
    parse(Recipes, args, "energan recipes")
    for task in (*TASKS, ""):
        print(f"{task or OTHERS}:")
        _list(recipe for recipe in RECIPES.values() if recipe.task == task)
        print()
    print(
        "`energan train RECIPE --minutes 20` trains for a given time. `energan train RECIPE "
        "--help` explains its settings.\nTimes were measured (docs/results); recipes without "
        "one were not timed."
    )
    return 0


def _list(recipes: Iterable[Recipe]) -> None:
    table = table_of("recipe", "data", "steps", "what")
    for recipe in recipes:
        source = recipe.settings.get("data", {}).get("source", "digits")
        steps = recipe.settings.get("training", {}).get("steps", "")
        what = "; measured: ".join(filter(None, (recipe.summary, recipe.measured)))
        table.add_row(recipe.name, source, str(steps), what)
    show(table)
