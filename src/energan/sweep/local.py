"""Trials on this machine: processes side by side, each with its share of the threads."""

import json
import signal
import time
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any, Protocol

from energan.core import RunError
from energan.sweep.claiming import machine_name, taken
from energan.sweep.folder import SweepFolder
from energan.sweep.processes import Heard, Process, begin, signals
from energan.sweep.setup import Setup
from energan.sweep.trials import Trial
from energan.sweep.work import give_up

POLL = 0.5
"""Seconds to wait for something to be told."""
LOOK = 2.0
"""Seconds between looks at the trials of other machines."""
DEATHS = 3
"""How often a trial may take its process with it before it is recorded as failed."""
Package = Sequence[Trial]


class Display(Protocol):
    """What a person sees of a sweep."""

    def tell(self, event: dict[str, Any], where: str) -> None:
        """What a process told, and which."""

    def refresh(self) -> None:
        """Called about twice a second."""


@dataclass(frozen=True)
class Outcome:
    """stopped: the signal that stopped it, None if every trial has a record."""

    stopped: str | None


def run(
    folder: SweepFolder,
    packages: Sequence[Package],
    setup: Setup,
    processes: int,
    display: Display,
) -> Outcome:
    """Work on the packages in their order, in so many processes at once, until all have a record.

    What other machines have in hand is waited for, and taken over if they die. SIGINT and SIGTERM
    let each process save what it trains. Raises RunError if processes end before they can begin.
    """
    with signals() as told:
        return _Pool(folder, packages, setup, processes, display, told).run()


class _Pool:
    def __init__(
        self,
        folder: SweepFolder,
        packages: Sequence[Package],
        setup: Setup,
        count: int,
        display: Display,
        told: list[str],
    ) -> None:
        self.folder, self.setup, self.display, self.told = folder, setup, display, told
        self.waiting = deque(list(package) for package in packages)
        self.count = count
        self.elsewhere: dict[str, Trial] = {}
        self.deaths: Counter[str] = Counter()
        self.processes: list[Process] = []
        self.heard: Heard = SimpleQueue()
        self.begun, self.stillborn = False, 0  # whether any ever was ready; how many never were
        self._looked = 0.0

    def run(self) -> Outcome:
        try:
            while not self.told and (self.waiting or self.elsewhere or self._busy()):
                self._look_elsewhere()
                self._hand_out()
                self._listen()
                self.display.refresh()
            self._end()
        except Exception:
            self._end()  # what the others train is saved
            raise
        finally:
            for process in self.processes:
                process.popen.kill()
        return Outcome(self.told[0] if self.told else None)

    def _busy(self) -> bool:
        return any(process.package for process in self.processes)

    def _hand_out(self) -> None:
        """Give each process that waits a package; begin processes while there is work for them."""
        for process in self.processes:
            if process.ready and self.waiting:
                process.give(self.folder, self.waiting.popleft(), self.setup)
        idle = sum(not process.package for process in self.processes)
        for _ in range(min(len(self.waiting) - idle, self.count - len(self.processes))):
            used = {process.where for process in self.processes}
            where = next(str(i) for i in range(1, self.count + 1) if str(i) not in used)
            log = self.folder.path / "logs" / f"{machine_name()}-{where}.txt"
            self.processes.append(begin(where, log, self.setup.threads, self.heard))

    def _listen(self) -> None:
        """Wait a moment for what is told, and take note of all of it."""
        try:
            process, line = self.heard.get(timeout=POLL)
            while True:
                self._note(process, line) if line else self._gone(process)
                process, line = self.heard.get_nowait()
        except Empty:
            return

    def _note(self, process: Process, line: str) -> None:
        try:
            event = json.loads(line)
        except ValueError:
            return  # torn: it was killed
        match event["event"]:
            case "ready":
                process.package, process.ready, process.begun = [], True, True
                self.begun = True
                return
            case "left" if event["why"] in ("elsewhere", "taken away"):
                trials = [t for t in process.package if t.id in event["trials"]]
                self.elsewhere |= {t.id: t for t in trials}
            case "ended":
                self.elsewhere.pop(event["trial"], None)
        self.display.tell(event, process.where)

    def _gone(self, process: Process) -> None:
        """A process has ended: what it had in hand is for another one."""
        self.processes.remove(process)
        process.end()
        code = process.popen.returncode
        if not process.begun and not self.told:
            self.stillborn += 1
            if not self.begun or self.stillborn >= DEATHS:
                raise RunError(
                    f"a process for trials ended by itself (exit code {code}): see {process.log}"
                )
        done = self.folder.done()
        left = [t for t in process.package if t.id not in done and t.id not in self.elsewhere]
        for trial in left:
            self.display.tell(
                {"event": "left", "trials": [trial.id], "why": "stopped"}, process.where
            )
            self.deaths[trial.id] += code != 0
            if self.deaths[trial.id] < DEATHS:
                self.waiting.appendleft([trial])  # alone: together they may have been too large
            else:
                self._give_up(trial, process)

    def _give_up(self, trial: Trial, process: Process) -> None:
        code = process.popen.returncode
        reason = f"its process died {DEATHS} times, the last time with exit code {code}" + (
            " (killed: out of memory?)" if code == -signal.SIGKILL else f": see {process.log}"
        )
        tell = partial(self.display.tell, where=process.where)
        if not give_up(self.folder, trial, self.setup, reason, tell):
            self.elsewhere[trial.id] = trial

    def _look_elsewhere(self) -> None:
        """See what has become of the trials that others have."""
        if not self.elsewhere or time.monotonic() - self._looked < LOOK:
            return
        self._looked = time.monotonic()
        done = self.folder.done()
        for trial in list(self.elsewhere.values()):
            if trial.id in done:
                del self.elsewhere[trial.id]
            elif not taken(self.folder, trial.id, self.setup.lost_after):
                del self.elsewhere[trial.id]
                self.waiting.append([trial])

    def _end(self) -> None:
        """Let all processes end; those that train save, which is waited for."""
        for process in self.processes:
            process.end()
        while self.processes:
            process, line = self.heard.get()
            if line:
                self._note(process, line)
            else:
                self.processes.remove(process)
