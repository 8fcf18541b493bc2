"""The energy of a whole image by windows, against its definition place by place."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor

from energan.core import Domain, Energy, Scored, SettingError, Stream
from energan.energies.smoothing import smooth
from energan.energies.tiled import Tiled, describe_judge, judge_of, window_starts


class Mean(Energy):
    """The mean of a window, as a scalar, a map of halves, or a reconstruction."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind

    def forward(self, x: Tensor, condition: Tensor | None = None, *, stream: Stream) -> Scored:
        energy = x.flatten(1).mean(1)
        if condition is not None:
            energy = energy + condition
        if self.kind == "map":
            return Scored(energy, map=x.mean(1)[:, ::2, ::2])
        if self.kind == "reconstruction":
            return Scored(energy, reconstruction=x * energy.view(-1, 1, 1, 1))
        return Scored(energy)


def brute_force(energy: Energy, x: Tensor, tile: int, overlap: int) -> np.ndarray:
    """Each pixel's mean over the windows that hold it, then the Gaussian."""
    height, width = x.shape[1:]
    total, count = np.zeros((height, width)), np.zeros((height, width))
    for top in window_starts(height, tile, overlap):
        for left in window_starts(width, tile, overlap):
            window = x[:, top : top + tile, left : left + tile].unsqueeze(0)
            scored = energy(window, stream="eval")
            for row in range(tile):
                for column in range(tile):
                    if scored.map is not None:
                        value = scored.map[0, row // 2, column // 2]
                    elif scored.reconstruction is not None:
                        difference = (scored.reconstruction - window)[0, :, row, column]
                        value = difference.square().sum()
                    else:
                        value = scored.energy[0]
                    total[top + row, left + column] += float(value)
                    count[top + row, left + column] += 1
    found = total / count
    if isinstance(energy, Mean) and energy.kind == "map":
        return found
    return gaussian_filter(found, tile / 16, mode="nearest", truncate=3)


@pytest.mark.parametrize("kind", ["scalar", "map", "reconstruction"])
@pytest.mark.parametrize(
    ("height", "width", "tile", "overlap"), [(16, 16, 16, 4), (23, 37, 16, 4), (40, 16, 8, 7)]
)
def test_the_stitched_map_is_the_mean_of_windows_at_each_pixel(
    kind: str, height: int, width: int, tile: int, overlap: int
) -> None:
    x = torch.randn(3, 2, height, width, generator=torch.Generator().manual_seed(0))
    energy = Mean(kind)
    found = Tiled(energy, tile, overlap)(x, stream="eval")
    assert found.map is not None
    for image, own in zip(x, found.map, strict=True):
        known = brute_force(energy, image, tile, overlap)
        np.testing.assert_allclose(own.numpy(), known, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found.energy, found.map.flatten(1).amax(1))


def test_an_image_is_scored_alike_alone_and_in_company(monkeypatch: pytest.MonkeyPatch) -> None:
    x = torch.randn(3, 1, 20, 20)
    tiled = Tiled(Mean("reconstruction"), 8, 2)
    together = tiled(x, stream="eval")
    monkeypatch.setattr("energan.energies.tiled.NUMBERS_AT_ONCE", 100)
    for i in range(3):
        alone = tiled(x[i : i + 1], stream="eval")
        torch.testing.assert_close(alone.energy, together.energy[i : i + 1])
    made = together.reconstruction
    assert made is not None
    assert made.shape == x.shape


def test_conditions_go_to_the_windows_of_their_image() -> None:
    x, labels = torch.zeros(2, 1, 16, 16), torch.tensor([1.0, 3.0])
    found = Tiled(Mean("scalar"), 8, 2)(x, labels, stream="eval")
    torch.testing.assert_close(found.energy, labels)


@pytest.mark.parametrize(("side", "tile", "overlap"), [(64, 64, 16), (65, 64, 16), (300, 64, 63)])
def test_windows_reach_from_end_to_end_and_overlap_enough(
    side: int, tile: int, overlap: int
) -> None:
    starts = window_starts(side, tile, overlap)
    assert starts[0] == 0
    assert starts[-1] == side - tile
    steps = [b - a for a, b in pairwise(starts)]
    assert all(0 < step <= tile - overlap for step in steps)
    fewest = 1 + -(-(side - tile) // (tile - overlap))
    assert len(starts) == fewest


def test_smoothing_is_the_gaussian_of_scipy() -> None:
    maps = torch.rand(2, 9, 30)
    found = smooth(maps, 2.5)
    known = [gaussian_filter(m, 2.5, mode="nearest", truncate=3) for m in maps.double().numpy()]
    np.testing.assert_allclose(found.numpy(), np.stack(known), rtol=1e-4)


def test_images_smaller_than_a_window_are_refused() -> None:
    with pytest.raises(SettingError, match="smaller than the windows of 16x16"):
        Tiled(Mean("scalar"), 16, 4)(torch.zeros(1, 1, 8, 30), stream="eval")


def test_whole_images_go_through_at_once_where_the_energy_takes_any_size() -> None:
    windows = Domain((1, 8, 8), image_shape=(1, 20, 28))
    energy = Mean("map")
    assert isinstance(judge_of(energy, windows, 2), Tiled)
    assert "15 windows of 8x8 that share 2 pixels" in (describe_judge(energy, windows, 2) or "")
    assert judge_of(energy, windows.whole, 2) is energy
    assert describe_judge(energy, windows.whole, 2) is None
    energy.fully_convolutional = True
    assert judge_of(energy, windows, 2) is energy
    assert describe_judge(energy, windows, 2) == "images of 28x20 are scored whole, in one pass"
