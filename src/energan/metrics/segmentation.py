"""How well heat maps tell the pixels of defects from normal ones.

Pixel AUROC, and AUPRO: of each defect, a connected region of a mask, the share that is found, the
mean over defects against the false-positive rate of normal pixels, integrated up to a limit and
divided by it (Bergmann et al. 2021, "The MVTec anomaly detection dataset", section 6.2).

Maps are counted into bins one by one and let go of, so that as many as there are fit memory.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from energan.metrics.arrays import Values, array
from energan.metrics.bootstrap import Interval, resample_weights

Counts = NDArray[np.float64]
LIMIT = 0.3
"""The false-positive rate that AUPRO is integrated to."""
MOST_BINS, FEWEST_BINS, MOST_COUNTS = 4096, 256, 2**22
"""Bins of one image, and of all images together."""


@dataclass(frozen=True)
class PixelScores:
    """Pixel-level scores of heat maps.

    Attributes:
        auroc: pixel AUROC; None if pixels are all of one kind.
        aupro: area under the per-region overlap curve; None without a defect.
        auroc_interval: 95 % interval of the AUROC, over images.
        aupro_interval: 95 % interval of the AUPRO, over images.
        defects: number of defect regions.
    """

    auroc: float | None
    aupro: float | None
    auroc_interval: Interval | None
    aupro_interval: Interval | None
    defects: int


class PixelCounts:
    """Counts of the pixels of N maps in bins: normal ones, those of defects, and these weighted so
    that each defect counts as one.

    sample: values of maps, equal shares of which become bins. images: how many are to be counted,
    up to 1,024 of them in 4,096 bins each; None for a bin for each value, which is exact if the
    sample has all of them. Values of a bin count as equal, which moves an AUROC by less than half
    of the share of normal pixels in the fullest bin, about 1 in 8,000.
    """

    def __init__(self, sample: Values, images: int | None = None) -> None:
        values = _finite(sample)
        self._edges = np.unique(values)
        bins = max(FEWEST_BINS, min(MOST_BINS, MOST_COUNTS // max(1, images or 1)))
        if images is not None and len(self._edges) > bins:
            shares = np.linspace(0, 1, bins)
            self._edges = np.unique(np.quantile(values, shares, method="lower"))
        self._rows: list[tuple[NDArray[np.float32], ...]] = []
        self._defects: list[int] = []

    def add(self, heat: Values, regions: Values | None = None) -> None:
        """A map (h, w), and the number of each pixel's defect (h, w), from 1, 0 where it is normal;
        None where all are. Numbers may be left out.

        A value that is not a number counts as the highest. Raises ValueError for other shapes.
        """
        values = _finite(heat)
        numbers = np.zeros(len(values), np.int64)
        if regions is not None:
            given = np.asarray(regions)
            if given.shape != np.shape(heat):
                raise ValueError(f"regions {given.shape} do not fit a map of {np.shape(heat)}")
            numbers = given.reshape(-1).astype(np.int64)
        size = len(self._edges) + 1
        bins = np.searchsorted(self._edges, values, "right")
        hit = numbers > 0
        pixels = np.bincount(numbers)
        weights = 1 / pixels[numbers[hit]]
        self._rows.append((
            np.bincount(bins[~hit], minlength=size).astype(np.float32),
            np.bincount(bins[hit], minlength=size).astype(np.float32),
            np.bincount(bins[hit], weights, minlength=size).astype(np.float32),
        ))  # fmt: skip
        self._defects.append(int((pixels[1:] > 0).sum()))

    def scores(
        self,
        rows: Sequence[int] | None = None,
        *,
        groups: Values | None = None,
        resamples: int = 1000,
        seed: int = 0,
    ) -> PixelScores:
        """Of the images at `rows` in the order that they were added, or of all.

        The intervals are of the percentile bootstrap over images, those with defects and those
        without each among themselves; or, where these images are of `groups` (N,), over whole
        groups, None with fewer than two groups of images with defects, or of images without.
        """
        chosen = list(range(len(self._rows))) if rows is None else list(rows)
        parts = [np.stack([self._rows[row][k] for row in chosen]).astype(float) for k in range(3)]
        defects = np.array([self._defects[row] for row in chosen], np.float64)
        ones = np.ones((1, len(chosen)))
        auroc, aupro = _measure(ones, parts, defects)
        if not defects.any() or not np.isfinite(auroc).all():
            return PixelScores(None, None, None, None, int(defects.sum()))
        values = float(auroc[0]), float(aupro[0])
        if groups is not None and not _resamplable(defects > 0, array(groups)):
            return PixelScores(*values, None, None, int(defects.sum()))
        drawn = [
            _measure(weights, parts, defects)
            for weights in resample_weights(defects > 0, resamples, seed, groups)
        ]
        ends = [_ends(np.concatenate(found)) for found in zip(*drawn, strict=True)]
        return PixelScores(*values, ends[0], ends[1], int(defects.sum()))


def _resamplable(marks: NDArray[np.bool_], groups: Counts) -> bool:
    """Whether there are two groups of each of the two kinds of images that there are."""
    return all(len(np.unique(groups[side])) > 1 for side in (marks, ~marks) if side.any())


def pixel_auroc(maps: Values, masks: Values) -> float:
    """Pixel AUROC: the probability that a pixel of a defect is higher than a normal one.

    Args:
        maps: heat maps, (N, h, w), high for defects.
        masks: (N, h, w), not 0 where there is a defect.

    Returns:
        In [0, 1]; ties count half.

    Raises:
        ValueError: for other shapes, or pixels of one kind only.
    """
    return _both(maps, masks)[0]


def aupro(maps: Values, masks: Values) -> float:
    """AUPRO: area under the per-region overlap curve up to a false positive rate of 0.3, divided by
    0.3 (Bergmann et al. 2020).

    1 is best, and 0.15 is chance. Arguments and errors as for `pixel_auroc`.
    """
    return _both(maps, masks)[1]


def find_regions(mask: Values) -> NDArray[np.int32]:
    """The regions of a mask (h, w) that are not 0, numbered from 1: pixels that touch, also by a
    corner, are of one."""
    from scipy.ndimage import label

    found, _ = label(np.asarray(mask) != 0, np.ones((3, 3)))
    return np.asarray(found, np.int32)


def _both(maps: Values, masks: Values) -> tuple[float, float]:
    values, marks = array(maps), array(masks)
    if values.shape != marks.shape or values.ndim != 3 or not values.size:
        raise ValueError(f"maps {values.shape} and masks {marks.shape} must be (N, h, w)")
    regions, most = np.zeros(values.shape, np.int64), 0
    for numbers, mask in zip(regions, marks, strict=True):
        found = find_regions(mask)
        numbers[found > 0] = found[found > 0] + most
        most = max(most, int(numbers.max()))
    # as one image: a bin for each value, of each of many images, would fill memory
    counts = PixelCounts(values)
    counts.add(values, regions)
    scores = counts.scores(resamples=1)
    if scores.auroc is None or scores.aupro is None:
        raise ValueError("there must be both normal pixels and pixels of defects")
    return scores.auroc, scores.aupro


def _finite(values: Values) -> NDArray[np.float64]:
    most = np.finfo(np.float64).max
    return np.nan_to_num(array(values).reshape(-1), nan=most, posinf=most, neginf=-most)


def _measure(weights: Counts, parts: Sequence[Counts], defects: Counts) -> tuple[Counts, Counts]:
    """AUROC and AUPRO (r,) of images that count `weights` (r, N); NaN where one kind is missing."""
    # from the highest bin down: what thresholds flag, (r, bins)
    false, found, overlap = (np.cumsum((weights @ part)[:, ::-1], 1) for part in parts)
    with np.errstate(invalid="ignore", divide="ignore"):
        false, found = false / false[:, -1:], found / found[:, -1:]
        overlap = overlap / (weights @ defects)[:, None]
    return _area(false, found, 1.0), _area(false, overlap, LIMIT)


def _area(x: Counts, y: Counts, limit: float) -> Counts:
    """The area under curves (r, K) that begin at (0, 0), ascending, up to x = limit, over it."""
    zero = np.zeros((len(x), 1))
    x, y = np.hstack([zero, x]), np.hstack([zero, y])
    low, wide = x[:, :-1], np.diff(x, axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        # of the bin in which the limit lies its share, on a straight line
        share = np.where(wide > 0, ((limit - low) / wide).clip(0, 1), 0.0)
    rise = np.diff(y, axis=1)
    areas: Counts = (wide * share * (y[:, :-1] + rise * share / 2)).sum(1) / limit
    return np.where(np.isfinite(x).all(1) & np.isfinite(y).all(1), areas, np.nan)


def _ends(values: Counts) -> Interval:
    low, high = np.nanquantile(values, [0.025, 0.975])
    return Interval(float(low), float(high))
