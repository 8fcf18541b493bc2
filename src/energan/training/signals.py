"""Ctrl-C and SIGTERM: the loop finishes its step and saves."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from energan.training.loop import Loop


@contextmanager
def stop_on_signals(loop: Loop) -> Iterator[None]:
    """Within it, SIGINT and SIGTERM let the loop finish its step; a second one is as usual."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before: dict[signal.Signals, Any] = {}

    def stop(number: int, frame: object) -> None:
        loop.stop_signal = signal.Signals(number).name
        signal.signal(number, before[signal.Signals(number)])

    for number in (signal.SIGINT, signal.SIGTERM):
        before[number] = signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
