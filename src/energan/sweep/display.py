"""What a person sees of a sweep that runs: a live table on a terminal, plain lines elsewhere.

It prints to stderr, so that stdout stays the result's.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from types import TracebackType

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from energan.errors import describe
from energan.io.text import duration, score_text, settings_text, varying
from energan.metrics.catalogue import sign_of
from energan.sweep.progress import ENDED, End, Row, State, SweepProgress
from energan.sweep.store import SweepFolder
from energan.sweep.trials import Trial

LOOK, SPEAK = 2.0, 60.0
"""Seconds between two looks at the folder, and between two lines of what runs."""
LAST = 5
"""Trials that ended last, in the table."""


class Lasting(Console):
    """Whoever reads may go away: the sweep goes on, in silence. rich itself would end it."""

    def on_broken_pipe(self) -> None:
        self.quiet = True


class Display:
    """A context manager; executors say what is worked on, and refresh it about twice a second.

    metric, better: what ranks trials, and whether "higher" or "lower" is. seconds: what each trial
    should take. processes: how many work at once.
    """

    def __init__(
        self,
        folder: SweepFolder,
        trials: Sequence[Trial],
        metric: str,
        better: str | None,
        seconds: Mapping[str, float],
        processes: int,
        console: Console | None = None,
    ) -> None:
        self.console = console or Lasting(stderr=True)
        self.name, self.sign = folder.path.name, sign_of(metric)
        axes = varying([trial.values for trial in trials])
        self.settings = {trial.id: settings_text(trial.values, axes) for trial in trials}
        steps = {trial.id: trial.job.settings.training.steps for trial in trials}
        self.progress = SweepProgress(folder, steps, better, seconds, processes)
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

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._live is not None:
            self._live.stop()  # leaves the terminal as it was
            self._live = None

    def begin(self, trials: Sequence[str], where: str) -> None:
        """These are worked on now, as one. where: a process's number, or a host."""
        self.progress.begin(trials, where)

    def leave(self, trials: Sequence[str]) -> None:
        """Nobody works on these any more."""
        for end in self.progress.leave(trials):
            self._ended(end)

    def refresh(self) -> None:
        """Look at the folder now and then, and show how things stand."""
        now = self.progress.clock()
        if now - self._looked >= LOOK:
            self._looked = now
            for end in self.progress.look():
                self._ended(end)
        if self._live is not None:
            self._live.update(self._table(), refresh=True)
        elif now - self._spoke >= SPEAK:
            self._spoke = now
            self._say("  ".join([self._done(), self._counts(), *self._working(), self._left()]))

    def _ended(self, end: End) -> None:
        self._last.append(end)
        if self._live is None:
            self._spoke = self.progress.clock()
            self._say("  ".join([self._done(), self.name, *self._end(end), self._left()]))

    def _say(self, text: str) -> None:
        try:
            self.console.print(text, highlight=False, markup=False, soft_wrap=True)
        except BrokenPipeError:  # of a rich that leaves it to us
            self.console.quiet = True

    # --- in words ---------------------------------------------------------------------------------

    def _done(self) -> str:
        count = self.progress.count()
        return f"{sum(count[state] for state in ENDED)}/{len(self.progress.states)}"

    def _counts(self) -> str:
        count = self.progress.count()
        always: set[State] = {"done", "running", "left"}
        order: tuple[State, ...] = ("done", "running", "failed", "diverged", "left")
        return ", ".join(f"{count[s]} {s}" for s in order if count[s] or s in always)

    def _left(self) -> str:
        count = self.progress.count()
        if not count["left"] and not count["running"]:
            return "nothing left"
        seconds = self.progress.time_left()
        return "time left unknown" if seconds is None else f"{duration(seconds)} left"

    def _best(self) -> str:
        return "" if self.progress.best is None else score_text(self.progress.best[1])

    def _end(self, end: End) -> list[str]:
        """How a trial ended, and how long it took."""
        if end.state == "done":
            best = f" (best {self._best()})" if self._best() else ""
            how = f"{self.sign} {score_text(end.score)}{best}"
        else:
            how = f"{end.state}: {describe(end.reason or 'no reason is known')}"
        return [self.settings[end.trial], how, duration(end.seconds)]

    def _working(self) -> list[str]:
        return [f"{row.where}: {self._what(row)} {_step(row)}" for row in self.progress.running()]

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
            trial = self.progress.best[0]
            head.append(f"best so far: {self.sign} {self._best()}  {self.settings[trial]}")
        rows = self.progress.running()
        fits = max(self.console.height - len(head) - len(self._last) - 4, 1)
        table = Table(box=None, pad_edge=False)
        for name in ("at", "trial", "step", "", "for"):
            table.add_column(name, no_wrap=name != "trial", overflow="ellipsis")
        for row in rows[:fits]:
            bar = ProgressBar(total=row.steps or 1, completed=row.step, width=12)
            took = duration(self.progress.clock() - row.since)
            table.add_row(Text(row.where), Text(self._what(row)), _step(row), bar, took)
        more = [Text(f"… and {len(rows) - fits} more")] if len(rows) > fits else []
        ended = ["  ".join([how, took, what]) for what, how, took in map(self._end, self._last)]
        parts, ends = (
            [Text(line, overflow="ellipsis", no_wrap=True) for line in lines]
            for lines in (head, ended)
        )
        return Group(*parts, *([table] if rows else []), *more, *ends)


def _step(row: Row) -> str:
    if row.scoring:
        return "scoring"
    return f"{row.step}/{row.steps}" if row.steps else "starting"
