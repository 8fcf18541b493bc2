"""What goes to a terminal: tables, lines, and progress (plain lines elsewhere, none if quick)."""

import io
import math
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from energan.errors import worded

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

QUICK, BETWEEN = 1.0, 5.0
"""Seconds before anything is said, and between two lines."""


class Advance(Protocol):
    def __call__(self, count: int = 1) -> None: ...


def stderr_console() -> "Console":
    """A console whose reader may go away: the work goes on, in silence. rich would end it."""
    from rich.console import Console

    class LastingConsole(Console):
        def on_broken_pipe(self) -> None:
            self.quiet = True

    return LastingConsole(stderr=True, emoji=False)


class LastingFile(io.RawIOBase):
    """A standard stream whose reader may go away, as that of `| head` does, or whose disk fills up.

    From then on it goes to nowhere, here and in processes that are started later, and the work that
    was asked for is done. lost: why, where it is not that the reader went away.
    """

    def __init__(self, raw: io.RawIOBase) -> None:
        self.raw, self.lost = raw, ""

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return self.raw.isatty()

    def fileno(self) -> int:
        return self.raw.fileno()

    def write(self, data: Any, /) -> int | None:
        try:
            return self.raw.write(data)
        except OSError as error:
            if not isinstance(error, BrokenPipeError):
                self.lost = error.strerror or str(error)
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.fileno())
            os.close(nowhere)
            return len(data)


def outlast_readers() -> list[LastingFile]:
    """Let this process end its work whatever becomes of stdout and stderr; these two, as files.

    Streams that are closed lead to nowhere, lest a file that is opened takes their place. What an
    encoding lacks is written as its number.
    """
    made = []
    for number, name in ((1, "stdout"), (2, "stderr")):
        old = getattr(sys, name)
        if old is None:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            if nowhere != number:
                os.dup2(nowhere, number)
                os.close(nowhere)
            raw = io.FileIO(number, "w", closefd=False)
        else:
            raw = getattr(old.buffer, "raw", old.buffer)  # of python -u there is one alone
        made.append(LastingFile(raw))
        at_once = old is not None and old.write_through
        buffer: Any = made[-1] if at_once else io.BufferedWriter(made[-1])
        lasting = io.TextIOWrapper(
            buffer,
            "utf8" if old is None else old.encoding,
            "backslashreplace",
            line_buffering=old is None or old.line_buffering,
            write_through=at_once,
        )
        setattr(sys, name, lasting)
    return made


class ProgressDisplay:
    """How far work is, on stderr: a bar on a terminal, a line now and then elsewhere.

    what: is being done. total: its parts. transient: whether the bar goes away at the end.
    """

    def __init__(self, what: str, total: int, *, transient: bool = False) -> None:
        self.what, self.total, self.transient = what, total, transient
        self.console = stderr_console()
        self.first, self.begun, self.last_line = 0, time.perf_counter(), -math.inf
        self._bar: Any = None
        self._task: Any = None

    def start(self, first: int) -> None:
        """Time it from now; `first` parts were done before."""
        self.first, self.begun = first, time.perf_counter()
        self.update_bar(first)

    @property
    def seconds(self) -> float:
        """Since it began."""
        return time.perf_counter() - self.begun

    def seconds_left(self, done: int) -> float | None:
        """None before anything is done."""
        here = done - self.first
        return self.seconds / here * (self.total - done) if here > 0 else None

    def update_bar(self, done: int, text: str | None = None) -> bool:
        """Show so much as done, with `text` behind the bar if it is new; False if there is no
        terminal to show it on."""
        if not self.console.is_terminal:
            return False
        if self._bar is None:
            self._start_bar()
        self._bar.update(self._task, completed=done, **({} if text is None else {"text": text}))
        return True

    def _start_bar(self) -> None:
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
        )

        self._bar = Progress(
            TextColumn("{task.description}", markup=False),  # a name may hold brackets
            BarColumn(bar_width=40 if self.transient else None),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[text]}", markup=False),
            console=self.console,
            transient=self.transient,
            refresh_per_second=4,
        )
        self._task = self._bar.add_task(self.what, total=self.total, completed=self.first, text="")
        self._bar.start()

    def line(self, text: str, *, now: bool = False) -> bool:
        """Say how far it is, unless the last line of this kind is not long ago; whether it did."""
        if not now and time.perf_counter() - self.last_line < BETWEEN:
            return False
        self.last_line = time.perf_counter()
        self.say(text)
        return True

    def say(self, text: str) -> None:
        """Something else, above the bar if there is one."""
        say(text, self.console)

    def close(self) -> None:
        """Leave the terminal as it was, also after an error."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


@contextmanager
def progress(what: str, total: int, unit: str | None = None) -> Iterator[Advance]:
    """Within it, calls tell how many more of `total` are done. It prints to stderr, nothing within
    the first second.

    unit: what is counted, to tell how many there are in a second.
    """
    display, done = ProgressDisplay(what, total, transient=True), 0
    display.last_line = display.begun

    def advance(count: int = 1) -> None:
        nonlocal done
        done += count
        seconds = display.seconds
        if seconds < QUICK:
            return
        rate = f"{done / seconds:.3g} {unit}/s" if unit else ""
        if not display.update_bar(done, rate):
            parts = [f"{done}/{total}", rate, f"{display.seconds_left(done) or 0:.0f} s left"]
            display.line(f"{what}: {', '.join(part for part in parts if part)}")

    try:
        yield advance
    finally:
        display.close()


def say(text: str, console: "Console | None" = None) -> None:
    """A line on stderr, or on that console."""
    console = console or stderr_console()
    try:
        console.print(worded(text), highlight=False, markup=False, soft_wrap=True)
    except BrokenPipeError:  # of a rich that leaves it to us
        console.quiet = True


def warn(text: str) -> None:
    """The same, with the name of the program before it, as before its errors."""
    say(f"energan: {text}")


def silent(text: str) -> None:
    """In the place of `say` where nothing is to be said."""


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
