"""Trials as tasks of a Ray cluster, whose nodes share the sweep's folder.

Ray itself tries a task again whose node was lost or whose process died.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from socket import gethostname
from typing import Any

from energan.errors import RunError
from energan.sweep import executors as common
from energan.sweep.executors import DEATHS, POLL, Display, Package
from energan.sweep.executors.cluster import connected
from energan.sweep.store import SweepFolder, TrialOptions


class DiedError(Exception):
    """A trial's process died. Ray tries its task again."""


def run(
    folder: SweepFolder, packages: Sequence[Package], options: TrialOptions, display: Display,
    *, address: str, cpus: float = 1.0, gpus: float = 0.0,
) -> str | None:  # fmt: skip
    """Work on the packages, each a task with its share of a node, until all have a record.

    address: see `connected`. Returns the signal that stopped it, None if none did; SIGINT and
    SIGTERM let each task save what it trains. Raises SettingError if there is no such cluster,
    RunError if one of its nodes cannot work.
    """
    options, signals = replace(options, threads=max(1, int(cpus))), list[signal.Signals]()
    with common.on_signals(signals.append), connected(address, cpus, gpus) as ray:
        tasks = _Tasks(ray, folder, options, display, cpus, gpus)
        tasks.waiting = list(reversed(packages))
        while not (signals or tasks.fault) and (tasks.running or tasks.waiting):
            tasks.send()
            tasks.listen()
        for ref in tasks.running:
            ray.cancel(ref, recursive=False)  # a task that runs takes it as Ctrl-C
        while tasks.running:
            tasks.listen()
    if tasks.fault and not signals:
        raise RunError(f"a node of the Ray cluster cannot work: {tasks.fault}")
    return signals[0].name if signals else None


class _Tasks:
    """waiting: packages to be sent, the next one last. running: those that were sent."""

    def __init__(
        self, ray: Any, folder: SweepFolder, options: TrialOptions, display: Display, cpus: float,
        gpus: float,
    ) -> None:  # fmt: skip
        self.ray, self.folder, self.options, self.display = ray, folder, options, display
        self.each = {"CPU": cpus, "GPU": gpus}
        self.task = ray.remote(
            num_cpus=cpus, num_gpus=gpus, max_retries=DEATHS - 1, retry_exceptions=[DiedError]
        )(work)
        self.waiting: list[Package] = []
        self.running: dict[Any, Package] = {}
        self.fault = ""

    def send(self) -> None:
        """Twice as many as there is room for at most: so an autoscaler sees that room lacks."""
        there = self.ray.cluster_resources()
        room = min(there.get(name, 0) / of for name, of in self.each.items() if of)
        while self.waiting and len(self.running) < 2 * int(room) + 2:
            package = self.waiting.pop()
            words = common.words_of(self.folder, package, self.options)
            log = self.folder.logs.absolute() / f"{package[0].id}.txt"
            self.running[self.task.remote(os.getcwd(), str(log), words)] = package

    def listen(self) -> None:
        """Wait a moment; take note of the tasks that began and ended."""
        time.sleep(POLL)
        for ref in self.ray.wait(list(self.running), num_returns=len(self.running), timeout=0)[0]:
            self._ended(self.running.pop(ref), ref)
        for package in self.running.values():
            if (host := self.folder.host(package[0].id)) is not None:
                self.display.begin([trial.id for trial in package], host)
        self.display.refresh()

    def _ended(self, package: Package, ref: Any) -> None:
        errors, died = self.ray.exceptions, ""
        try:
            self.ray.get(ref)
        except errors.TaskCancelledError:
            pass
        except DiedError as error:
            died = _line(error)
        except (errors.RayTaskError, errors.RuntimeEnvSetupError) as error:
            self.fault = _line(error)
        except errors.RayError as error:
            died = _line(error)
        self.display.leave([trial.id for trial in package])
        left = common.missing(self.folder, package)
        if died and len(package) == 1 and left:
            common.give_up(self.folder, left[0], self.options, f" ({died})")
        elif left:  # of those that died each alone: together they may have been too large
            self.waiting += [[trial] for trial in left] if died else [left]


def work(cwd: str, log: str, words: Sequence[str]) -> None:
    """On a node: the process of a package. Raises DiedError if it dies."""
    with suppress(OSError):
        os.chdir(cwd)  # a relative path of data means what it means at the driver
    if not Path(log).parent.is_dir():
        raise RunError(f"{Path(log).parent.parent} is not there on {gethostname()}")
    with open(log, "a") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", *words], process_group=0,
            stdin=subprocess.PIPE, stdout=output, stderr=subprocess.STDOUT,
        )  # fmt: skip
    try:
        while process.poll() is None:
            time.sleep(POLL)  # a cancellation comes between two looks
    finally:
        process.terminate()
        process.wait()
    if process.returncode not in (0, *common.STOPPED):
        raise DiedError(f"exit code {process.returncode}: see {log}")


def _line(error: Exception) -> str:
    lines = str(getattr(error, "cause", None) or error).strip().splitlines()
    return lines[0].rstrip(".:") if lines else type(error).__name__
