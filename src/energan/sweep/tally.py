"""Where a sweep stands while it runs: the state of each trial, the best so far, the time left.

It learns of trials here by what is told, of those on other machines by their records.
"""

import math
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from energan.errors import RunError
from energan.sweep.folder import SweepFolder

State = Literal["left", "running", "elsewhere", "done", "diverged", "failed"]
ENDED: tuple[State, ...] = ("done", "diverged", "failed")


@dataclass
class Row:
    """Trials that are trained now: one, or a cohort. since, first: when, and from which step."""

    where: str
    trials: list[str]
    since: float
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
    """How a trial ended. seconds: that it took; None of one that ended elsewhere."""

    trial: str
    state: State
    reason: str | None
    score: float | None
    seconds: float | None


class Tally:
    """seconds: of each trial its expected time in one process, its share of a cohort's.

    better: which scores are, "higher" or "lower"; None if neither, and nothing is best.
    """

    def __init__(
        self,
        folder: SweepFolder,
        trials: Sequence[str],
        better: str | None,
        seconds: Mapping[str, float],
        processes: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.folder, self.better, self.processes, self.clock = folder, better, processes, clock
        self.begun = clock()
        self.states: dict[str, State] = dict.fromkeys(trials, "left")
        self.rows: dict[str, Row] = {}
        self.best: tuple[str, float] | None = None
        known = [s for t in trials if (s := seconds.get(t)) is not None]
        mean = sum(known) / len(known) if known else 1.0
        self.seconds = {t: seconds.get(t, mean) for t in trials}
        self.guessed = not known
        self._worked = 0.0  # what ended here, in expected seconds
        self.look()

    def look(self) -> list[End]:
        """What ended elsewhere since the last look."""
        new = [t for t in self.folder.done() if self.states.get(t, "done") not in ENDED]
        found = []
        for trial in sorted(new):
            if trial in self.rows:
                continue  # it ends here, and will be told
            try:
                record = self.folder.read(trial)
            except RunError:
                record = None  # torn by hand: whoever reads it for good says so
            if record is not None:
                score = record["scores"].get(record["metric"], {}).get("value")
                end = End(trial, record["state"], record["reason"], score, None)
                self._end(end)
                found.append(end)
        return found

    def tell(self, event: dict[str, Any], where: str) -> End | None:
        """Take in what a worker tells; the end of a trial, if it is one."""
        kind = event["event"]
        if kind == "ended":
            return self._ended(event)
        trials = [t for t in event["trials"] if t in self.states]
        if kind == "begun":
            self._begin(trials, where)
        elif kind == "left":
            for trial in trials:
                self._drop(trial)
                # who finished it keeps a record, which `look` finds
                self.states[trial] = "left" if event["why"] == "stopped" else "elsewhere"
        elif trials and (row := self.rows.get(trials[0])) is not None:
            if kind == "scoring":
                row.scoring = True
            elif kind == "progress":
                row.step, row.steps = event["step"], event["steps"]
                row.first = row.step if row.first is None else row.first
        return None

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

    def _begin(self, trials: list[str], where: str) -> None:
        if where.isdigit():  # a process works on one thing at a time: what it had before is lost
            for row in self.running():
                if row.where == where:
                    for trial in list(row.trials):
                        self._drop(trial)
                        self.states[trial] = "left"
        row = Row(where, list(trials), self.clock())
        for trial in trials:
            self._drop(trial)
            self.rows[trial] = row
            self.states[trial] = "running"

    def _ended(self, event: dict[str, Any]) -> End | None:
        trial = event["trial"]
        if trial not in self.states:
            return None
        row = self.rows.get(trial)
        share = 1.0 if row is None or not row.steps else 1 - (row.first or 0) / row.steps
        self._worked += share * self.seconds[trial]
        self._drop(trial)
        end = End(trial, event["state"], event["reason"], event["score"], event["seconds"])
        self._end(end)
        return end

    def _end(self, end: End) -> None:
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
