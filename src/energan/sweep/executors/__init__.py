"""Where trials are worked on. A package of trials is a process, whichever executor starts it."""

import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from energan.sweep.scoring import failed
from energan.sweep.store import SweepFolder, TrialOptions
from energan.sweep.trials import Trial

POLL = 0.5
"""Seconds between looks at what runs."""
DEATHS = 3
"""How often a trial may take its process with it before it is recorded as failed."""
STOPPED = (128 + signal.SIGINT, 128 + signal.SIGTERM)
"""Exit codes of processes that a signal told to stop, which is no death."""
Package = Sequence[Trial]


class Display(Protocol):
    """What a person sees of a sweep."""

    def begin(self, trials: Sequence[str], where: str) -> None:
        """A package is worked on: in the process `where` of this machine, or on that host."""

    def leave(self, trials: Sequence[str]) -> None:
        """Nobody works on these any more; what has no record is left to do."""

    def refresh(self) -> None:
        """Called about twice a second."""


def words_of(folder: SweepFolder, package: Package, options: TrialOptions) -> list[str]:
    """Put a package into the queue: the words after `python -m` that work on it."""
    for trial in package:
        folder.enqueue(trial.record(), options)
    return ["energan.sweep.run_trial", str(folder.path.absolute()), *(t.id for t in package)]


def missing(folder: SweepFolder, package: Package) -> list[Trial]:
    """Those without a record."""
    return [trial for trial in package if folder.read(trial.id) is None]


def give_up(folder: SweepFolder, trial: Trial, options: TrialOptions, why: str) -> None:
    """Record as failed a trial that took its process with it too often."""
    reason = f"its process died {DEATHS} times{why}"
    folder.write(failed(trial, options, folder.attempts(trial.id), reason))


@contextmanager
def on_signals(handle: Callable[[signal.Signals], None]) -> Iterator[None]:
    """Within it SIGINT and SIGTERM call `handle`; the third one is KeyboardInterrupt."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    count = 0

    def note(number: int, frame: object) -> None:
        nonlocal count
        count += 1
        if count > 2:  # someone means it
            raise KeyboardInterrupt
        handle(signal.Signals(number))

    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, note) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
