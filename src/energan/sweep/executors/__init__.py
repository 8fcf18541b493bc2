"""Where trials are worked on. A package of trials is a process, whichever executor starts it."""

import asyncio
import signal
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

from energan.sweep.display import Display
from energan.sweep.scoring import failed
from energan.sweep.store import SweepFolder, TrialOptions
from energan.sweep.trials import Trial

POLL = 0.5
"""Seconds between looks at what runs."""
DEATHS = 3
"""How often a trial may take its process with it before it is recorded as failed."""
STOPPED = (128 + signal.SIGINT, 128 + signal.SIGTERM, -signal.SIGINT, -signal.SIGTERM)
"""Exit codes of processes that a signal told to stop, which is no death; negative if it came before
they could handle it."""
Package = Sequence[Trial]
Work = Callable[[int], Awaitable[None]]
"""Takes the number of its place among those at once, from 1."""
Attempt = Callable[[Package, int], Awaitable[tuple[int, str]]]
"""Works on a package in a place; how often its process died, and why."""


class Pool:
    """Works side by side.

    stopped: the signal that came, None if none did. open: whether further works begin, as they do
    until a signal comes, or an error. stops: what ends each of the works that run, by a signal.
    """

    def __init__(self) -> None:
        self.stopped: str | None = None
        self.open = True
        self.stops: dict[int, Callable[[signal.Signals], object]] = {}

    def run(
        self, works: Sequence[Work], at_once: int, refresh: Callable[[], None] = lambda: None
    ) -> None:
        """Do the works, which begin in their order, and call `refresh` about twice a second.

        SIGINT and SIGTERM are passed on to those that run, and an error of one ends the others; all
        are waited for. The third signal is KeyboardInterrupt.
        """
        with self._signals():
            asyncio.run(self._all(works, at_once, refresh))

    @contextmanager
    def ending_by(self, place: int, stop: Callable[[signal.Signals], object]) -> Iterator[None]:
        """Within it the work in this place takes signals by `stop`."""
        self.stops[place] = stop
        if not self.open:  # one came meanwhile
            with suppress(ProcessLookupError):
                stop(signal.SIGTERM)
        try:
            yield
        finally:
            del self.stops[place]

    async def _all(self, works: Sequence[Work], at_once: int, refresh: Callable[[], None]) -> None:
        places, room = list(range(at_once, 0, -1)), asyncio.Semaphore(at_once)

        async def begin(work: Work) -> None:
            async with room:
                if self.open:
                    place = places.pop()
                    try:
                        await work(place)
                    except Exception:
                        self.open = False  # before another one begins
                        raise
                    finally:
                        places.append(place)

        left = {asyncio.create_task(begin(work)) for work in works}
        try:
            while left:
                done, left = await asyncio.wait(
                    left, timeout=POLL, return_when=asyncio.FIRST_COMPLETED
                )
                for task in done:
                    task.result()
                refresh()
        finally:
            if left:
                self._end(signal.SIGTERM)
                await asyncio.wait(left)

    @contextmanager
    def _signals(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        seen: list[signal.Signals] = []

        def handle(number: int, frame: object) -> None:
            seen.append(signal.Signals(number))
            if len(seen) > 2:  # someone means it
                self._end(signal.Signals(getattr(signal, "SIGKILL", signal.SIGTERM)))
                raise KeyboardInterrupt
            self.stopped = seen[0].name
            self._end(seen[-1])

        numbers = (signal.SIGINT, signal.SIGTERM)
        before = {number: signal.signal(number, handle) for number in numbers}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _end(self, number: signal.Signals) -> None:
        self.open = False
        for stop in list(self.stops.values()):
            with suppress(ProcessLookupError):  # it has just ended
                stop(number)


def words_of(folder: SweepFolder, package: Package, options: TrialOptions) -> list[str]:
    """Put a package into the queue: the words after `python -m` that work on it."""
    for trial in package:
        folder.enqueue(trial.record(), options)
    return ["energan.sweep.run_trial", str(folder.path.absolute()), *(t.id for t in package)]


def run_packages(
    pool: Pool, folder: SweepFolder, packages: Sequence[Package], options: TrialOptions,
    display: Display, at_once: int, attempt: Attempt,
) -> str | None:  # fmt: skip
    """Attempt the packages in their order until every trial has a record; the signal that stopped
    it, None if none did. A trial whose process died `DEATHS` times is recorded as failed."""
    deaths = Counter[str]()

    async def work(package: Package, place: int) -> None:
        died, why = await attempt(package, place)
        display.leave([trial.id for trial in package])
        left = [trial for trial in package if folder.read(trial.id) is None]
        for trial in left:
            deaths[trial.id] += died if len(package) == 1 or died == 1 else 0
            if deaths[trial.id] >= DEATHS:
                reason = f"its process died {DEATHS} times{why}"
                folder.write(failed(trial, options, folder.attempts(trial.id), reason))
        again = [trial for trial in left if deaths[trial.id] < DEATHS]
        # after a death alone: together they may have been too large
        for part in [[trial] for trial in again] if died else [again] if again else []:
            if pool.open:
                await work(part, place)

    def work_of(package: Package) -> Work:
        return lambda place: work(package, place)

    pool.run([work_of(package) for package in packages], at_once, display.refresh)
    return pool.stopped
