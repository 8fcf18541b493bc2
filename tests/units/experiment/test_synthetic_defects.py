"""Pictures of synthetic defects while an energy of cells trains."""

import torch
from torch import Tensor

from energan.core import Context, Randomness, Stream, Streamed, calibrating
from energan.energies.anomaly_map import AnomalyMap
from energan.energies.nearest_image import NearestImage
from energan.experiment.callbacks.synthetic_defects import show_defects
from energan.samplers.synthetic_defects import DefectSettings, SyntheticDefects


class First(Streamed):
    """The first channel as logits."""

    def forward(self, x: Tensor, stream: Stream) -> Tensor:
        return x[:, 0]


def test_probabilities_are_of_cells_however_unlike_the_whole_image_is() -> None:
    g = torch.Generator().manual_seed(0)
    energy = AnomalyMap(First(), 0, NearestImage(1, 4), 100.0)
    energy.observe(energy.describe(torch.rand(5, 1, 16, 16, generator=g)))
    with calibrating(energy):
        pass
    sampler = SyntheticDefects(DefectSettings(), 0.0, 1.0)
    context = Context(0, {}, Randomness([0]))
    x = torch.rand(4, 1, 16, 16, generator=g)
    made, mask, found = show_defects(sampler, energy, x, sampler.init(context), context)
    assert mask.shape == found.shape == (4, 16, 16)
    torch.testing.assert_close(found, made[:, 0].sigmoid())
