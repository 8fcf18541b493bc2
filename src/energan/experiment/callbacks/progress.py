"""What a person sees of a run in progress: a bar on a terminal, plain lines elsewhere."""

from collections.abc import Sequence

from energan.io.console import ProgressDisplay
from energan.metrics.catalogue import METRICS
from energan.training.hooks import Figures, Listener
from energan.training.loop import Hook
from energan.training.member import Member
from energan.training.train_state import TrainState

SHOWN = {
    "images_per_s": "images/s",
    "energy_real": "real energy",
    "energy_fake": "fake energy",
    "cross_entropy": "CE",
    "loss_energy": "D loss",
    "loss_sampler": "G loss",
    "pull_away": "PT",
    **{name: metric.bar for name, metric in METRICS.items() if metric.bar},
}


class ProgressBar(Hook):
    """A listener and a hook that shows how far training is, with the figures of now.

    Where there is no terminal, the first line waits for the first step, and the last one for the
    scores of the last checkpoint.
    """

    def __init__(self, what: str, steps: int) -> None:
        self.display = ProgressDisplay(what, steps)
        self.figures: Figures = {}
        self._stepped: set[str] = set()
        self._at: dict[str, int] = {}
        self._now = self._told = 0
        self._ended = False

    def start(self, loop: TrainState) -> None:
        self.display.start(loop.step)
        self._now = self._told = loop.step

    def __call__(self, step: int, figures: Figures) -> None:
        if "loss_energy" in figures:  # a generator that rests has no figures any more
            for name in self._stepped - figures.keys():
                del self.figures[name]
            self._stepped = set(figures)
        self.figures |= figures
        self._at |= dict.fromkeys(figures, step)
        self._now, total = step, self.display.total
        if (
            self.display.update_bar(step, self._text())
            or self._ended
            or step in (self._told, total)
        ):
            return
        left = f"{self.display.seconds_left(step) or 0:.0f} s left"
        if self.display.line(f"step {step}/{total}  {self._text()}  {left}"):
            self._told = step

    def step(self, loop: TrainState) -> None:
        self.display.update_bar(loop.step)

    def finish(self, loop: TrainState) -> None:
        self._ended = True

    def close(self) -> None:
        if self._ended and self._now != self._told and not self.display.update_bar(self._now):
            self.display.say(f"step {self._now}/{self.display.total}  {self._text()}")
        self.display.close()

    def _text(self) -> str:
        """The figures of now; behind them, with their step, those that are made more rarely."""
        last = max(self._at.values(), default=0)
        known = [name for name in SHOWN if name in self.figures]
        steps = sorted({self._at[name] for name in known}, reverse=True)
        parts = []
        for step in steps:
            shown = [
                f"{SHOWN[name]} {_value(name, self.figures[name])}"
                for name in known
                if self._at[name] == step
            ]
            parts.append(("" if step == last else f"at step {step}: ") + "  ".join(shown))
        return "  ".join(parts)


def _value(name: str, figure: float) -> str:
    percent = name in METRICS and METRICS[name].percent
    return f"{100 * figure:.2f} %" if percent else f"{figure:.4g}"


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
