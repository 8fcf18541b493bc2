"""Heat maps: their threshold, the scale of their colours, and overlays at the image's size."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from energan.anomaly import heatmaps
from energan.anomaly.calibration import Calibration, Network, calibrate, read
from energan.anomaly.heatmaps import ColourScale, map_maxima, scale_of, threshold_scale
from energan.anomaly.normal_data import spread
from energan.anomaly.overlays import outline, overlay, shrink
from energan.core import Domain
from energan.data import DataSet
from energan.energies.smoothing import smooth
from energan.metrics.detection import calibrated_threshold

NETWORK = Network(40, "a" * 64, "ema")
GREY = (128, 128, 128)


def calibration(fpr: float = 0.1) -> Calibration:
    return calibrate(torch.arange(100.0), fpr, NETWORK, "given", "normal ones", "f" * 64)


# --- the threshold of maps ------------------------------------------------------------------------


def test_the_threshold_of_maps_is_the_conformal_quantile_of_their_maxima() -> None:
    maxima = torch.rand(59).exp()[torch.randperm(59)]
    made = calibration(0.1).with_maps(maxima, 1.5)
    assert made.map_threshold == float(maxima.sort().values[53])  # ⌈60 · 0.9⌉ = 54th smallest
    assert made.judges_maps(1.5)
    assert not made.judges_maps(0.0)
    assert made.at(0.3).map_threshold == float(maxima.sort().values[41])
    assert made.at(0.3).map_smoothing == 1.5


@pytest.mark.parametrize(("fpr", "n"), [(0.1, 19), (0.05, 40)])
def test_new_normal_maps_rarely_reach_the_threshold_anywhere(fpr: float, n: int) -> None:
    g = torch.Generator().manual_seed(0)
    draws = 3000
    maps = torch.randn(draws, n + 1, 4, 4, generator=g)
    maxima = maps.flatten(2).amax(2)
    at = calibration(fpr)
    exceeded = 0
    for i in range(draws):
        threshold = at.with_maps(maxima[i, :-1], 0.0).map_threshold
        assert threshold is not None
        exceeded += bool((maps[i, -1] > threshold).any())
    assert exceeded / draws == pytest.approx(fpr, abs=4 * (fpr * (1 - fpr) / draws) ** 0.5 + 0.011)


def test_too_few_maps_or_strange_ones_have_no_threshold() -> None:
    assert calibration(0.05).with_maps(torch.rand(18), 0.0).map_threshold is None
    assert calibration(0.05).with_maps(torch.rand(19), 0.0).map_threshold is not None
    strange = torch.cat([torch.rand(30), torch.tensor([torch.nan])])
    assert calibration(0.05).with_maps(strange, 0.0).map_threshold is None


def test_it_is_kept_and_calibrations_without_it_open(tmp_path: Path) -> None:
    bare = calibration()
    bare.save(tmp_path)
    assert "map_" not in (tmp_path / "calibration.json").read_text()
    found = read(tmp_path)
    assert found is not None
    assert found.map_threshold is None
    made = bare.with_maps(torch.rand(50), 2.0)
    made.save(tmp_path)
    found = read(tmp_path)
    assert found is not None
    assert found.map_threshold == made.map_threshold
    assert found.map_smoothing == made.map_smoothing
    assert found.at(0.3).map_threshold == made.at(0.3).map_threshold


def test_maxima_are_those_of_each_map_in_any_batch() -> None:
    x = torch.randn(70, 1, 5, 5)
    data = DataSet("made", x, Domain((1, 5, 5), -1.0, 1.0))

    def heat(x: Tensor) -> Tensor:
        return x[:, 0].square()

    torch.testing.assert_close(map_maxima(heat, data), heat(x).flatten(1).amax(1))
    some = spread(data, 7)
    torch.testing.assert_close(map_maxima(heat, some), heat(x).flatten(1).amax(1)[some.rows])
    assert some.rows is not None
    assert len(some.rows.unique()) == 7
    assert spread(data) is data


def test_of_groups_the_threshold_of_maps_is_that_of_weighted_maxima(tmp_path: Path) -> None:
    maxima, groups = torch.rand(80), torch.arange(80) % 20  # four images each
    made = calibration(0.1).with_maps(maxima, 0.0, groups)
    weights = torch.full((80,), 0.25, dtype=torch.float64)
    assert made.map_threshold == calibrated_threshold(maxima, 0.1, weights=weights)
    made.save(tmp_path)
    found = read(tmp_path)
    assert found is not None
    assert found.at(0.2).map_threshold == calibrated_threshold(maxima, 0.2, weights=weights)


def test_smoothing_is_a_gaussian_that_leaves_the_mean(tmp_path: Path) -> None:
    """A bright pixel far from all edges becomes the density of a Gaussian, at whole pixels."""
    maps = torch.zeros(2, 41, 41)
    maps[1, 20, 20] = 1
    made = smooth(maps, 3.0)
    assert not made[0].any()
    at = torch.arange(41.0) - 20
    bell = torch.exp(-(at**2) / 18)
    bell[at.abs() > 9] = 0  # three standard deviations
    expected = bell[:, None] * bell / bell.sum() ** 2
    torch.testing.assert_close(made[1], expected, atol=1e-6, rtol=1e-4)
    torch.testing.assert_close(smooth(torch.ones(1, 9, 9), 2.0), torch.ones(1, 9, 9))


# --- the scale ------------------------------------------------------------------------------------


def test_the_threshold_is_the_middle_of_the_scale() -> None:
    made = calibration(0.1).with_maps(torch.full((50,), 3.0), 0.0)
    assert threshold_scale(made, "squared error") == ColourScale(0.0, 6.0, 3.0)
    assert threshold_scale(calibration(), "squared error") is None
    flat = calibration(0.1).with_maps(torch.zeros(50), 0.0)
    assert threshold_scale(flat, "squared error") is None
    maxima = torch.arange(-200.0, -100.0)  # median -151, the 91st smallest -110
    own = calibration(0.1).with_maps(maxima, 0.0)
    assert threshold_scale(own, "energy map") == ColourScale(-110 - 164, -110 + 164, -110.0)


def test_a_scale_without_a_threshold_is_of_the_maps() -> None:
    maps = torch.linspace(0, 1, 1001).reshape(1, 7, 143)
    assert scale_of(maps, "squared error") == ColourScale(0.0, pytest.approx(0.998, abs=1e-6))
    assert scale_of(maps - 5, "energy map").low == -5
    assert scale_of(torch.zeros(1, 2, 2), "squared error") == ColourScale(0.0, 1.0)
    assert scale_of(torch.full((1, 2, 2), torch.nan), "saliency") == ColourScale(0.0, 1.0)


def test_panels_have_contours_where_there_is_something_to_outline(tmp_path: Path) -> None:
    """Red around what is above the threshold, blue around the defect; in no other picture."""
    x = torch.zeros(3, 1, 32, 32)
    maps = torch.zeros(3, 32, 32)
    maps[0, 8:16, 8:16] = 3.0
    mask = np.zeros((32, 32), bool)
    mask[20:28, 4:12] = True
    shown = heatmaps.Pictures(
        x, maps, "squared error", ["a", "b", "c"], [True, False, False], None, [None, mask, None]
    )
    paths = heatmaps.write(
        tmp_path, ["a", "b", "c"], shown, Domain((1, 32, 32), -1.0, 1.0),
        scale=ColourScale(0.0, 2.0, 1.0),
    )  # fmt: skip
    counts = []
    for path in paths:
        with Image.open(path) as image:
            assert image.text["scale"] == "0 to 2, map threshold 1, shared by all"  # type: ignore[attr-defined]
            pixels = np.asarray(image.convert("RGB")).astype(int)
        left = pixels[:, : pixels.shape[1] // 2]  # the image's panel
        red = (abs(left - (255, 75, 51)).sum(-1) < 30).sum()
        blue = (abs(left - (47, 214, 245)).sum(-1) < 30).sum()
        counts.append((int(red), int(blue)))
    assert counts[0][0] > 50
    assert counts[1][1] > 50
    assert [counts[0][1], counts[1][0], *counts[2]] == [0, 0, 0, 0]


# --- overlays -------------------------------------------------------------------------------------


def test_an_overlay_leaves_what_is_normal_and_marks_the_rest() -> None:
    pixels = np.full((60, 80, 3), 128, np.uint8)
    heat = np.zeros((60, 80), np.float32)
    heat[10:20, 30:45] = 2.0  # twice the threshold
    heat[:, 70:] = np.nan
    mask = np.zeros((60, 80), bool)
    mask[40:50, 5:15] = True
    made = overlay(pixels, heat, ColourScale(0.0, 2.0, 1.0), mask)
    assert made.shape == pixels.shape
    assert made.dtype == np.uint8
    marked = (made != 128).any(-1)
    expected = np.zeros((60, 80), bool)
    expected[10:20, 30:45] = True
    expected |= outline(mask)
    np.testing.assert_array_equal(marked[:, :70], expected[:, :70])
    np.testing.assert_array_equal(made[10, 30], (255, 75, 51))  # the contour
    np.testing.assert_array_equal(made[40, 5], (47, 214, 245))
    inside = made[15, 37].astype(int)
    assert inside[0] > 200  # the hot end of the colours, not opaque
    np.testing.assert_array_equal(made[45, 10], GREY)


def test_what_is_not_seen_is_hatched() -> None:
    heat = np.full((128, 128), np.nan, np.float32)
    made = overlay(np.zeros((128, 128, 1), np.uint8), heat, ColourScale(0.0, 1.0))
    levels, counts = np.unique(made, return_counts=True)
    assert levels.tolist() == [0, 45]  # 0.35 of 128
    assert 0.1 < counts[1] / counts.sum() < 0.5


def test_large_overlays_are_made_in_strips(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 255, (50, 40, 1)).astype(np.uint8)
    heat = rng.random((50, 40), np.float32)
    heat[:, :7] = np.nan
    scale = ColourScale(0.0, 1.0, 0.7)
    whole = overlay(pixels, heat, scale)
    monkeypatch.setattr("energan.anomaly.overlays.STRIP", 120)
    np.testing.assert_array_equal(overlay(pixels, heat, scale), whole)


def test_an_outline_is_the_border_of_a_mask() -> None:
    mask = np.zeros((9, 9), bool)
    mask[2:7, 2:7] = True
    inner = np.zeros((9, 9), bool)
    inner[3:6, 3:6] = True
    np.testing.assert_array_equal(outline(mask), mask & ~inner)
    assert not outline(np.ones((5, 5), bool)).any()
    assert outline(mask, 2).sum() == 24


def test_pictures_are_only_ever_reduced() -> None:
    pixels = np.zeros((30, 50, 3), np.uint8)
    assert shrink(pixels, 100) is pixels
    assert shrink(pixels, 25).shape == (15, 25, 3)
