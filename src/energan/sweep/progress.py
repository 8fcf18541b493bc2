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
from energan.sweep.store import SweepFolder

State = Literal["left", "running", "done", "diverged", "failed"]
ENDED: tuple[State, ...] = ("done", "diverged", "failed")


@dataclass
class Row:
    """Trials that are trained now: one, or a cohort. first: the step from which it was begun."""

    where: str
    trials: list[str]
    since: float
    clock: float = field(default_factory=time.time)
    step: int = 0
    steps: int = 0
    first: int | None = None
    scoring: bool = False

    def trained(self) -> float:
        """The share of the training that was done here, in [0, 1]."""
        return max(self.step - (self.first or 0), 0) / self.steps if self.steps else 0.0

    def to_train(self) -> float:
        """The share that is left, in [0, 1]."""
        return 1 - min(self.step / self.steps, 1.0) if self.steps else 1.0


@dataclass(frozen=True)
class End:
    """How a trial ended. seconds: of training and scoring it, as far as they are known."""

    trial: str
    state: State
    reason: str | None
    score: float | None
    seconds: float


class SweepProgress:
    """steps: of each trial. seconds: what each should take in one process, its share of a cohort.

    better: which scores are, "higher" or "lower"; None if neither, and nothing is best.
    """

    def __init__(
        self,
        folder: SweepFolder,
        steps: Mapping[str, int],
        better: str | None,
        seconds: Mapping[str, float],
        processes: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.folder, self.steps, self.better = folder, steps, better
        self.processes, self.clock = processes, clock
        self.begun = clock()
        self.states: dict[str, State] = dict.fromkeys(steps, "left")
        self.rows: dict[str, Row] = {}
        self.best: tuple[str, float] | None = None
        known = [s for t in steps if (s := seconds.get(t)) is not None]
        mean = sum(known) / len(known) if known else 1.0
        self.seconds = {t: seconds.get(t, mean) for t in steps}
        self.guessed = not known
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
        rows, expected = self.running(), self.seconds
        if self.guessed and not self._worked:
            return None
        mean = sum(expected.values()) / max(len(expected), 1)
        of_row = [sum(expected[t] for t in row.trials) for row in rows]
        worked = self._worked + sum(
            row.trained() * own for row, own in zip(rows, of_row, strict=True)
        )
        prior = 0.0 if self.guessed else mean
        slower = (self.elapsed() * self.processes + prior) / max(worked + prior, 1e-9)
        ahead = [row.to_train() * own for row, own in zip(rows, of_row, strict=True)]
        waiting = sum(expected[t] for t, state in self.states.items() if state == "left")
        return slower * max([(waiting + sum(ahead)) / self.processes, *ahead])

    def _follow(self, row: Row) -> None:
        """Read from the events of a row's first trial how far it is since it was begun."""
        trial = row.trials[0]
        try:
            events = self.folder.run(trial).read(faults=[])
        except RunError:  # edited by hand: its process says so
            return
        starts = [e for e in events if e["event"] == "start" and e.get("time", 0) >= row.clock - 1]
        if starts:
            row.first, row.step, row.steps = (
                starts[0]["step"],
                events[-1]["step"],
                self.steps[trial],
            )
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
                share = 1 - (row.first or 0) / row.steps if row.steps else 1.0
                self._worked += share * self.seconds[trial]
            self._drop(trial)
            score = record["scores"].get(record["metric"], {}).get("value")
            seconds = record.get("seconds", 0.0) + record.get("scoring_seconds", 0.0)
            found.append(End(trial, record["state"], record["reason"], score, seconds))
            self._rank(found[-1])
        return found

    def _rank(self, end: End) -> None:
        self.states[end.trial] = end.state
        score = end.score
        if end.state != "done" or score is None or not math.isfinite(score) or not self.better:
            return
        sign = -1 if self.better == "lower" else 1
        if self.best is None or sign * score > sign * self.best[1]:
            self.best = (end.trial, score)

    def _drop(self, trial: str) -> None:
        row = self.rows.pop(trial, None)
        if row is not None and trial in row.trials:
            row.trials.remove(trial)
