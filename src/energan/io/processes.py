"""Commands of energan as processes of their own, so many at once, stopped together."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import IO, Any

POLL = 0.05
"""Seconds between looks at the processes."""


def run(
    commands: Sequence[tuple[str, Sequence[str]]], at_once: int, threads: int
) -> list[int | None]:
    """Run commands (name, words after `energan`), `at_once` of them at a time, each with `threads`.

    What they say comes out on stderr, a name before each line; of one at a time it comes out as it
    is, with its progress bar. SIGINT and SIGTERM are handed on to those that run, which finish
    their step and save; none is begun after that, or after one that failed by a user's error.

    Returns the exit code of each, None of one that was not begun.
    """
    codes: list[int | None] = [None] * len(commands)
    running: dict[int, subprocess.Popen[str]] = {}
    readers: list[threading.Thread] = []
    waiting = list(range(len(commands)))
    with _handing_on(running) as told:
        try:
            while running or (waiting and not told):
                while waiting and not told and len(running) < at_once:
                    place = waiting.pop(0)
                    name, words = commands[place]
                    running[place] = _begun(words, threads, apart=at_once > 1)
                    if (lines := running[place].stderr) is not None:
                        readers.append(_speaking(name, lines))
                for place, process in list(running.items()):
                    if (code := process.poll()) is not None:
                        codes[place] = code
                        del running[place]
                        if code not in (0, 3):
                            waiting = []
                time.sleep(POLL)
        finally:
            for process in running.values():
                process.kill()
    for reader in readers:
        reader.join()
    return codes


def _begun(words: Sequence[str], threads: int, apart: bool) -> "subprocess.Popen[str]":
    # A group of their own: Ctrl-C reaches this process alone, which hands it on once.
    return subprocess.Popen(
        [sys.executable, "-m", "energan", *words],
        env={**os.environ, "OMP_NUM_THREADS": str(threads)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE if apart else None,
        text=True,
        process_group=0,
    )


def _speaking(name: str, lines: IO[str]) -> threading.Thread:
    """A thread that repeats what a process says, with its name."""

    def speak() -> None:
        with lines:
            for line in lines:
                print(f"{name}: {line}", end="", file=sys.stderr, flush=True)

    thread = threading.Thread(target=speak, daemon=True)
    thread.start()
    return thread


@contextmanager
def _handing_on(running: dict[int, Any]) -> Iterator[list[int]]:
    """Within it signals go to the processes too; yields the list that those which came fill."""
    told: list[int] = []

    def hand_on(number: int, frame: object) -> None:
        told.append(number)
        for process in list(running.values()):
            process.send_signal(number)

    if threading.current_thread() is not threading.main_thread():
        yield told
        return
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, hand_on) for number in numbers}
    try:
        yield told
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
