"""What a person sees of a sweep that runs, on stderr: a live table on a terminal, else lines."""

from collections import deque
from collections.abc import Mapping, Sequence

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from energan.errors import describe
from energan.io.console import say, stderr_console
from energan.io.text import duration, score_text, settings_text, varying
from energan.metrics.catalogue import sign_of
from energan.sweep.progress import ENDED, End, Row, State, SweepProgress
from energan.sweep.store import SweepFolder
from energan.sweep.trials import Trial

LOOK, SPEAK = 2.0, 60.0
"""Seconds between two looks at the folder, and between two lines of what runs."""
LAST = 5
"""Trials that ended last, in the table."""


class Display:
    """A context manager; executors say what is worked on, and refresh it about twice a second.

    metric: ranks trials. seconds: what each should take. processes: how many work at once.
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
        self._last: deque[End] = deque(maxlen=LAST)
        self._looked = self._spoke = self.progress.begun
        self._live: Live | None = None

    def __enter__(self) -> "Display":
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
            working = [f"{r.where}: {self._what(r)} {r.stage()}" for r in self.progress.running()]
            self._say(self._counts(), *working)

    def _show_ends(self, ends: Sequence[End]) -> None:
        for end in ends:
            self._last.append(end)
            if self._live is None:
                self._say(self.name, *self._end(end))

    def _say(self, *parts: str) -> None:
        self._spoke = self.progress.clock()
        say("  ".join([self._done(), *parts, self._left()]), self.console)

    # --- in words ---------------------------------------------------------------------------------

    def _done(self) -> str:
        count = self.progress.count()
        return f"{sum(count[state] for state in ENDED)}/{len(self.progress.states)}"

    def _counts(self) -> str:
        count = self.progress.count()
        order: tuple[State, ...] = ("done", "running", "failed", "diverged", "left")
        unusual = ("failed", "diverged")
        return ", ".join(f"{count[s]} {s}" for s in order if count[s] or s not in unusual)

    def _left(self) -> str:
        count = self.progress.count()
        if not count["left"] and not count["running"]:
            return "nothing left"
        seconds = self.progress.time_left()
        return "time left unknown" if seconds is None else f"{duration(seconds)} left"

    def _end(self, end: End) -> list[str]:
        """How a trial ended, and how long it took."""
        how = f"{end.state}: {describe(end.reason or 'no reason is known')}"
        if end.state == "done":
            best = self.progress.best
            how = f"{self.sign} {score_text(end.score)}"
            how += "" if best is None else f" (best {score_text(best[1])})"
        return [self.settings[end.trial], how, duration(end.seconds)]

    def _what(self, row: Row) -> str:
        first = self.settings[row.trials[0]]
        return first if len(row.trials) == 1 else f"{len(row.trials)} as one, {first} …"

    # --- as a table -------------------------------------------------------------------------------

    def _table(self) -> RenderableType:
        head = [
            f"{self.name}  {self._done()}: {self._counts()}",
            f"{duration(self.progress.elapsed())} since the start, {self._left()}",
        ]
        if self.progress.best is not None:
            trial, score = self.progress.best
            head.append(f"best so far: {self.sign} {score_text(score)}  {self.settings[trial]}")
        rows = self.progress.running()
        fits = max(self.console.height - len(head) - len(self._last) - 4, 1)
        table = Table(box=None, pad_edge=False)
        for name in ("at", "trial", "step", "for"):
            table.add_column(name, no_wrap=name != "trial", overflow="ellipsis")
        for row in rows[:fits]:
            took = duration(self.progress.clock() - row.since)
            table.add_row(Text(row.where), Text(self._what(row)), row.stage(), took)
        tail = [f"… and {len(rows) - fits} more"] if len(rows) > fits else []
        tail += ["  ".join([how, took, what]) for what, how, took in map(self._end, self._last)]
        above, below = (
            [Text(line, overflow="ellipsis", no_wrap=True) for line in lines]
            for lines in (head, tail)
        )
        return Group(*above, *([table] if rows else []), *below)
