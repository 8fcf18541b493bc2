"""Where a sweep stands while it runs, on stderr: a live table on a terminal, else lines.

All of it is read from the sweep's folder: how far trials are from their events, how they ended from
their records.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from energan.errors import RunError, describe
from energan.io.console import say, stderr_console
from energan.io.text import duration, score_text, settings_text, varying
from energan.metrics.catalogue import sign_of
from energan.sweeps.store import Record, SweepFolder, best_of
from energan.sweeps.trials import Trial

ENDED = ("done", "diverged", "failed")
LOOK, SPEAK = 2.0, 60.0
"""Seconds between two looks at the folder, and between two lines of what runs."""


@dataclass
class Row:
    """Trials that are trained now: one, or a cohort. first: the step at which they were seen first,
    since a trial may go on from a checkpoint."""

    where: str
    trials: list[str]
    since: float
    steps: int
    first: int = 0
    step: int = 0
    stage: str = "starting"

    def share(self, steps: int) -> float:
        """Of the training that so many steps are, in [0, 1]."""
        return min(max(steps / self.steps, 0.0), 1.0)


class SweepProgress:
    """The state of each trial, the best so far, the time left.

    steps: of each trial. seconds: what each to do should take, of a cohort its share; none if
    nothing is known.
    """

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
        self.states: dict[str, str] = dict.fromkeys(steps, "left")
        self.rows: dict[str, Row] = {}
        self.best: Record | None = None
        known = list(seconds.values())
        self.guessed = not known
        self._mean = sum(known) / len(known) if known else 1.0
        self.seconds = {trial: seconds.get(trial, self._mean) for trial in steps}
        self._worked = 0.0  # what ended here, in expected seconds
        self._read_records()

    def begin(self, trials: Sequence[str], where: str) -> None:
        """Take note that these are worked on now, as one."""
        row = self.rows.get(trials[0])
        if row is not None and row.where == where:
            return
        row = Row(where, list(trials), self.clock(), self.steps[trials[0]])
        for trial in trials:
            self._drop(trial)
            self.rows[trial], self.states[trial] = row, "running"

    def leave(self, trials: Iterable[str]) -> list[Record]:
        """Take note that nobody works on these any more; those that ended since the last look."""
        ends = self._read_records()
        for trial in trials:
            if self.states[trial] == "running":
                self._drop(trial)
                self.states[trial] = "left"
        return ends

    def look(self) -> list[Record]:
        """See how far those that run are; those that ended since the last look."""
        for row in self.running():
            try:
                events = self.folder.run(row.trials[0]).read(faults=[])
            except RunError:  # edited by hand: its process says so
                continue
            if events:
                row.step = events[-1]["step"]
                row.first = row.step if row.stage == "starting" else row.first
                scoring = events[-1]["event"] == "finished"
                row.stage = "scoring" if scoring else f"{row.step}/{row.steps}"
        return self._read_records()

    def count(self) -> Counter[str]:
        return Counter(self.states.values())

    def running(self) -> list[Row]:
        """Each row once, in order of where it is."""
        rows = {id(row): row for row in self.rows.values()}
        return sorted(rows.values(), key=lambda row: (len(row.where), row.where, row.since))

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
        elapsed = self.clock() - self.begun
        slower = (elapsed * self.processes + prior) / max(worked + prior, 1e-9)
        ahead = [(1 - row.share(row.step)) * own for row, own in rows]
        waiting = sum(self.seconds[t] for t, state in self.states.items() if state == "left")
        return slower * max([(waiting + sum(ahead)) / self.processes, *ahead])

    def _read_records(self) -> list[Record]:
        """Those that ended since the last look."""
        found = []
        for trial in sorted(t for t in self.folder.done() if t in self.states):
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
            found.append(record)
        self.best = best_of([*([self.best] if self.best else []), *found])
        return found

    def _drop(self, trial: str) -> None:
        row = self.rows.pop(trial, None)
        if row is not None:
            row.trials.remove(trial)


class SweepDisplay:
    """A context manager; executors say what is worked on, and refresh it about twice a second.

    metric: ranks trials. seconds, processes: as of `SweepProgress`.
    """

    def __init__(
        self,
        folder: SweepFolder,
        trials: Sequence[Trial],
        metric: str,
        seconds: Mapping[str, float],
        processes: int,
        console: Console | None = None,
    ) -> None:
        self.console = console or stderr_console()
        self.name, self.sign = folder.path.name, sign_of(metric)
        axes = varying([trial.values for trial in trials])
        self.settings = {trial.id: settings_text(trial.values, axes) for trial in trials}
        steps = {trial.id: trial.job.settings.training.steps for trial in trials}
        self.progress = SweepProgress(folder, steps, seconds, processes)
        self._looked = self._spoke = self.progress.begun
        self._live: Live | None = None

    def __enter__(self) -> "SweepDisplay":
        if self.console.is_terminal:
            self._live = Live(
                self._table(), console=self.console, auto_refresh=False, transient=True
            )
            self._live.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self._live is not None:
            self._live.stop()  # leaves the terminal as it was
            self._live = None

    def begin(self, trials: Sequence[str], where: str) -> None:
        """These are worked on now, as one. where: a process's number, or a host."""
        self.progress.begin(trials, where)

    def leave(self, trials: Sequence[str]) -> None:
        """Nobody works on these any more; what has no record is left to do."""
        self._show_ends(self.progress.leave(trials))

    def refresh(self) -> None:
        """Look at the folder now and then, and show how things stand."""
        now = self.progress.clock()
        if now - self._looked >= LOOK:
            self._looked = now
            self._show_ends(self.progress.look())
        if self._live is not None:
            self._live.update(self._table(), refresh=True)
        elif now - self._spoke >= SPEAK:
            working = [f"{r.where}: {self._what(r)} {r.stage}" for r in self.progress.running()]
            self._say(self._counts(), *working)

    def _show_ends(self, ends: Sequence[Record]) -> None:
        """A line for each, above the table if there is one."""
        for record in ends:
            how = f"{record['state']}: {describe(record['reason'] or 'no reason is known')}"
            if record["state"] == "done":
                best = self.progress.best
                how = f"{self.sign} {_score(record)}" + (f" (best {_score(best)})" if best else "")
            seconds = record.get("seconds", 0.0) + record.get("scoring_seconds", 0.0)
            self._say(self.name, self.settings[record["id"]], how, duration(seconds))

    def _say(self, *parts: str) -> None:
        self._spoke = self.progress.clock()
        say("  ".join([self._done(), *parts, self._left()]), self.console)

    def _done(self) -> str:
        count = self.progress.count()
        return f"{sum(count[state] for state in ENDED)}/{len(self.progress.states)}"

    def _counts(self) -> str:
        count = self.progress.count()
        order = ("done", "running", "failed", "diverged", "left")
        return ", ".join(f"{count[s]} {s}" for s in order if count[s] or s not in ENDED[1:])

    def _left(self) -> str:
        count = self.progress.count()
        if not count["left"] and not count["running"]:
            return "nothing left"
        seconds = self.progress.time_left()
        return "time left unknown" if seconds is None else f"{duration(seconds)} left"

    def _what(self, row: Row) -> str:
        first = self.settings[row.trials[0]]
        return first if len(row.trials) == 1 else f"{len(row.trials)} as one, {first} …"

    def _table(self) -> RenderableType:
        now, rows = self.progress.clock(), self.progress.running()
        head = [
            f"{self.name}  {self._done()}: {self._counts()}",
            f"{duration(now - self.progress.begun)} since the start, {self._left()}",
        ]
        if self.progress.best is not None:
            best = self.progress.best
            what = self.settings[best["id"]]
            head.append(f"best so far: {self.sign} {_score(best)}  {what}")
        table = Table(box=None, pad_edge=False)
        for name in ("at", "trial", "step", "for"):
            table.add_column(name, no_wrap=name != "trial", overflow="ellipsis")
        fits = max(self.console.height - len(head) - 4, 1)
        for row in rows[:fits]:
            table.add_row(
                Text(row.where), Text(self._what(row)), row.stage, duration(now - row.since)
            )
        if len(rows) > fits:
            table.add_row("", f"… and {len(rows) - fits} more")
        lines = [Text(line, overflow="ellipsis", no_wrap=True) for line in head]
        return Group(*lines, *([table] if rows else []))


def _score(record: Record) -> str:
    return score_text(record["scores"].get(record["metric"], {}).get("value"))
