"""Samples while a run trains, and the pictures of them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from energan.core import DivergenceError, Domain, evaluating
from energan.data.dataset import DataSet
from energan.io import pictures
from energan.io.run_folder import RunFolder
from energan.training.checkpoint_folder import checkpoint_name
from energan.training.hooks import Periodic
from energan.training.train_state import TrainState

PAIRS_AT_ONCE = 2**20
"""Numbers of source images translated in one pass."""
SHOWN_IMAGES, SHOWN_POINTS, SHOWN_PAIRS, PAIRS_IN_A_ROW = 64, 2000, 8, 2


def draw(
    loop: TrainState, count: int, purpose: str, condition: Tensor | None = None
) -> Tensor | None:
    """`count` samples in evaluation mode; the same latents for the same purpose at every step.

    condition: labels (count,), or what else the loop's networks are conditioned on, one for each
    sample; a loop without conditions ignores them.
    """
    condition = condition if loop.conditional else None
    at_once = count
    if condition is not None and condition.dim() > 1:
        at_once = max(1, PAIRS_AT_ONCE // condition[0].numel())
    networks, parts = loop.averaged(), []
    sampler: Any = networks["sampler"]
    with evaluating(networks):
        for start in range(0, count, at_once):
            context = loop.context(purpose, start) if start else loop.context(purpose)
            own = condition if condition is None else condition[start : start + at_once]
            size = min(at_once, count - start)
            made = sampler.sample(networks["energy"], size, own, loop.state, context)
            if made is None:
                return None
            parts.append(made.x)
    x = torch.cat(parts)
    if not bool(x.isfinite().all()):
        raise DivergenceError(f"samples are not finite at step {loop.step}")
    return x


class Preview(Periodic):
    """Pictures of what a run makes, in a folder of their own.

    listeners: each is called with the step and the picture, uint8 (H, W, 3).
    """

    def __init__(self, run: RunFolder, folder: Path, every: int) -> None:
        super().__init__(every)
        self.run, self.folder, self.what = run, folder, folder.name
        self.listeners: list[Callable[[int, NDArray[np.uint8]], None]] = []

    def _save(self, loop: TrainState, x: Tensor, domain: Domain, **how: Any) -> None:
        """Write x as a picture where it is one, log it, and tell the listeners. how: see
        `pictures.save_samples`."""
        about = {"step": loop.step, "seed": loop.randomness.seeds[0], "weights": loop.weights}
        suffix = ".png" if pictures.drawable(domain) else ".npz"
        path = self.folder / f"{checkpoint_name(loop.step)}{suffix}"
        pictures.save_samples(path, x, domain, about=about, what=self.what, **how)
        self.run.append(self.what, path=str(path.relative_to(self.run.path)), **about)
        if suffix == ".png":
            for listener in self.listeners:
                listener(loop.step, pictures.pixels(path))


class SampleGrids(Preview):
    """Every `every` steps, and at the end, a picture of samples of the same latents."""

    def __init__(self, run: RunFolder, every: int, data: DataSet) -> None:
        super().__init__(run, run.samples, every)
        self.data = data

    def _write(self, loop: TrainState) -> None:
        domain = self.data.domain
        points = len(domain.shape) == 1
        loop.estimate_statistics([loop.averaged()])
        conditions, columns, shown = self._conditions(loop)
        count = SHOWN_POINTS if points else SHOWN_IMAGES
        x = draw(loop, count if conditions is None else len(conditions), "samples", conditions)
        if x is None:
            return
        if shown is not None:
            x, domain = pictures.strips([*shown, x.cpu()], domain)
        reference = self.data.raw(slice(SHOWN_POINTS)) if points else None
        self._save(loop, x, domain, reference=reference, columns=columns)

    def _conditions(
        self, loop: TrainState
    ) -> tuple[Tensor | None, int | None, list[Tensor] | None]:
        """What samples are made of, the grid's columns, and what is shown before each sample.

        Labels stand a class a row; of pairs the source and the target go before what is made.
        """
        domain, device = self.data.domain, loop.engine.device
        if domain.condition_shape is not None:
            kept = self.data if self.data.held_out is None else self.data.held_out
            most = SHOWN_PAIRS if domain.paired else SHOWN_POINTS
            found = kept.gather(torch.arange(min(most, len(kept))), loop.engine.dtype)
            assert found.condition is not None
            shown = None
            if domain.paired:
                shown = [pictures.show_condition(found.condition, domain), found.x]
            columns = PAIRS_IN_A_ROW * 3 if domain.paired else None
            return found.condition.to(device), columns, shown
        if not loop.conditional or not domain.classes:
            return None, None, None
        labels, columns = pictures.labels_of_a_grid(domain.classes)
        if len(domain.shape) == 1:
            labels = labels.repeat(-(-SHOWN_POINTS // len(labels)))[:SHOWN_POINTS]
        return labels.to(device), columns, None
