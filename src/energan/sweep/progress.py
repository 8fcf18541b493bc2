"""Where a sweep stands while it runs: the state of each trial, the best so far, the time left.

All of it is read from the sweep's folder: how far trials are from their events, how they ended from
their records.
"""

import math
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from energan.errors import RunError
from energan.sweep.store import SweepFolder, score_of

State = Literal["left", "running", "done", "diverged", "failed"]
ENDED: tuple[State, ...] = ("done", "diverged", "failed")


@dataclass
class Row:
    """Trials that are trained now: one, or a cohort. first: the step from which it was begun."""

    where: str
    trials: list[str]
    since: float
    clock: float = field(default_factory=time.time)
    first: int = 0
    step: int = 0
    steps: int = 0
    scoring: bool = False

    def share(self, steps: int) -> float:
        """Of the training that so many steps are, in [0, 1]."""
        return min(max(steps / self.steps, 0.0), 1.0) if self.steps else 0.0

    def stage(self) -> str:
        if self.scoring:
            return "scoring"
        return f"{self.step}/{self.steps}" if self.steps else "starting"


@dataclass(frozen=True)
class End:
    """How a trial ended. seconds: of training and scoring it, as far as they are known."""

    trial: str
    state: State
    reason: str | None
    score: float | None
    seconds: float


class SweepProgress:
    """steps: of each trial. seconds: what each should take, of a cohort its share."""

    def __init__(
        self,
        folder: SweepFolder,
        steps: Mapping[str, int],
        seconds: Mapping[str, float],
        processes: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.folder, self.steps = folder, steps
        self.processes, self.clock = processes, clock
        self.begun = clock()
        self.states: dict[str, State] = dict.fromkeys(steps, "left")
        self.rows: dict[str, Row] = {}
        self.best: tuple[str, float] | None = None
        self._rank = -math.inf
        known = [seconds[trial] for trial in steps if trial in seconds]
        self.guessed = not known
        self._mean = sum(known) / len(known) if known else 1.0
        self.seconds = {trial: seconds.get(trial, self._mean) for trial in steps}
        self._worked = 0.0  # what ended here, in expected seconds
        self.look()

    def begin(self, trials: Sequence[str], where: str) -> None:
        """Take note that these are worked on now, as one."""
        row = self.rows.get(trials[0])
        if row is not None and row.where == where:
            return
        row = Row(where, list(trials), self.clock())
        for trial in trials:
            self._drop(trial)
            self.rows[trial], self.states[trial] = row, "running"

    def leave(self, trials: Iterable[str]) -> list[End]:
        """Take note that nobody works on these any more; those that have ended by now."""
        ends = self._ends(trials)
        for trial in trials:
            if self.states[trial] == "running":
                self._drop(trial)
                self.states[trial] = "left"
        return ends

    def look(self) -> list[End]:
        """See how far those that run are; those that ended since the last look."""
        for row in self.running():
            self._follow(row)
        return self._ends(sorted(t for t in self.folder.done() if t in self.states))

    def count(self) -> Counter[State]:
        return Counter(self.states.values())

    def running(self) -> list[Row]:
        """Each row once, in order of where it is."""
        rows = {id(row): row for row in self.rows.values()}
        return sorted(rows.values(), key=lambda row: (len(row.where), row.where, row.since))

    def elapsed(self) -> float:
        return self.clock() - self.begun

    def time_left(self) -> float | None:
        """Seconds until all is done; None while nothing is known.

        The expected times are corrected by how long the work took until now, in which the
        expectation counts as much as one more trial.
        """
        if self.guessed and not self._worked:
            return None
        rows = [(row, sum(self.seconds[t] for t in row.trials)) for row in self.running()]
        worked = self._worked + sum(row.share(row.step - row.first) * own for row, own in rows)
        prior = 0.0 if self.guessed else self._mean
        slower = (self.elapsed() * self.processes + prior) / max(worked + prior, 1e-9)
        ahead = [(1 - row.share(row.step)) * own for row, own in rows]
        waiting = sum(self.seconds[t] for t, state in self.states.items() if state == "left")
        return slower * max([(waiting + sum(ahead)) / self.processes, *ahead])

    def _follow(self, row: Row) -> None:
        """Read from the events of a row's first trial how far it is since it was begun."""
        try:
            events = self.folder.run(row.trials[0]).read(faults=[])
        except RunError:  # edited by hand: its process says so
            return
        starts = [e for e in events if e["event"] == "start" and e.get("time", 0) >= row.clock - 1]
        if starts:
            row.first, row.step = starts[0]["step"], events[-1]["step"]
            row.steps = self.steps[row.trials[0]]
        row.scoring = bool(starts) and events[-1]["event"] == "finished"

    def _ends(self, trials: Iterable[str]) -> list[End]:
        found = []
        for trial in trials:
            try:
                record = None if self.states[trial] in ENDED else self.folder.read(trial)
            except RunError:
                continue  # torn by hand: whoever reads it for good says so
            if record is None:
                continue
            if (row := self.rows.get(trial)) is not None:
                self._worked += (1 - row.share(row.first)) * self.seconds[trial]
            self._drop(trial)
            self.states[trial] = record["state"]
            score = record["scores"].get(record["metric"], {}).get("value")
            seconds = record.get("seconds", 0.0) + record.get("scoring_seconds", 0.0)
            found.append(End(trial, record["state"], record["reason"], score, seconds))
            rank = score_of(record)
            if rank is not None and rank > self._rank:
                self.best, self._rank = (trial, score), rank
        return found

    def _drop(self, trial: str) -> None:
        row = self.rows.pop(trial, None)
        if row is not None and trial in row.trials:
            row.trials.remove(trial)
