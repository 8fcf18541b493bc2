"""What the commands share: parsing, tables."""

import sys
from collections.abc import Sequence
from typing import Any

from energan.errors import EnerganError


def parse(command: type[Any], args: list[str], prog: str) -> Any:
    import tyro

    return tyro.cli(command, args=args, prog=prog)


def parse_recipe(command: type[Any], args: list[str], verb: str) -> tuple[Any, Any]:
    """The job that the words ask for, and the command's own options.

    The words are a recipe (or --model), --scale where the command has it, and any settings, which
    count as written. Raises EnerganError, with an example, if
    neither is named; `--help` alone explains and exits.
    """
    recipe, args = take_positional(args)
    model, args = take_option(args, "--model")
    scale: str | None = None
    if "scale" in command.__dataclass_fields__:
        scale, args = take_option(args, "--scale")
    if recipe is None and model is None:
        if args and args[0] in ("-h", "--help"):
            print(
                f"usage: energan {verb} RECIPE [OPTIONS]\n\n`energan recipes` lists the recipes; "
                f"`energan {verb} RECIPE --help` explains every setting with its default.\n"
                "RECIPE may also be a settings file, such as a run's config.json."
            )
            raise SystemExit(0)
        if args:
            raise EnerganError(
                f"the recipe comes first, as in `energan {verb} ebgan-digits --seed 1`; "
                "`energan recipes` lists them"
            )
        raise EnerganError("name a recipe: `energan recipes` lists them")
    from energan.cli.settings_options import changes
    from energan.cli.settings_options import parse as parse_settings
    from energan.experiment import settings

    job = settings.load(recipe, model)
    if scale is not None:
        job = job.scaled(scale)
    prog = f"energan {verb} {recipe or '--model ' + str(model)}"
    asked = parse_settings(command, job.settings, args, prog)
    if scale is not None and asked.scale is not None:
        raise EnerganError("--scale is given twice: give it once")
    return job.changed(changes(job.settings, asked.settings)), asked


def take_positional(args: list[str]) -> tuple[str | None, list[str]]:
    """The recipe, which stands first, since the other options depend on it."""
    return (args[0], args[1:]) if args and not args[0].startswith("-") else (None, args)


def take_option(args: list[str], name: str) -> tuple[str | None, list[str]]:
    """One option and its value, read before the rest: which others there are depends on it."""
    for i, word in enumerate(args):
        if word == name and i + 1 < len(args):
            return args[i + 1], args[:i] + args[i + 2 :]
        if word.startswith(f"{name}="):
            return word.partition("=")[2], args[:i] + args[i + 1 :]
    return None, args


def without_options(args: list[str], names: Sequence[str]) -> list[str]:
    """The words less some options and their values."""
    for name in names:
        found: str | None = ""
        while found is not None:
            found, args = take_option(args, name)
    return args


def figure(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def table_of(*columns: str) -> Any:
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def show(table: Any) -> None:
    from rich.console import Console

    Console(width=None if sys.stdout.isatty() else 160, markup=False).print(table)
