"""What goes to a terminal: tables, lines, and progress (plain lines elsewhere, none if quick)."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from rich.table import Table

QUICK, BETWEEN = 1.0, 5.0
"""Seconds before anything is said, and between two lines."""


class Advance(Protocol):
    def __call__(self, count: int = 1) -> None: ...


@contextmanager
def progress(what: str, total: int, unit: str | None = None) -> Iterator[Advance]:
    """Within it, calls tell how many more of `total` are done. It prints to stderr.

    unit: what is counted, to tell how many there are in a second.
    """
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    console = Console(stderr=True)
    begun = spoke = time.perf_counter()
    done, bar = 0, None
    task: Any = None

    def advance(count: int = 1) -> None:
        nonlocal done, bar, spoke, task
        done += count
        now = time.perf_counter()
        if now - begun < QUICK:
            return
        if console.is_terminal:
            if bar is None:
                named = TextColumn("{task.description}", markup=False)  # a name may hold brackets
                columns = named, BarColumn(), MofNCompleteColumn()
                rate = [TextColumn("{task.fields[rate]}")] if unit else []
                all_columns = *columns, *rate, TimeRemainingColumn()
                bar = Progress(*all_columns, console=console, transient=True)
                task = bar.add_task(what, total=total, rate="")
                bar.start()
            bar.update(task, completed=done, rate=f"{done / (now - begun):.3g} {unit}/s")
        elif now - spoke >= BETWEEN:
            spoke, left = now, (now - begun) / done * (total - done)
            rate_told = f"{done / (now - begun):.3g} {unit}/s, " if unit else ""
            line = f"{what}: {done}/{total}, {rate_told}{left:.0f} s left"
            console.print(line, highlight=False, markup=False)

    try:
        yield advance
    finally:
        if bar is not None:
            bar.stop()


def say(text: str) -> None:
    """A line on stderr."""
    from rich.console import Console

    with suppress(BrokenPipeError):  # whoever read this went away; the work does not
        console = Console(stderr=True, emoji=False)
        console.print(text, highlight=False, markup=False, soft_wrap=True)


def silent(text: str) -> None:
    """In the place of `say` where nothing is to be said."""


def warn(text: str) -> None:
    """The same, with the name of the program before it, as before its errors."""
    say(f"energan: {text}")


def figure(value: float | None) -> str:
    """A number in four digits; nothing for None."""
    return "" if value is None else f"{value:.4g}"


def table_of(*columns: str) -> "Table":
    """An empty table without lines around it."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def show(table: "Table") -> None:
    """Print a table, as wide as the terminal, or 160 characters where there is none."""
    from rich.console import Console

    width = None if sys.stdout.isatty() else 160
    Console(width=width, markup=False, emoji=False).print(table)
