"""Pixel metrics against brute force over every threshold, scikit-learn, and cases by hand."""

import tracemalloc
from itertools import pairwise

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from energan.metrics import PixelCounts, aupro, auroc, find_regions, pixel_auroc


def flood(mask: np.ndarray) -> list[set[tuple[int, int]]]:
    """Regions that touch, also by a corner, by walking from pixel to pixel."""
    left, found = set(map(tuple, np.argwhere(mask))), []
    while left:
        region, front = set(), [left.pop()]
        while front:
            y, x = front.pop()
            region.add((y, x))
            near = {(y + a, x + b) for a in (-1, 0, 1) for b in (-1, 0, 1)} & left
            left -= near
            front += near
        found.append(region)
    return found


def brute_aupro(maps: np.ndarray, masks: np.ndarray, limit: float = 0.3) -> float:
    """The curve threshold by threshold, and its area on straight lines."""
    regions = [(i, region) for i, mask in enumerate(masks) for region in flood(mask)]
    points = [(0.0, 0.0)]
    for t in sorted(set(maps.ravel()), reverse=True):
        overlaps = [np.mean([maps[i][p] >= t for p in region]) for i, region in regions]
        points.append((float((maps[~masks] >= t).mean()), float(np.mean(overlaps))))
    area = 0.0
    for (a, p), (b, q) in pairwise(points):
        end = min(b, limit)
        if a < limit and b > a:
            area += (end - a) * (p + p + (q - p) * (end - a) / (b - a)) / 2
    return area / limit


def draw(seed: int, levels: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    masks = rng.random((3, 9, 7)) < 0.15
    maps = rng.normal(size=masks.shape) + masks * rng.random()
    return (maps if levels is None else np.round(maps * levels)), masks


@pytest.mark.parametrize("levels", [None, 2])
@pytest.mark.parametrize("seed", range(8))
def test_both_agree_with_brute_force(seed: int, levels: int | None) -> None:
    maps, masks = draw(seed, levels)
    assert aupro(maps, masks) == pytest.approx(brute_aupro(maps, masks), abs=1e-7)
    expected = roc_auc_score(masks.ravel(), maps.ravel())
    assert pixel_auroc(maps, masks) == pytest.approx(expected, abs=1e-12)


def test_a_map_that_is_its_mask_is_perfect_and_its_opposite_is_none() -> None:
    _, masks = draw(0)
    assert (pixel_auroc(masks, masks), aupro(masks, masks)) == (1, pytest.approx(1))
    assert (pixel_auroc(~masks, masks), aupro(~masks, masks)) == (0, 0)


def test_a_constant_map_gets_what_chance_gives() -> None:
    _, masks = draw(0)
    flat = np.full(masks.shape, 3.7)
    assert pixel_auroc(flat, masks) == 0.5
    assert aupro(flat, masks) == pytest.approx(0.15)


def test_a_map_of_4x4_by_hand() -> None:
    """Regions of 1 and 2 pixels, 13 normal ones. The thresholds in turn: 9 finds the first region
    (PRO 1/2), 8 flags 2 normal pixels (FPR 2/13), 7 half of the second region (PRO 3/4), 6 two more
    (FPR 4/13 > 0.3). So the area is 2/13 · 1/2 + (0.3 − 2/13) · 3/4."""
    heat = np.array([[9, 1, 1, 1], [1, 1, 8, 8], [1, 1, 6, 6], [7, 2, 1, 1]], float)
    mask = np.array([[1, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0], [1, 1, 0, 0]])
    area = 2 / 13 * 0.5 + (0.3 - 2 / 13) * 0.75
    assert aupro(heat[None], mask[None]) == pytest.approx(area / 0.3)
    # of 39 pairs: 9 wins 13, 7 wins 11, 2 wins 9
    assert pixel_auroc(heat[None], mask[None]) == pytest.approx(33 / 39)


def test_regions_touch_by_their_corners() -> None:
    mask = np.array([[1, 0, 0, 1], [0, 1, 0, 0], [0, 0, 0, 1], [0, 0, 0, 1]])
    assert find_regions(mask).tolist() == [[1, 0, 0, 2], [0, 1, 0, 0], [0, 0, 0, 3], [0, 0, 0, 3]]


def test_a_large_defect_counts_as_one_in_aupro_alone() -> None:
    mask = np.zeros((1, 20, 20), int)
    mask[0, :10, :10] = 1
    mask[0, 15, 15] = 1
    heat = np.zeros((1, 20, 20))
    heat[0, :10, :10] = 1  # the large one is found, the small one is not
    assert pixel_auroc(heat, mask) == pytest.approx((100 + 0.5) / 101)
    assert aupro(heat, mask) == pytest.approx(0.5 + 0.5 * 0.15)


def test_values_that_are_no_numbers_count_as_the_highest() -> None:
    heat, mask = np.zeros((1, 3, 3)), np.zeros((1, 3, 3), int)
    heat[0, 1, 1], mask[0, 1, 1] = np.nan, 1
    assert pixel_auroc(heat, mask) == 1


def test_bins_come_near_to_every_threshold() -> None:
    rng = np.random.default_rng(0)
    masks = rng.random((40, 64, 64)) < 0.002
    maps = rng.lognormal(size=masks.shape) * (1 + 2 * masks)
    counts = PixelCounts(maps[::4], len(maps))
    for heat, mask in zip(maps, masks, strict=True):
        counts.add(heat.astype(np.float32), find_regions(mask))
    found = counts.scores(resamples=1)
    assert found.auroc == pytest.approx(pixel_auroc(maps, masks), abs=1e-5)
    assert found.aupro == pytest.approx(aupro(maps, masks), abs=1e-4)


def test_the_interval_is_over_images() -> None:
    """It holds the value and is that of resampled images; alike images give one without width."""
    maps, masks = draw(3)
    counts = PixelCounts(np.concatenate([maps] * 9))
    for heat, mask in zip(maps, masks, strict=True):
        for _ in range(9):
            counts.add(heat, find_regions(mask))
    found = counts.scores(resamples=300)
    assert found.auroc_interval is not None
    assert found.auroc_interval.low < (found.auroc or 0) < found.auroc_interval.high
    same = counts.scores(range(9), resamples=50)
    assert same.auroc_interval is not None
    assert same.auroc_interval.low == pytest.approx(same.auroc_interval.high)
    assert same.auroc == pytest.approx(auroc(maps[0].ravel(), masks[0].ravel()))
    assert same.aupro == pytest.approx(aupro(maps[:1], masks[:1]))
    assert counts.scores(resamples=300) == found  # the same seed


def test_normal_images_count_and_without_a_defect_there_is_nothing_to_find() -> None:
    maps, masks = draw(5)
    masks[1] = False
    counts = PixelCounts(maps)
    for heat, mask in zip(maps, masks, strict=True):
        counts.add(heat, find_regions(mask) if mask.any() else None)
    assert counts.scores().auroc == pytest.approx(pixel_auroc(maps, masks))
    assert counts.scores([1]).auroc is None
    for wrong in (np.zeros_like(masks), np.ones_like(masks)):
        with pytest.raises(ValueError, match="both normal pixels and pixels of defects"):
            aupro(maps, wrong)
    with pytest.raises(ValueError, match=r"must be \(N, h, w\)"):
        pixel_auroc(maps, masks[:, :3])
    with pytest.raises(ValueError, match=r"regions \(3, 3\) do not fit a map of \(9, 7\)"):
        counts.add(maps[0], np.zeros((3, 3)))


def test_exact_metrics_of_many_maps_hold_each_value_once() -> None:
    """A million values that all differ: counted apart for each of 100 maps they would be 1.2 GB."""
    rng = np.random.default_rng(0)
    maps = rng.permutation(1_000_000).reshape(100, 100, 100)
    masks = np.zeros(maps.shape, bool)
    masks[::2, :50, :50] = True
    tracemalloc.start()
    found = pixel_auroc(maps, masks)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found == pytest.approx(roc_auc_score(masks.ravel(), maps.ravel()), abs=1e-6)
    assert peak < 300e6
