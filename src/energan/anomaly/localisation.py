"""How well heat maps find the pixels of defects, where masks say which these are."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from energan.anomaly.calibration import make_finite
from energan.anomaly.detection import ANOMALOUS, NORMAL, interval_of_auroc
from energan.anomaly.score_table import ScoreTable
from energan.io.text import agree, plural
from energan.metrics.bootstrap import Interval
from energan.metrics.detection import auroc
from energan.metrics.segmentation import PixelCounts, PixelScores

ALL = "all"
AT_ONCE = 32
SAMPLED, SAMPLE_VALUES = 64, 2**22
"""Images, and values of their maps, that say where the bins lie."""


@dataclass(frozen=True)
class KindScores:
    """Of one kind of defect beside all normal images, or of all kinds. images: how many have it.
    auroc: of the images' energies, None without labels; no interval without two images, or
    groups, of each."""

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
    """kinds: all first, then one by one. notes: what did not count, in a sentence each. resampled:
    what the intervals resample."""

    kinds: tuple[KindScores, ...]
    notes: tuple[str, ...]
    resampled: str


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
    for source in table.sources:
        if source.masks is not None:
            source.masks.check()
    counts, told = _count(table, heatmap, counted, advance)
    sides, labels = table.side.tolist(), table.labels
    kinds = sorted({n for n, s in zip(labels, sides, strict=True) if s == ANOMALOUS and n})
    rows = []
    for name in ("", *kinds):
        chosen = [
            i for i, row in enumerate(counted)
            if sides[row] == NORMAL or name in ("", labels[row])
        ]  # fmt: skip
        groups = table.groups_of(torch.tensor([counted[i] for i in chosen]))
        pixels = counts.scores(chosen, groups=groups, resamples=resamples, seed=seed)
        rows.append(_kind(table, name, pixels))
    notes = (*told, *_about_lacking(lacking), *_about_single_groups(table, rows))
    return Localisation(tuple(rows), notes, table.resampled)


def _rows_with_truth(table: ScoreTable) -> tuple[list[int] | None, int]:
    """Rows whose pixels are known, None if no source has masks; and of how many they are not."""
    if not any(source.masks for source in table.sources):
        return None, 0
    paths = [
        path
        for source in table.sources
        for path in (source.masks.paths if source.masks else [None] * len(source))
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
    named = torch.tensor([name in ("", label) for label in table.labels])
    anomalous, normal = (table.side == ANOMALOUS) & named, table.side == NORMAL
    images, others = int(anomalous.sum()), int(normal.sum())
    if not images or not others:
        return KindScores(name or ALL, images, None, None, pixels)
    rows = (normal | anomalous).nonzero().flatten()
    scores, marks = make_finite(table.energy)[rows], anomalous[rows]
    ends = interval_of_auroc(scores, marks, table.groups_of(rows))
    return KindScores(name or ALL, images, auroc(scores, marks), ends, pixels)


def _about_single_groups(table: ScoreTable, rows: list[KindScores]) -> tuple[str, ...]:
    """Why intervals are missing."""
    if table.groups is None or all(row.interval for row in rows if row.auroc is not None):
        return ()
    return (
        "no interval where all images of a kind, or all normal ones, are of a single group: groups "
        "are resampled whole",
    )


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
