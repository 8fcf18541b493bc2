"""Processes on this machine, so many side by side. Signals are passed on to them and waited for."""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, STDOUT, Process
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from energan.sweep.executors import POLL, on_signals

Work = Callable[[int], Awaitable[None]]
"""Takes the number of its place among those at once, from 1."""


class Pool:
    """Works side by side, each by processes of its own.

    stopped: the signal that came, None if none did. open: whether further works begin, as they do
    until a signal comes, or an error.
    """

    def __init__(self) -> None:
        self.stopped: str | None = None
        self.open = True
        self._running: set[Process] = set()

    def run(
        self, works: Sequence[Work], at_once: int, refresh: Callable[[], None] = lambda: None
    ) -> None:
        """Do the works, which begin in their order, and call `refresh` about twice a second.

        If one raises, the processes of the others are told to end, and waited for.
        """
        with on_signals(self._pass_on):
            asyncio.run(self._all(works, at_once, refresh))

    async def process(
        self, words: Sequence[str], variables: dict[str, str], *,
        log: Path | None = None, name: str | None = None,
    ) -> int:  # fmt: skip
        """Run `python -m WORDS`; its exit code, negative if a signal killed it.

        What it prints is added to the log; without one, stderr comes out here, each line after the
        name if there is one, and stdout is dropped.
        """
        output = DEVNULL if log is None else os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        errors = (PIPE if name else None) if log is None else STDOUT
        try:
            # A group of its own: Ctrl-C reaches this process alone, which passes it on once. Its
            # stdin ends with this process, however that dies.
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", *words, env={**os.environ, **variables}, process_group=0,
                stdin=PIPE, stdout=output, stderr=errors,
            )  # fmt: skip
        finally:
            if log is not None:
                os.close(output)
        self._running.add(process)
        if not self.open:  # a signal came meanwhile
            process.terminate()
        if process.stderr is not None:
            async for line in process.stderr:
                print(f"{name}: {line.decode(errors='replace')}", end="", file=sys.stderr)
        code = await process.wait()
        self._running.discard(process)
        return code

    async def _all(self, works: Sequence[Work], at_once: int, refresh: Callable[[], None]) -> None:
        places, room = list(range(at_once, 0, -1)), asyncio.Semaphore(at_once)

        async def begin(work: Work) -> None:
            async with room:
                if self.open:
                    place = places.pop()
                    await work(place)
                    places.append(place)

        left = {asyncio.create_task(begin(work)) for work in works}
        try:
            while left:
                done, left = await asyncio.wait(left, timeout=POLL)
                for task in done:
                    task.result()
                refresh()
        finally:
            self.open = False
            for process in self._running:
                process.terminate()
            if left:
                await asyncio.wait(left)

    def _pass_on(self, number: signal.Signals) -> None:
        self.stopped, self.open = self.stopped or number.name, False
        for process in list(self._running):
            process.send_signal(number)
