"""A start for the margin m (Zhao et al. 2017, appendix E): where the energy of real data settles.

The auto-encoder is trained alone on real data, and its energy is read on held-out data. The paper
calls the result a good start for a search, so a grid from it upwards comes along. `auto` takes four
times the energy: at the energy itself G has nothing to climb over while D is still learning the
data (on faces of 64×64, settled energy 9.9, m = 9.9 and 20 collapsed within 500 steps, 40 did not).
The published m = 10 for MNIST is 1.7 times what its auto-encoder settles at.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import torch

from energan.core import CheckpointError, Model, SettingError, evaluating
from energan.core.schedules import AUTO
from energan.data import DataSet
from energan.errors import Interrupted
from energan.experiment.build import build, loop_of
from energan.experiment.callbacks.progress import ProgressBar
from energan.experiment.settings import Job
from energan.io.files import write_atomically
from energan.io.text import plural
from energan.samplers.none import NoSampler
from energan.training import checkpoint
from energan.training.checkpoint_folder import newest_good
from energan.training.device import Device
from energan.training.hooks import Listener
from energan.training.loop import Hook, stop_on_signals
from energan.training.train_state import TrainState

STEPS = 500
"""Largest number of steps that the auto-encoder trains alone."""
EVERY, WINDOW = 25, 4
"""Steps between two measurements, and number of measurements that are averaged."""
SETTLED = 0.03
"""Largest fraction by which the energy may still fall from one average to the next."""
FLOOR = 0.05
"""Least margin: root mean square per pixel, for a range of 2. Published margins are 0.18 to 0.72
(20 for 64×64 faces is 0.18). An overcomplete auto-encoder settles far below any of them."""
HELD_OUT = 512
FACTORS = (1.0, 2.0, 4.0, 8.0)
AUTO_FACTOR = 4.0
KEPT, READINGS = "margin", "readings.json"
"""The folder of a run that keeps an interrupted estimate, and the file of its readings in there."""


@dataclass(frozen=True)
class Estimate:
    """What was found.

    margin: what `auto` takes. energy: where U of held-out examples stood. steps: trained. settled:
    whether it had stopped falling. floored: whether a floor was used in the energy's place. grid:
    margins to try. readings: (step, energy) on the way.
    """

    margin: float
    energy: float
    steps: int
    settled: bool
    floored: bool
    grid: tuple[float, ...]
    readings: tuple[tuple[int, float], ...]

    def says(self) -> str:
        """In a sentence or two."""
        *most, last = (f"{m:g}" for m in self.grid if m != self.margin)
        where = "had settled" if self.settled else "was still falling"
        after = f"after {plural(self.steps, 'step')} of training the auto-encoder alone"
        if self.floored:
            why = (
                f"{self.grid[0]:g}, the smallest margin used: the energy of held-out data "
                f"{where} at {self.energy:.3g} {after}, so the auto-encoder copies its input"
            )
        else:
            why = f"{self.grid[0]:g}, the energy of held-out data, which {where} {after}"
        return (
            f"margin {self.margin:g}: {AUTO_FACTOR:g} times {why}; if samples stay poor, try "
            f"--model.margin {', '.join(most)} or {last}"
        )

    def record(self) -> dict[str, Any]:
        return asdict(self)


class _Readings(Hook):
    """Every EVERY steps, U of held-out examples; stops the loop once it has settled."""

    def __init__(self, data: DataSet, engine: Device, listener: Listener | None) -> None:
        self.listener = listener
        held_out = data.held_out if data.held_out is not None else data
        count = max(2, min(HELD_OUT, held_out.in_memory))  # batch norm compares at least two
        rows = torch.arange(count) % held_out.in_memory
        batch = held_out.gather(rows, engine.dtype, conditions=held_out.labels is not None)
        self.x, self.labels = batch.x.to(engine.device), batch.condition
        self.found: list[tuple[int, float]] = []
        self.settled = False

    def step(self, loop: TrainState) -> None:
        if loop.step % EVERY and loop.step != loop.settings.steps:
            return
        loop.flush_figures()
        with evaluating(loop.energy), loop.engine.autocast():
            # by their own batch statistics, as "real": none are estimated while it trains
            pieces = -(-len(self.x) // 128)
            labels: list[Any] = [None] * pieces
            if loop.conditional and self.labels is not None:
                labels = list(self.labels.to(self.x.device).tensor_split(pieces))
            parts = [
                loop.energy(x, y, stream="real").energy.float()
                for x, y in zip(self.x.tensor_split(pieces), labels, strict=True)
            ]
        self.found.append((loop.step, float(torch.cat(parts).mean())))
        energies = [energy for _, energy in self.found]
        if self.listener is not None:
            self.listener(loop.step, {"held_out_energy": energies[-1]})
        if len(energies) >= 2 * WINDOW:
            before, now = fmean(energies[-2 * WINDOW : -WINDOW]), fmean(energies[-WINDOW:])
            self.settled = now > before * (1 - SETTLED)
        if self.settled:
            loop.stop_signal = "settled"


class EstimateInterrupted(Interrupted):
    """SIGINT or SIGTERM ended an estimate, which `keep` saves as far as it is."""

    def __init__(self, loop: TrainState, readings: Sequence[tuple[int, float]]) -> None:
        super().__init__(signal=loop.stopping or "SIGINT")
        self.loop, self.readings = loop, readings

    def keep(self, run: Path) -> None:
        """Save it into a run's folder, from which `estimate` goes on."""
        checkpoint.save(run / KEPT, self.loop)
        write_atomically(run / KEPT / READINGS, json.dumps(self.readings))


def _continue(run: Path, loop: TrainState) -> list[tuple[int, float]]:
    """Put the loop back to where an interrupted estimate was kept, and give its readings; those of
    a new estimate if none was."""
    try:
        newest = newest_good(run / KEPT)[0]
        stored = json.loads((run / KEPT / READINGS).read_text())
        readings = [(int(step), float(energy)) for step, energy in stored]
    except (CheckpointError, OSError, TypeError, ValueError):
        return []
    checkpoint.restore(newest, loop)
    return readings


def wants_estimate(job: Job) -> bool:
    return getattr(job.settings.model, "margin", None) == AUTO


def with_any_margin(job: Job) -> Job:
    """The job as if its margin, where it asks for an estimate, were known."""
    return job.resolved({"model": {"margin": 1.0}}) if wants_estimate(job) else job


def estimate(
    job: Job,
    data: DataSet,
    engine: Device,
    steps: int = STEPS,
    *,
    progress: bool = False,
    run: Path | None = None,
) -> Estimate:
    """Train the job's energy alone and read where U of held-out data settles.

    steps: the most to train. progress: whether to show it, on stderr. run: where an interrupted
    estimate may be kept, which is then continued, with the result of one that was not interrupted.
    Raises SettingError if the model has no margin, DivergenceError if the training fails, and
    EstimateInterrupted on SIGINT or SIGTERM.
    """
    if not hasattr(job.settings.model, "margin"):
        raise SettingError(
            f"the model {job.model} has no margin: choose an EBGAN recipe (`energan recipes`)"
        )
    built = build(job.resolved({"model": {"margin": 1.0}}), data.domain, job.settings.seed)
    alone = Model(
        built.energy,
        NoSampler(),
        built.objective,
        built.hyper,
        energy_optimiser=built.energy_optimiser,
        conditional=built.conditional,
    )
    training = job.settings.training.model_copy(update={"steps": steps, "ema": 0.0})
    bar = ProgressBar("estimating the margin", steps) if progress else None
    readings = _Readings(data, engine, bar)
    loop = loop_of([alone], training, data, engine, [job.settings.seed])
    loop.hooks = [readings] if bar is None else [bar, readings]
    if run is not None:
        readings.found = _continue(run, loop)
    with stop_on_signals(loop):
        loop.run()
    if loop.stopping in ("SIGINT", "SIGTERM"):
        raise EstimateInterrupted(loop, readings.found)
    last = fmean(energy for _, energy in readings.found[-WINDOW:])
    floor = _floor(job, data)
    start = max(last, floor)
    return Estimate(
        margin=float(f"{AUTO_FACTOR * start:.3g}"),
        energy=last,
        steps=loop.step,
        settled=readings.settled,
        floored=last < floor,
        grid=tuple(float(f"{start * f:.3g}") for f in FACTORS),
        readings=tuple(readings.found),
    )


def _floor(job: Job, data: DataSet) -> float:
    """FLOOR a pixel in the model's reduction, for the data's range."""
    domain = data.domain
    span = 2.0 if domain.low is None or domain.high is None else domain.high - domain.low
    pixel = FLOOR * span / 2
    reduction = getattr(job.settings.model, "reduction", "l2")
    if reduction == "mean":
        return pixel**2
    return float(pixel**2 * domain.size if reduction == "sum" else pixel * domain.size**0.5)
