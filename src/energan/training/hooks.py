"""What happens beside training: events, checkpoints, going back after a divergence."""

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path

from torch import Tensor

from energan.core import BlowUpError, CheckpointError, DivergenceError
from energan.io.run_folder import RunFolder
from energan.metrics.catalogue import AUTO, better_of
from energan.training import checkpoint, checkpoint_folder
from energan.training.loop import Hook
from energan.training.train_state import TrainState

Figures = dict[str, float]
Listener = Callable[[int, Figures], None]
"""Called with (step, mean figures since the last call)."""


def due(step: int, every: int) -> bool:
    return every > 0 and step % every == 0


class Log(Hook):
    """Every `every` steps: read the figures, write their means as an event, tell listeners.

    Means are over the steps since the last event, or since the checkpoint a run resumed from.
    """

    def __init__(self, folder: RunFolder, every: int) -> None:
        self.folder, self.every = folder, every
        self.listeners: list[Listener] = []
        self.latest: Figures = {}  # of the last step that was read, by itself
        self._forget()

    def _forget(self) -> None:
        self._sums: dict[str, float] = {}
        self._counts: dict[str, int] = {}
        self._steps = 0
        self._clock = time.perf_counter()

    def start(self, loop: TrainState) -> None:
        self._forget()

    def step(self, loop: TrainState) -> None:
        if due(loop.step, self.every):
            self._write(loop)

    def finish(self, loop: TrainState) -> None:
        self._write(loop)

    def rescue(self, loop: TrainState, error: DivergenceError) -> bool:
        self.latest = {}
        self._forget()  # what led there; another hook decides what to do
        return False

    def collect(self, read: list[tuple[int, dict[str, Tensor]]]) -> None:
        """Add figures that `flush_figures` read; a diverged member's are NaN and do not count."""
        for _, figures in read:
            self._steps += 1
            self.latest = {name: float(values.nanmean()) for name, values in figures.items()}
            for name, value in self.latest.items():
                self._sums[name] = self._sums.get(name, 0.0) + value
                self._counts[name] = self._counts.get(name, 0) + 1

    def tell(self, event: str, step: int, figures: Figures) -> None:
        """Write an event and tell the listeners."""
        self.folder.append(event, step=step, **{k: float(f"{v:.6g}") for k, v in figures.items()})
        for listener in self.listeners:
            listener(step, figures)

    def _write(self, loop: TrainState) -> None:
        self.collect(loop.flush_figures())
        if not self._steps:
            return
        figures = {name: total / self._counts[name] for name, total in self._sums.items()}
        batch = loop.settings.batch_size * loop.ranks.count
        images = self._steps * batch * loop.energy_steps * loop.members
        figures["images_per_s"] = images / max(time.perf_counter() - self._clock, 1e-9)
        self._forget()
        self.tell("step", loop.step, figures)


class Checkpoints(Hook):
    """Every `every` steps and at the end: verify, score, write, prune.

    score: the loop, its statistics estimated -> {name: figure}. The checkpoint that is best by the
    figure `best` is kept beside the last ones.
    """

    def __init__(
        self,
        folder: RunFolder,
        every: int,
        keep: int,
        log: Log,
        score: Callable[[TrainState], Figures],
        best: str,
    ) -> None:
        self.folder, self.every, self.keep, self.log = folder, every, keep, log
        self.score, self.best = score, best
        self._written = -1

    def start(self, loop: TrainState) -> None:
        if self.folder.writes:
            self.folder.checkpoints.mkdir(parents=True, exist_ok=True)
        if loop.step == 0:
            self.write(loop)  # a run that diverges at once has somewhere to go back to
        self._written = loop.step

    def step(self, loop: TrainState) -> None:
        if due(loop.step, self.every):
            self.write(loop)

    def finish(self, loop: TrainState) -> None:
        if self._written != loop.step:
            self.write(loop)

    def write(self, loop: TrainState) -> None:
        loop.check_states()
        self.log.collect(loop.flush_figures())
        loop.ranks.first(lambda: self._write(loop))
        self._written = loop.step

    def _write(self, loop: TrainState) -> None:
        # Before the checkpoint: killed between the two, a resume makes this event void and scores
        # again, and no checkpoint is ever without its score.
        loop.estimate_statistics()
        self.log.tell("score", loop.step, self.score(loop))
        path = checkpoint.save(self.folder.checkpoints, loop, estimated=True)
        best = best_step(self.folder, self.best)
        checkpoint_folder.prune(path.parent, self.keep, set() if best is None else {best})


def best_step(folder: RunFolder, figure: str) -> int | None:
    """The step whose checkpoint is there and whose score event has the best figure.

    The earliest of equals. figure: the name of a metric, or "auto".
    """
    there = set(checkpoint_folder.steps_in(folder.checkpoints))
    events = folder.read("score")
    if figure == "auto":
        figure = next((name for name in AUTO if any(name in e for e in events)), AUTO[0])
    scored = [e for e in events if figure in e and e.get("step") in there]
    sign = -1 if better_of(figure) == "higher" else 1
    return int(min(scored, key=lambda e: sign * e[figure])["step"]) if scored else None


class Periodic(Hook, ABC):
    """Writes something every `every` steps and after the last; `_write` does it, on one rank."""

    def __init__(self, every: int) -> None:
        self.every = every

    def step(self, loop: TrainState) -> None:
        if due(loop.step, self.every):
            loop.ranks.first(lambda: self._write(loop))

    def finish(self, loop: TrainState) -> None:
        if not due(loop.step, self.every):
            loop.ranks.first(lambda: self._write(loop))

    @abstractmethod
    def _write(self, loop: TrainState) -> None:
        """Write what there is at this step."""


class Rollback(Hook):
    """On a divergence, return to the last good checkpoint and halve all rates, `most` times.

    Of chains that blew up: the last before that began. Where the run came back to the last one
    before, it may already stand on the brink, and the one before it is taken.
    """

    def __init__(self, folder: RunFolder, most: int, say: Callable[[str], None]) -> None:
        self.folder, self.most, self.say = folder, most, say

    def rescue(self, loop: TrainState, error: DivergenceError) -> bool:
        # The scale tells how often it was halved, also in the processes before a resume.
        scale = loop.rate_scale / 2
        if float(scale.min()) < 2.0**-self.most:
            return False
        try:
            path = loop.ranks.choose(lambda: self._choose(error))
        except CheckpointError:
            return False
        checkpoint.restore(path, loop)
        # of steps undone: a process that is killed now must resume from here too
        loop.ranks.first(lambda: checkpoint_folder.discard(self.folder.checkpoints, loop.step))
        loop.rate_scale = scale
        factor = float(scale.min())
        self.folder.append("rollback", step=loop.step, reason=str(error), rate_scale=factor)
        if loop.ranks.writes:
            self.say(f"{error}: back to step {loop.step}, learning rates now times {factor:g}")
        return True

    def _choose(self, error: DivergenceError) -> Path:
        """The checkpoint to go back to. Raises CheckpointError if none verifies."""
        newest, _ = checkpoint_folder.newest_good(self.folder.checkpoints)
        been = {e["step"] for e in self.folder.read("rollback")}
        before = error.since + 1 if isinstance(error, BlowUpError) else math.inf
        if checkpoint_folder.step_of(newest) in been:
            before = min(before, checkpoint_folder.step_of(newest))
        try:
            return checkpoint_folder.newest_good(self.folder.checkpoints, before)[0]
        except CheckpointError:  # none is kept from before it began: the one nearest to that
            return checkpoint_folder.oldest_good(self.folder.checkpoints)
