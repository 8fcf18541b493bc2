"""What a person sees of a run in progress: a bar on a terminal, plain lines elsewhere."""

import time
from collections.abc import Sequence

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

from energan.metrics.catalogue import METRICS
from energan.training.hooks import Figures, Listener
from energan.training.loop import Hook
from energan.training.member import Member
from energan.training.train_state import TrainState

SHOWN = {
    "images_per_s": "images/s",
    "energy_real": "U(real)",
    "energy_fake": "U(fake)",
    "cross_entropy": "CE",
    "loss_energy": "L_D",
    "loss_sampler": "L_G",
    "pull_away": "f_PT",
    **{name: metric.bar for name, metric in METRICS.items() if metric.bar},
}
SECONDS_BETWEEN_LINES = 5.0


class ProgressBar(Hook):
    """A listener and a hook; it prints to stderr, so that stdout stays the result's."""

    def __init__(self, console: Console | None = None, what: str = "training") -> None:
        self.console = console or Console(stderr=True)
        self.what = what
        self.figures: Figures = {}
        self._stepped: set[str] = set()
        self._at: dict[str, int] = {}
        self._bar: Progress | None = None
        self._task = TaskID(0)
        self._spoke, self._told = 0.0, -1

    def start(self, loop: TrainState) -> None:
        self.total = loop.settings.steps
        if self.console.is_terminal:
            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(bar_width=None),
                MofNCompleteColumn(),
                TimeRemainingColumn(),
                TextColumn("{task.fields[figures]}"),
                console=self.console,
                refresh_per_second=4,
            )
            self._task = self._bar.add_task(
                self.what, total=self.total, completed=loop.step, figures=""
            )
            self._bar.start()
        self._from, self._clock = loop.step, time.perf_counter()

    def __call__(self, step: int, figures: Figures) -> None:
        if "loss_energy" in figures:  # a generator that rests has no figures any more
            for name in self._stepped - figures.keys():
                del self.figures[name]
            self._stepped = set(figures)
        self.figures |= figures
        self._at |= dict.fromkeys(figures, step)
        if self._bar is not None:
            self._bar.update(self._task, figures=self._text())
        elif (self._told != step or step == self.total) and (
            time.perf_counter() - self._spoke >= SECONDS_BETWEEN_LINES or step == self.total
        ):
            self._spoke, self._told = time.perf_counter(), step
            rate = (step - self._from) / max(self._spoke - self._clock, 1e-9)
            left = f"{(self.total - step) / rate:.0f} s left" if rate > 0 else ""
            self.say(f"step {step}/{self.total}  {self._text()}  {left}")

    def step(self, loop: TrainState) -> None:
        if self._bar is not None:
            self._bar.update(self._task, completed=loop.step)

    def close(self) -> None:
        """Leave the terminal as it was, also after an error."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def say(self, text: str) -> None:
        try:
            self.console.print(text, highlight=False, markup=False, soft_wrap=True)
        except BrokenPipeError:  # whoever read this went away; the training does not
            self.console = Console(quiet=True)

    def _text(self) -> str:
        """The figures of now; behind them, with their step, those that are made more rarely."""
        last = max(self._at.values(), default=0)
        known = [name for name in SHOWN if name in self.figures]
        steps = sorted({self._at[name] for name in known}, reverse=True)
        parts = []
        for step in steps:
            shown = [
                f"{SHOWN[name]} {self.figures[name]:.4g}"
                for name in known
                if self._at[name] == step
            ]
            parts.append(("" if step == last else f"at step {step}: ") + "  ".join(shown))
        return "  ".join(parts)


class CohortMean:
    """What the bar shows of a cohort: the mean of what its members log at the same step, and their
    images per second together."""

    def __init__(self, listener: Listener, members: Sequence[Member]) -> None:
        self.listener, self.members = listener, members
        self._step, self._logged = -1, dict[int, Figures]()

    def __call__(self, member: Member, step: int, figures: Figures) -> None:
        if step != self._step:
            self._step, self._logged = step, {}
        self._logged[member.index] = self._logged.get(member.index, {}) | figures
        living = [m.index for m in self.members if m.index not in m.whole.diverged]
        if any(index not in self._logged for index in living):
            return
        every = [self._logged[index] for index in living]
        common = [name for name in figures if all(name in own for own in every)]
        if not common:
            return
        means = {name: sum(own[name] for own in every) / len(every) for name in common}
        if "images_per_s" in means:
            means["images_per_s"] *= len(every)
        self.listener(step, means)
