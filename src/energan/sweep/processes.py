"""A worker's process, as its parent has it in hand."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue

import torch

from energan.sweep.folder import SweepFolder
from energan.sweep.setup import Setup
from energan.sweep.trials import Trial


@dataclass
class Process:
    """where: which of the processes at once it is, "1", "2", ... log: what it says besides.

    package: what it has in hand. ready: whether it waits for one. begun: whether it ever was ready.
    """

    where: str
    log: Path
    popen: "subprocess.Popen[str]"
    package: list[Trial] = field(default_factory=list)
    ready: bool = False
    begun: bool = False

    def give(self, folder: SweepFolder, package: list[Trial], setup: Setup) -> None:
        """Let it work on a package."""
        self.package, self.ready = package, False
        order = {
            "folder": str(folder.path),
            "setup": setup.record(),
            "trials": [trial.record() for trial in package],
        }
        assert self.popen.stdin is not None
        with suppress(BrokenPipeError):  # it died: the end of its output tells
            self.popen.stdin.write(json.dumps(order) + "\n")
            self.popen.stdin.flush()

    def end(self) -> None:
        """Let it end; what it trains is saved first."""
        assert self.popen.stdin is not None
        with suppress(BrokenPipeError):
            self.popen.stdin.close()


Heard = SimpleQueue[tuple[Process, str]]
"""Lines that processes told; an empty one of a process that has ended."""


def begin(where: str, log: Path, threads: int | None, heard: Heard) -> Process:
    """A new process, with so many threads, that tells into the queue."""
    log.parent.mkdir(exist_ok=True)
    own = {} if threads is None else {"OMP_NUM_THREADS": str(threads)}
    # A group of its own: Ctrl-C reaches this process alone, which hands it on once.
    with log.open("a") as file:
        popen = subprocess.Popen(
            [sys.executable, "-m", "energan.sweep.worker"],
            env={**os.environ, **own, **_gpu(int(where) - 1)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=file,
            text=True,
            process_group=0,
        )
    process = Process(where, log, popen)
    threading.Thread(target=_read, args=(process, heard), daemon=True).start()
    return process


def _read(process: Process, heard: Heard) -> None:
    assert process.popen.stdout is not None
    with process.popen.stdout as told:
        for line in told:
            heard.put((process, line))
    process.popen.wait()
    heard.put((process, ""))


def _gpu(place: int) -> dict[str, str]:
    """Of several GPUs each process gets one."""
    count = torch.cuda.device_count()
    if count < 2:
        return {}
    seen = os.environ.get("CUDA_VISIBLE_DEVICES", ",".join(map(str, range(count)))).split(",")
    return {"CUDA_VISIBLE_DEVICES": seen[place % count]}


@contextmanager
def signals() -> Iterator[list[str]]:
    """Within it SIGINT and SIGTERM are taken down in the list that it yields."""
    told: list[str] = []
    if threading.current_thread() is not threading.main_thread():
        yield told
        return

    def note(number: int, frame: object) -> None:
        told.append(signal.Signals(number).name)
        if len(told) > 2:  # someone means it
            raise KeyboardInterrupt

    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, note) for number in numbers}
    try:
        yield told
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
