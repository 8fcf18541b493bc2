"""What happens beside training: events, checkpoints, going back after a divergence."""

import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from energan.core import CheckpointError, DivergenceError
from energan.folder import RunFolder, write_atomically
from energan.training import checkpoint
from energan.training.loop import Hook, Loop

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

Figures = dict[str, float]
Listener = Callable[[int, Figures], None]
"""Called with (step, mean figures since the last call)."""


def due(step: int, every: int) -> bool:
    return every > 0 and step % every == 0


class Log(Hook):
    """Every `every` steps: read the figures, write their means as an event, tell listeners."""

    def __init__(self, folder: RunFolder, every: int, listeners: list[Listener]) -> None:
        self.folder, self.every, self.listeners = folder, every, listeners
        self._sums: dict[str, float] = {}
        self._steps = 0

    def start(self, loop: Loop) -> None:
        self._clock, self._from = time.perf_counter(), loop.step

    def step(self, loop: Loop) -> None:
        if due(loop.step, self.every):
            self._write(loop)

    def finish(self, loop: Loop) -> None:
        self._write(loop)

    def rescue(self, loop: Loop, error: DivergenceError) -> bool:
        self._sums, self._steps = {}, 0
        return False  # forget what led there; another hook decides

    def collect(self, read: list[tuple[int, dict[str, Tensor]]]) -> None:
        for _, figures in read:
            self._steps += 1
            for name, values in figures.items():
                self._sums[name] = self._sums.get(name, 0.0) + float(values.nanmean())

    def _write(self, loop: Loop) -> None:
        self.collect(loop.settle())
        if not self._steps:
            return
        now = time.perf_counter()
        figures = {name: total / self._steps for name, total in self._sums.items()}
        elapsed = max(now - self._clock, 1e-9)
        images = self._steps * loop.settings.batch_size * loop.energy_steps * loop.members
        figures["images_per_s"] = images / elapsed
        self._sums, self._steps, self._clock = {}, 0, now
        self.folder.append("step", step=loop.step, **{k: _rounded(v) for k, v in figures.items()})
        for listener in self.listeners:
            listener(loop.step, figures)


class Checkpoints(Hook):
    """Every `every` steps and at the end: verify, score if asked, write, prune.

    score: the loop -> {name: figure}; the checkpoint with the lowest `best` figure is kept.
    """

    def __init__(
        self,
        folder: RunFolder,
        every: int,
        keep: int,
        log: Log,
        score: Callable[[Loop], Figures] | None = None,
        best: str | None = None,
    ) -> None:
        self.folder, self.every, self.keep, self.log = folder, every, keep, log
        self.score, self.best = score, best
        self._written = -1

    def start(self, loop: Loop) -> None:
        self.folder.checkpoints.mkdir(parents=True, exist_ok=True)
        if loop.step == 0:
            self.write(loop)  # a run that diverges at once has somewhere to go back to

    def step(self, loop: Loop) -> None:
        if due(loop.step, self.every):
            self.write(loop)

    def finish(self, loop: Loop) -> None:
        if self._written != loop.step:
            self.write(loop)

    def write(self, loop: Loop) -> None:
        self.log.collect(loop.settle())
        path = checkpoint.save(self.folder.checkpoints, loop)
        self._written = loop.step
        figures = self.score(loop) if self.score else {}
        if figures:
            self.folder.append(
                "score", step=loop.step, **{k: _rounded(v) for k, v in figures.items()}
            )
            for listener in self.log.listeners:
                listener(loop.step, figures)
        self._remember(loop.step, figures.get(self.best or "", math.inf))
        kept = read_best(self.folder.checkpoints)
        checkpoint.prune(path.parent, self.keep, {kept["step"]} if kept else set())

    def _remember(self, step: int, figure: float) -> None:
        before = read_best(self.folder.checkpoints)
        # an entry from a later step is from before a resume or a rollback, and void
        if math.isfinite(figure) and (
            before is None or figure < before["figure"] or before["step"] > step
        ):
            entry = {"step": step, "name": self.best, "figure": figure}
            write_atomically(self.folder.checkpoints / "best.json", json.dumps(entry) + "\n")


def read_best(folder: Path) -> dict[str, Any] | None:
    """{"step", "name", "figure"} of the best checkpoint so far, if one is marked and there."""
    try:
        entry = json.loads((folder / "best.json").read_text(encoding="utf8"))
        there = (folder / checkpoint.checkpoint_name(entry["step"])).is_dir()
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return dict(entry) if there else None


class Rollback(Hook):
    """On a divergence, return to the last good checkpoint and halve all rates, `most` times."""

    def __init__(self, folder: RunFolder, most: int, say: Callable[[str], None]) -> None:
        self.folder, self.most, self.say = folder, most, say
        self.count = 0

    def rescue(self, loop: Loop, error: DivergenceError) -> bool:
        if self.count >= self.most:
            return False
        try:
            path, _ = checkpoint.newest_good(self.folder.checkpoints)
        except CheckpointError:
            return False
        self.count += 1
        scale = loop.rate_scale / 2  # halves what diverged, also when that was halved before
        checkpoint.restore(path, loop)
        loop.rate_scale = scale
        factor = float(scale.min())
        self.folder.append("rollback", step=loop.step, reason=str(error), rate_scale=factor)
        self.say(f"{error}: back to step {loop.step}, learning rates now times {factor:g}")
        return True


class TensorBoard(Hook):
    """A listener that shows the same figures in TensorBoard."""

    def __init__(self, folder: RunFolder) -> None:
        self.folder = folder
        self.writer: SummaryWriter | None = None

    def __call__(self, step: int, figures: Figures) -> None:
        if self.writer is None:
            from torch.utils.tensorboard import SummaryWriter  # slow: only for those who log to it

            # what a resumed run repeats replaces what was logged beyond its checkpoint
            self.writer = SummaryWriter(str(self.folder.path / "tensorboard"), purge_step=step)
        for name, value in figures.items():
            self.writer.add_scalar(name, value, step)

    def finish(self, loop: Loop) -> None:
        if self.writer is not None:
            self.writer.close()


def _rounded(value: float) -> float:
    return float(f"{value:.6g}")
