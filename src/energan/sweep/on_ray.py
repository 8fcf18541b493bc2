"""Trials as tasks of a Ray cluster, whose nodes share the sweep's folder.

What is done, and who has what, stands there alone. A package that was lost is sent again.
"""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from energan.core import RunError
from energan.sweep.claiming import taken
from energan.sweep.cluster import Cluster, connected
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
    with signals() as told, connected(address, cpus, gpus) as cluster:
        tasks = _Tasks(cluster, folder, setup, display, list(packages))
        while not (told or tasks.fault) and (tasks.running or tasks.waiting):
            tasks.send()
            tasks.listen()
        cluster.stop(tasks.running)
        while tasks.running:
            tasks.listen()
    if tasks.fault and not told:
        raise RunError(tasks.fault)
    return Outcome(told[0] if told else None)


@dataclass
class _Tasks:
    """waiting: packages to be sent, again too. running: those that were, by what Ray calls them."""

    cluster: Cluster
    folder: SweepFolder
    setup: Setup
    display: Display
    waiting: list[Package]
    running: dict[Any, Package] = field(default_factory=dict)
    deaths: Counter[str] = field(default_factory=Counter)
    fault: str = ""
    look: float = 0.0

    def send(self) -> None:
        """What has no record and is, at least in part, in no other hands."""
        if time.monotonic() < self.look:
            return
        done, waiting, self.waiting = self.folder.done(), self.waiting, []
        for package in waiting:
            left = [trial for trial in package if trial.id not in done]
            if any(not taken(self.folder, t.id, self.setup.lost_after) for t in left):
                self.running[self.cluster.send(self.folder, left, self.setup)] = left
            elif left:
                self.waiting.append(left)
        self.look = time.monotonic() + LOOK

    def listen(self) -> None:
        """Wait a moment; take note of what was told, and of the tasks that ended."""
        time.sleep(POLL)
        ended = self.cluster.ended(self.running)
        for event, where in self.cluster.told():
            self.display.tell(event, where)
        for ref, how, why in ended:
            self._ended(self.running.pop(ref), how, why)
        self.display.refresh()

    def _ended(self, package: Package, how: str, why: str) -> None:
        left = [trial for trial in package if self.folder.read(trial.id) is None]
        if how != "returned":
            ids = [trial.id for trial in left]
            self.display.tell({"event": "left", "trials": ids, "why": "stopped"}, "")
        if how == "faulty":
            self.fault = f"a node of the Ray cluster cannot work: {why}"
        if how != "died":
            self.waiting += [left] if left else []
            return
        for trial in left:  # alone: together they may have been too large
            self.deaths[trial.id] += 1
            if self.deaths[trial.id] < DEATHS or not self._given_up(trial, why):
                self.waiting.append([trial])

    def _given_up(self, trial: Trial, why: str) -> bool:
        reason = f"its process died {DEATHS} times ({why})"
        return give_up(self.folder, trial, self.setup, reason, lambda e: self.display.tell(e, ""))
