"""What a noisy energy makes of examples in training: the previews of runs without samples."""

from typing import Any

import torch
from torch import Tensor, nn

from energan.core import DivergenceError, Energy, evaluating
from energan.data.dataset import DataSet
from energan.experiment.callbacks.samples import Preview
from energan.io.run_folder import RunFolder
from energan.nets.dense import GaussianNoise
from energan.training.train_state import TrainState

SHOWN, IN_A_ROW = 24, 12
OF_IMAGES, OF_POINTS = 100, 2000
"""Held-out examples that pass through the network as one batch, because they share its
statistics."""


def denoises(energy: nn.Module) -> bool:
    """Whether the energy adds noise to what it sees, so that there is something to restore."""
    return any(isinstance(layer, GaussianNoise) for layer in energy.modules())


def reconstruct_noisy(energy: Energy, x: Tensor) -> tuple[Tensor, Tensor | None]:
    """Events x (B, *event) as the network sees them in training, and its reconstructions.

    None of an energy without a reconstruction. The noise is that of the energy's Randomness.
    """
    seen: list[Tensor] = []

    def catch(layer: nn.Module, given: Any, output: Tensor) -> None:
        if not seen and output.numel() == x.numel():  # the first is on the example itself
            seen.append(output.reshape(x.shape))

    layers = [layer for layer in energy.modules() if isinstance(layer, GaussianNoise)]
    handles = [layer.register_forward_hook(catch) for layer in layers]
    try:
        with evaluating(energy):
            reconstruction = energy(x, stream="real").reconstruction
    finally:
        for handle in handles:
            handle.remove()
    return (seen[0] if seen else x), reconstruction


class Reconstructions(Preview):
    """Every `every` steps, and at the end, a picture of held-out examples, of the same with the
    noise that the network saw, and of what it made of them: always the same examples and noise.

    Of points the reconstructions over the originals.
    """

    def __init__(self, run: RunFolder, every: int, data: DataSet) -> None:
        super().__init__(run, run.reconstructions, every)
        self.domain = data.domain
        # one example alone has no batch statistics, which the noisy pass takes
        kept = data if data.held_out is None or len(data.held_out) < 2 else data.held_out
        self.points = len(data.domain.shape) == 1
        most = OF_POINTS if self.points else OF_IMAGES
        self.x = kept.gather(torch.arange(min(most, kept.in_memory))).x

    def _write(self, loop: TrainState) -> None:
        energy: Any = loop.averaged()["energy"]
        loop.context("reconstructions")  # where the noise is drawn from
        x = self.x.to(loop.engine.device, loop.engine.dtype)
        seen, made = reconstruct_noisy(energy, x)
        if made is None:
            return
        if not bool(made.isfinite().all()):
            raise DivergenceError(f"reconstructions are not finite at step {loop.step}")
        if self.points:
            self._save(loop, made, self.domain, reference=x)
        else:
            shown, columns = rows([x, seen, made])
            self._save(loop, shown, self.domain, columns=columns)


def rows(parts: list[Tensor]) -> tuple[Tensor, int]:
    """Images of each part (N, C, H, W) for a grid, and its columns: a row of the first part, below
    each image those of the other parts, and so on with the next images."""
    count = min(SHOWN, len(parts[0]))
    columns = min(IN_A_ROW, count)
    whole = count - count % columns  # a row that is not full would draw the next one up
    blocks = [part[:whole].unflatten(0, (-1, columns)) for part in parts]
    return torch.stack(blocks, 1).flatten(0, 2), columns
