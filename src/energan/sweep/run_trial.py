"""`python -m energan.sweep.run_trial SWEEP ID…`: train trials, score them, write their records.

SWEEP is the sweep's folder, whose queue has the trials; several train as one program. A trial that
was begun before goes on from its newest checkpoint. When stdin ends, since whoever started this is
gone, it is as SIGTERM: what trains is saved. Exit code: 0 if every trial has a record, 128 + signal
if one stopped it, else it failed, and may be tried again.
"""

import _thread
import os
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

from energan.errors import EnerganError
from energan.io.console import outlast_readers
from energan.io.files import locked
from energan.sweep.scoring import failed, record_of
from energan.sweep.store import Record, SweepFolder, TrialOptions
from energan.sweep.training import BusyError, train
from energan.sweep.trials import Trial
from energan.training.loop import Hook
from energan.training.train_state import TrainState

WAIT = 0.5
"""Seconds between looks at a run that another process trains."""


class Ending(Hook):
    """What a signal does. Outside training it is as Ctrl-C. In training the loop minds the first
    one; those after it, as of a scheduler that signals all processes, must not break what it saves.
    """

    training = False

    def start(self, loop: TrainState) -> None:
        self.training = True

    def __call__(self, number: int, frame: object) -> None:
        if not self.training:
            raise KeyboardInterrupt


def main() -> int:
    folder, ids, ending = SweepFolder(sys.argv[1]), sys.argv[2:], Ending()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, ending)
    threading.Thread(target=_end_with_stdin, daemon=True).start()
    try:
        stopped = work(folder, ids, ending)
    except KeyboardInterrupt:
        stopped = signal.SIGINT.name
    return 0 if stopped is None else 128 + signal.Signals[stopped].value


def _end_with_stdin() -> None:
    while os.read(0, 1):
        pass
    _thread.interrupt_main(signal.SIGTERM)


def work(folder: SweepFolder, ids: Sequence[str], ending: Ending) -> str | None:
    """Train and score those of the trials that have no record; as a cohort if there are several.

    What another process has in hand is waited for. A trial's error is recorded, never raised; one
    of the machine (no memory, a full disk) is raised, since another attempt may succeed. Returns
    the name of the signal that stopped it, None if nothing did.
    """
    with ExitStack() as stack:
        for trial in sorted(ids):
            stack.enter_context(locked(folder.queue / f"{trial}.lock"))
        while left := [trial for trial in ids if folder.read(trial) is None]:
            if any(folder.run(trial).locked() for trial in left):
                time.sleep(WAIT)
                continue
            found = [folder.begin(trial, socket.gethostname()) for trial in left]
            attempts = {record["id"]: count for record, _, count in found}
            worker = _Worker(folder, found[0][1], attempts, ending)
            with suppress(BusyError):
                return worker.through([Trial.of(record) for record, _, _ in found])
    return None


class _Worker:
    def __init__(
        self, folder: SweepFolder, options: TrialOptions, attempts: dict[str, int], ending: Ending
    ) -> None:
        self.folder, self.options, self.attempts = folder, options, attempts
        self.ending = ending

    def through(self, trials: Sequence[Trial]) -> str | None:
        """Train and score; the name of the signal that stopped it."""
        try:
            try:
                train(self.folder, trials, self.options, self.ending)
                stopped = self._stopped(trials)
            finally:
                self.ending.training = False
            if stopped is None:
                self._score(trials)
            return stopped
        except KeyboardInterrupt:
            return signal.SIGINT.name
        except BusyError:
            raise
        except Exception as error:
            if len(trials) == 1:
                self._fail(trials[0], error)
                return None
            # too large together, or no cohort after all
            return next((name for trial in trials if (name := self.through([trial]))), None)

    def _stopped(self, trials: Sequence[Trial]) -> str | None:
        """The signal by which their training ended, if it did."""
        for trial in trials:
            run = self.folder.run(trial.id)
            if run.state() == "stopped":
                return str(run.read("stopped")[-1]["reason"])
        return None

    def _score(self, trials: Sequence[Trial]) -> None:
        for trial in trials:
            run, attempts = self.folder.run(trial.id), self.attempts[trial.id]
            try:
                self._keep(record_of(trial, run, self.options, attempts))
            except Exception as error:
                self._fail(trial, error)

    def _fail(self, trial: Trial, error: Exception) -> None:
        """Record an error of the trial; raise one of the machine."""
        if isinstance(error, OSError | MemoryError) or "out of memory" in str(error).lower():
            raise error
        self._keep(failed(trial, self.options, self.attempts[trial.id], _in_words(error)))

    def _keep(self, record: Record) -> None:
        self.folder.write(record)
        self.folder.tidy(record, self.options.keep)


def _in_words(error: Exception) -> str:
    """An error in a sentence: a user's as it is, another with its kind and where it came from."""
    if isinstance(error, EnerganError):
        return str(error)
    where = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {error} ({Path(where.filename).name}:{where.lineno})"


if __name__ == "__main__":
    outlast_readers()
    sys.exit(main())
