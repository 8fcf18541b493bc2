"""Trials as tasks of a Ray cluster, whose nodes share the sweep's folder.

What is done, and who has what, stands in that folder alone: a package that was lost with its node,
or found trials in other hands, is sent again once they are to be had.
"""

import os
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from energan.core import RunError
from energan.sweep.claiming import taken
from energan.sweep.cluster import Board, connected, said, task
from energan.sweep.folder import SweepFolder
from energan.sweep.local import DEATHS, LOOK, POLL, Display, Outcome, Package
from energan.sweep.processes import signals
from energan.sweep.setup import Setup
from energan.sweep.trials import Trial
from energan.sweep.work import give_up


def run(
    folder: SweepFolder, packages: Sequence[Package], setup: Setup, display: Display,
    *, address: str, cpus: float = 1.0, gpus: float = 0.0,
) -> Outcome:  # fmt: skip
    """Work on the packages, each a task with its share of a node, until all have a record.

    address: see `connected`. SIGINT and SIGTERM let each task save what it trains. Raises
    SettingError if there is no such cluster, RunError if one of its nodes cannot work.
    """
    setup = replace(setup, threads=max(1, int(cpus)))
    with signals() as told, connected(address, cpus, gpus) as ray:
        remote = ray.remote(num_cpus=cpus, num_gpus=gpus, max_retries=0)(task)
        tasks = _Tasks(ray, remote, Board(ray), folder, setup, display)
        for package in packages:
            tasks.send(package)
        while not (told or tasks.fault) and (tasks.running or tasks.again):
            tasks.send_again()
            tasks.listen()
        for ref in tasks.running:
            ray.cancel(ref, recursive=False)  # where it runs, as Ctrl-C
        while tasks.running:
            tasks.listen()
    if tasks.fault and not told:
        raise RunError(tasks.fault)
    return Outcome(told[0] if told else None)


@dataclass
class _Tasks:
    """running: by what Ray calls them. again: packages that came back without all their records."""

    ray: Any
    remote: Any
    board: Board
    folder: SweepFolder
    setup: Setup
    display: Display
    running: dict[Any, Package] = field(default_factory=dict)
    again: list[Package] = field(default_factory=list)
    deaths: Counter[str] = field(default_factory=Counter)
    fault: str = ""
    looked: float = 0.0

    def send(self, package: Package) -> None:
        place, records = str(self.folder.path.absolute()), [trial.record() for trial in package]
        ref = self.remote.remote(os.getcwd(), place, records, self.setup.record(), self.board.actor)
        self.running[ref] = package

    def send_again(self) -> None:
        """What came back and is in no other hands."""
        if time.monotonic() - self.looked < LOOK:
            return
        self.looked, done, again, self.again = time.monotonic(), self.folder.done(), self.again, []
        for package in again:
            left = [trial for trial in package if trial.id not in done]
            if any(not taken(self.folder, t.id, self.setup.lost_after) for t in left):
                self.send(left)
            elif left:
                self.again.append(left)

    def listen(self) -> None:
        """Wait a moment; take note of what was told, and of the tasks that ended."""
        refs, began = list(self.running), time.monotonic()
        ready = self.ray.wait(refs, num_returns=len(refs), timeout=POLL)[0] if refs else []
        for event, where in self.board.take():
            self.display.tell(event, where)
        done = self.folder.done() if ready else set()
        for ref in ready:
            self._ended(ref, [t for t in self.running.pop(ref) if t.id not in done])
        self.display.refresh()
        time.sleep(max(0.0, began + POLL - time.monotonic()))

    def _ended(self, ref: Any, left: Package) -> None:
        errors, ids = self.ray.exceptions, [trial.id for trial in left]
        try:
            self.ray.get(ref)
        except errors.RayError as error:
            if left:
                self.display.tell({"event": "left", "trials": ids, "why": "stopped"}, "")
            if isinstance(error, errors.WorkerCrashedError | errors.OutOfMemoryError):
                self.deaths.update(ids)
                self.again += [[t] for t in left if not self._given_up(t, said(error))]
                return
            if not isinstance(error, errors.NodeDiedError | errors.TaskCancelledError):
                self.fault = self.fault or f"a node of the Ray cluster cannot work: {said(error)}"
        self.again += [left] if left else []

    def _given_up(self, trial: Trial, why: str) -> bool:
        reason = f"its process died {DEATHS} times ({why})"
        tell = partial(self.display.tell, where="")
        few = self.deaths[trial.id] < DEATHS
        return not few and give_up(self.folder, trial, self.setup, reason, tell)
