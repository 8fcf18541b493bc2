"""How well heat maps find the pixels of defects, where masks say which these are."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from energan.anomaly.calibration import make_finite
from energan.anomaly.detection import ANOMALOUS, NORMAL
from energan.anomaly.score_table import ScoreTable
from energan.io.text import agree, plural
from energan.metrics.bootstrap import Interval
from energan.metrics.detection import auroc, auroc_interval
from energan.metrics.segmentation import PixelCounts, PixelScores

ALL = "all"
AT_ONCE = 32
SAMPLED, SAMPLE_VALUES = 64, 2**22
"""Images, and values of their maps, that say where the bins lie."""


@dataclass(frozen=True)
class KindScores:
    """Of one kind of defect beside all normal images, or of all kinds. images: how many have it.
    auroc: of the images' energies, None without labels, as its interval without two of each."""

    kind: str
    images: int
    auroc: float | None
    interval: Interval | None
    pixels: PixelScores

    @property
    def record(self) -> dict[str, Any]:
        """As JSON takes it."""
        return asdict(self)


@dataclass(frozen=True)
class Localisation:
    """kinds: all first, then one by one. notes: what did not count, in a sentence each."""

    kinds: tuple[KindScores, ...]
    notes: tuple[str, ...]


def localise(
    table: ScoreTable,
    heatmap: Callable[[Tensor], Tensor],
    *,
    resamples: int = 1000,
    seed: int = 0,
    advance: Callable[[], None] = lambda: None,
) -> Localisation | None:
    """Of a scored table; None if it has no masks.

    Pixels count of images with a mask, and of normal ones without. heatmap: x (B, C, H, W) ->
    (B, H, W). Maps are made some at a time and kept as counts. advance: is called for each image.
    Raises DataError for a mask that cannot be read or has not the size of its image.
    """
    counted, lacking = _rows_with_truth(table)
    if counted is None:
        return None
    for group in table.groups:
        if group.masks is not None:
            group.masks.check()
    counts, told = _count(table, heatmap, counted, advance)
    sides, labels = table.side.tolist(), table.labels
    kinds = sorted({n for n, s in zip(labels, sides, strict=True) if s == ANOMALOUS and n})
    rows = []
    for name in ("", *kinds):
        chosen = [
            i for i, row in enumerate(counted)
            if sides[row] == NORMAL or name in ("", labels[row])
        ]  # fmt: skip
        pixels = counts.scores(chosen, resamples=resamples, seed=seed)
        rows.append(_kind(table, name, pixels))
    return Localisation(tuple(rows), (*told, *_about_lacking(lacking)))


def _rows_with_truth(table: ScoreTable) -> tuple[list[int] | None, int]:
    """Rows whose pixels are known, None if no group has masks; and of how many they are not."""
    if not any(group.masks for group in table.groups):
        return None, 0
    paths = [
        path
        for group in table.groups
        for path in (group.masks.paths if group.masks else [None] * len(group))
    ]
    pairs = zip(paths, table.side.tolist(), strict=True)
    known = [path is not None or side == NORMAL for path, side in pairs]
    return [row for row, yes in enumerate(known) if yes], known.count(False)


def _count(
    table: ScoreTable,
    heatmap: Callable[[Tensor], Tensor],
    counted: list[int],
    advance: Callable[[], None],
) -> tuple[PixelCounts, tuple[str, ...]]:
    """The pixels of all, and a sentence on defects of which none is left."""
    first = counted[:: -(-len(counted) // SAMPLED)]
    values = torch.cat([heatmap(table.events([row])).flatten() for row in first])
    counts = PixelCounts(values[:: -(-len(values) // SAMPLE_VALUES)], len(counted))
    lost, cut, total = 0, 0, 0
    for start in range(0, len(counted), AT_ONCE):
        rows = counted[start : start + AT_ONCE]
        for row, heat in zip(rows, heatmap(table.events(rows)), strict=True):
            found = table.defects(row)
            counts.add(heat, None if found is None else found.regions)
            if found is not None:
                lost, cut, total = lost + found.lost, cut + found.cut, total + found.count
            advance()
    return counts, _about_lost(lost, cut, total, tuple(heat.shape))


def _kind(table: ScoreTable, name: str, pixels: PixelScores) -> KindScores:
    """name: of the label, "" for all."""
    assert table.energy is not None
    labels = np.array(table.labels)
    anomalous = (table.side == ANOMALOUS).numpy() & ((labels == name) | (name == ""))
    normal = (table.side == NORMAL).numpy()
    images, others = int(anomalous.sum()), int(normal.sum())
    if not images or not others:
        return KindScores(name or ALL, images, None, None, pixels)
    both = normal | anomalous
    scores, marks = make_finite(table.energy).numpy()[both], anomalous[both]
    ends = auroc_interval(scores, marks) if min(images, others) > 1 else None
    return KindScores(name or ALL, images, auroc(scores, marks), ends, pixels)


def _about_lost(lost: int, cut: int, total: int, shape: tuple[int, ...]) -> tuple[str, ...]:
    if not lost:
        return ()
    height, width = shape
    return (
        f"{lost:,} of {plural(total, 'defect')} {agree(lost, 'have')} no pixel left at "
        f"{width}x{height}, so AUPRO ignores them: {cut:,} cut off (to keep them: --data.fit pad "
        f"or stretch), {lost - cut:,} too small (use a larger --data.size)",
    )


def _about_lacking(lacking: int) -> tuple[str, ...]:
    if not lacking:
        return ()
    whose = "their" if lacking > 1 else "its"
    return (
        f"{plural(lacking, 'image')} without a mask may not be normal: {whose} pixels do not count",
    )
