"""SIGINT and SIGTERM: what a command answers, and what is kept. Nothing here needs torch."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from energan.errors import Interrupted


@contextmanager
def answer_sigterm() -> Iterator[None]:
    """Within it, SIGTERM raises Interrupted as Ctrl-C raises KeyboardInterrupt, in the main thread
    of a process that trains by itself."""
    alone = os.environ.get("WORLD_SIZE", "1") in ("", "1")
    if not alone or threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(number: int, frame: object) -> None:
        raise Interrupted(signal=signal.Signals(number).name)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def interrupted_as(kept: Callable[[], str]) -> Iterator[None]:
    """Within it, Ctrl-C and SIGTERM raise Interrupted with what `kept` says is kept and how to go
    on, unless they say so already."""
    try:
        yield
    except KeyboardInterrupt as error:
        if str(error):
            raise
        name = error.signal if isinstance(error, Interrupted) else "SIGINT"
        raise Interrupted(kept(), name) from None


def say_at_once(text: str) -> None:
    """A line on stderr from within a signal's handler, where a stream may be half way through
    another line."""
    start = "\n" if os.isatty(2) else ""
    with suppress(OSError):
        os.write(2, f"{start}energan: {text}\n".encode())
