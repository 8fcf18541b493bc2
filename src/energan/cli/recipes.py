"""`energan recipes`: the named settings, without importing torch."""

from dataclasses import dataclass

from energan.cli.options import parse
from energan.io.console import show, table_of
from energan.recipes import RECIPES


@dataclass
class Recipes:
    """List the named settings that `energan train` takes."""


def recipes(args: list[str]) -> int:
    parse(Recipes, args, "energan recipes")
    table = table_of("recipe", "model", "data", "steps", "what")
    for recipe in RECIPES.values():
        source = recipe.settings.get("data", {}).get("source", "digits")
        steps = recipe.settings.get("training", {}).get("steps", "")
        table.add_row(recipe.name, recipe.model, source, str(steps), recipe.summary)
    show(table)
    return 0
