"""What the commands share: parsing, tables."""

import sys
from typing import Any


def parse(command: type[Any], args: list[str], prog: str) -> Any:
    import tyro

    return tyro.cli(command, args=args, prog=prog)


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

    Console(width=None if sys.stdout.isatty() else 160).print(table)
