"""While an energy of cells trains: pictures of synthetic defects, and what it finds of them."""

from typing import Any

import torch
from torch import Tensor

from energan.anomaly.heatmaps import energy_map
from energan.core import Batch, Context, Energy, State, evaluating
from energan.data.dataset import DataSet
from energan.experiment.callbacks.reconstructions import SHOWN, rows
from energan.experiment.callbacks.samples import Preview
from energan.io.run_folder import RunFolder
from energan.objectives.cells import CellEnergy
from energan.samplers.synthetic_defects import SyntheticDefects
from energan.training.train_state import TrainState


class DefectGrids(Preview):
    """Every `every` steps, and at the end, a picture of images with synthetic defects, always the
    same; below each image its mask, and the probability that the energy gives to each cell."""

    def __init__(self, run: RunFolder, every: int, data: DataSet) -> None:
        super().__init__(run, run.samples, every)
        self.domain = data.domain
        kept = data if data.held_out is None else data.held_out
        self.x = kept.gather(torch.arange(min(SHOWN, kept.in_memory))).x

    def _write(self, loop: TrainState) -> None:
        networks: Any = loop.averaged()
        loop.estimate_statistics([networks])
        x = self.x.to(loop.engine.device, loop.engine.dtype)
        with evaluating(networks):
            parts = show_defects(
                networks["sampler"], networks["energy"], x, loop.state, loop.context("samples")
            )
        low, high = self.domain.low, self.domain.high
        assert low is not None
        assert high is not None
        made, *shares = parts
        planes = [(share * (high - low) + low)[:, None].expand_as(made) for share in shares]
        shown, columns = rows([made, *planes])
        self._save(loop, shown, self.domain, columns=columns)


def show_defects(
    sampler: SyntheticDefects, energy: Energy, x: Tensor, state: State, context: Context
) -> list[Tensor]:
    """Images with defects (B, C, H, W), their masks and what the energy finds, (B, H, W) in
    [0, 1]: the cells' log-odds as probabilities, without what is known of the whole image."""
    draw, _ = sampler.draw(energy, Batch(x), state, context)
    assert draw is not None
    assert draw.mask is not None
    assert isinstance(energy, CellEnergy)
    found = energy.score(energy.logits(draw.x, "eval")).map
    assert found is not None
    return [draw.x, draw.mask, energy_map(found, *x.shape[-2:]).sigmoid()]
