"""Processes side by side, to which signals are passed on."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from asyncio.subprocess import DEVNULL, PIPE, STDOUT, Process
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import IO

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

POLL = 0.5
"""Seconds between looks at what runs."""
STOPPED = (128 + signal.SIGINT, 128 + signal.SIGTERM, -signal.SIGINT, -signal.SIGTERM)
"""Exit codes of processes that a signal told to stop; negative if it came before they could handle
it."""
Work = Callable[[int], Awaitable[None]]
"""Takes the number of its place among those at once, from 1."""


class DiedError(Exception):
    """A process died: neither did it end by itself nor was it told to."""


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
        left_to_do = iter(works)

        async def work_in(place: int) -> None:
            while self.open and (work := next(left_to_do, None)) is not None:
                try:
                    await work(place)
                except Exception:
                    self.open = False  # before another one begins
                    raise

        left = {asyncio.create_task(work_in(place + 1)) for place in range(at_once)}
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


async def run_process(
    pool: Pool, place: int, words: Sequence[str], variables: dict[str, str], *,
    log: Path | None = None, name: str | None = None,
) -> int:  # fmt: skip
    """Run `python -m WORDS` as a work of the pool; its exit code, negative if a signal killed it.

    What it prints is added to the log; without one, stderr comes out here, each line after the name
    if there is one, and stdout is dropped.
    """
    output = DEVNULL if log is None else os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    errors = (PIPE if name else None) if log is None else STDOUT
    try:
        # A group of its own: Ctrl-C reaches this process alone, which passes it on once. Its stdin
        # ends with this process, however that dies.
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", *words, env={**os.environ, **variables}, process_group=0,
            stdin=PIPE, stdout=output, stderr=errors,
        )  # fmt: skip
    finally:
        if log is not None:
            os.close(output)
    with pool.ending_by(place, partial(_send, process)):
        if process.stderr is not None:
            async for line in process.stderr:
                print(f"{name}: {line.decode(errors='replace')}", end="", file=sys.stderr)
        return await process.wait()


def _send(process: Process, number: signal.Signals) -> None:
    """Tell a process to end. On Windows Ctrl-C reaches it by itself, and cannot be sent."""
    if os.name != "nt" or number != signal.SIGINT:
        process.send_signal(number)


def start_detached(words: Sequence[str], folder: Path, log: Path) -> int:
    """Start `python -m WORDS` in a folder as a process that outlives this one and its terminal.

    Returns its number. What it prints goes to the log, which it keeps locked while it lives.
    """
    log.unlink(missing_ok=True)  # an older process may still hold it
    with open(log, "wb") as output:
        _lock(output)
        process = subprocess.Popen(
            [sys.executable, "-m", *words], cwd=folder, start_new_session=True,
            stdin=DEVNULL, stdout=output, stderr=STDOUT,
        )  # fmt: skip
    # whoever starts a process takes its exit code, lest it stays as a zombie
    threading.Thread(target=process.wait, daemon=True).start()
    return process.pid


def is_logging(log: Path) -> bool:
    """Whether the process that `start_detached` gave this log lives; on Windows, where that cannot
    be told, True."""
    with open(log, "rb") as file:
        return fcntl is None or not _lock(file)


def _lock(file: IO[bytes]) -> bool:
    """Lock a file until all processes that inherited it have ended; False if another one has."""
    if fcntl is not None:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def run_until_it_ends(cwd: str, log: str, words: Sequence[str]) -> None:
    """Run `python -m WORDS`, in the folder `cwd` where there is one; as a task on another machine.

    What it prints is added to the log. An exception, such as Ctrl-C or Ray's cancellation, ends it
    by SIGTERM. Raises DiedError if it dies.
    """
    with suppress(OSError):
        os.chdir(cwd)  # a relative path of data means what it means at the one who asks
    with open(log, "a") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", *words], process_group=0,
            stdin=PIPE, stdout=output, stderr=STDOUT,
        )  # fmt: skip
    try:
        while process.poll() is None:
            time.sleep(POLL)  # a cancellation comes between two looks
    finally:
        process.terminate()
        process.wait()
    if process.returncode not in (0, *STOPPED):
        raise DiedError(f"exit code {process.returncode}: see {log}")
