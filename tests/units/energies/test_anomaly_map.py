"""An energy that is pooled from a map of cells."""

import torch
from torch import Tensor, nn

from energan.core import Stream, Streamed, calibrating
from energan.energies.anomaly_map import AnomalyMap
from energan.energies.nearest_image import NearestImage
from energan.energies.smoothing import smooth


class First(Streamed):
    """The first channel at every other pixel."""

    def forward(self, x: Tensor, stream: Stream) -> Tensor:
        return x[:, 0, ::2, ::2]


X = torch.randn(3, 2, 20, 32, generator=torch.Generator().manual_seed(0))
CELLS = X[:, 0, ::2, ::2]


def test_the_energy_is_the_maximum_of_the_smoothed_map() -> None:
    scored = AnomalyMap(First(), 1.5)(X, stream="eval")
    expected = smooth(CELLS, 1.5)
    assert scored.map is not None
    torch.testing.assert_close(scored.map, expected)
    torch.testing.assert_close(scored.energy, expected.amax((1, 2)))
    assert float(expected.std()) < 0.5 * float(CELLS.std())


def test_without_smoothing_the_map_is_that_of_the_logits() -> None:
    scored = AnomalyMap(First(), 0)(X, stream="eval")
    assert torch.equal(scored.map, CELLS)  # type: ignore[arg-type]


def test_the_distance_to_the_nearest_training_image_is_in_the_energy_and_not_in_the_map() -> None:
    energy = AnomalyMap(First(), 1.5, NearestImage(2, 4), 2.0)
    energy.observe(energy.describe(X[:2]))
    with calibrating(energy):
        pass
    scored, plain = energy(X, stream="eval"), AnomalyMap(First(), 1.5)(X, stream="eval")
    added = scored.energy - plain.energy
    assert torch.equal(scored.map, plain.map)  # type: ignore[arg-type]
    nearest = energy.nearest
    assert nearest is not None
    torch.testing.assert_close(added, 2 * nearest(X, "eval"))
    assert added[2] > added[:2].max()  # which it has not seen


def test_it_says_that_it_takes_images_of_any_size() -> None:
    energy = AnomalyMap(First())
    assert energy.fully_convolutional
    assert isinstance(energy, nn.Module)
