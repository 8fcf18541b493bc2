"""An energy that is pooled from a map of cells."""

import pytest
import torch
from torch import Tensor, nn

from energan.core import Stream, Streamed
from energan.energies.anomaly_map import AnomalyMap
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


@pytest.mark.parametrize(("top", "count"), [(0.1, 16), (1.0, 160), (0.0001, 1)])
def test_the_energy_may_be_the_mean_of_the_highest_cells(top: float, count: int) -> None:
    scored = AnomalyMap(First(), 0, top)(X, stream="eval")
    expected = CELLS.flatten(1).sort(1, descending=True).values[:, :count].mean(1)
    torch.testing.assert_close(scored.energy, expected)


def test_it_says_that_it_takes_images_of_any_size() -> None:
    energy = AnomalyMap(First())
    assert energy.fully_convolutional
    assert isinstance(energy, nn.Module)
