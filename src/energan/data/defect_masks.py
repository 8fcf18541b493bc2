"""Which pixels of images belong to defects, by masks, brought to where a run sees the images."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePath

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from energan.core import DataError
from energan.data.augment import Augment
from energan.data.images.decoder import Block, over_parts, select_parts
from energan.data.images.decoding import place_numbers
from energan.data.images.label_maps import MOST
from energan.data.images.reading import LabelImage, read_labels, size_of
from energan.data.images.values import Unreadable
from energan.data.preparation import pad
from energan.data.settings import DataSettings
from energan.data.source import Source
from energan.data.sources.folders.images import read_bytes
from energan.data.sources.folders.masks import Key, index_masks, match_masks
from energan.data.sources.tree import scan
from energan.io.text import printable
from energan.metrics.segmentation import find_regions

Mask = NDArray[np.bool_]
KnownMasks = Mapping[Key, Path] | None
"""Masks by the names that their images may have; None for masks that a source has itself."""


@dataclass(frozen=True, eq=False)
class Defects:
    """regions: int32 (h, w), where a run sees them: the number of each pixel's defect, from 1, 0
    where there is none. count: how many the mask has; cut: how many of them were cut off whole."""

    regions: NDArray[np.int32]
    count: int
    cut: int

    @property
    def lost(self) -> int:
        """How many have no pixel there: cut off, or too small."""
        return self.count - _count(self.regions)


@dataclass(frozen=True, eq=False)
class DefectMasks:
    """The masks of a set's images. paths: of each, None where it has none. source, rows: the images
    in their source; settings: how they were prepared."""

    paths: tuple[Path | None, ...]
    source: Source
    rows: Tensor
    settings: DataSettings

    def check(self) -> None:
        """Raise DataError for a mask that cannot be read, or has not the size of its image."""
        assert self._fits

    @cached_property
    def _fits(self) -> bool:
        """Looked at once."""
        of = {int(row): path for row, path in zip(self.rows, self.paths, strict=True) if path}

        def look_at(block: Block) -> None:
            for row, raw in block:
                size = None if raw is None else size_of(raw)
                path = of[row]
                found = _read(path).values.size
                if size is not None and found != size:
                    wide, high = found
                    raise DataError(
                        f"the mask {printable(path)} is {wide}x{high}, but its image "
                        f"{self.source.where(row)} is {size[0]}x{size[1]}: give masks of the "
                        "same size as their images"
                    )

        parts = list(select_parts(self.source, torch.tensor(sorted(of), dtype=torch.int64)))
        over_parts(f"masks of {self.source.name}", parts, look_at, lambda part, rows, made: None)
        return True

    def mask(self, i: int) -> Mask | None:
        """Which pixels of the i-th image itself are of a defect, (H, W); None if it has no mask."""
        path = self.paths[i]
        return None if path is None else _is_defect(_read(path))

    def defects(self, i: int) -> Defects | None:
        """Of the i-th image; None if it has no mask. They are brought to its place by nearest
        neighbour, each under its number, so that none falls apart or grows together."""
        path = self.paths[i]
        if path is None:
            return None
        numbers = find_regions(_is_defect(_read(path)))
        placed, kept = place_numbers(numbers, self.settings.decoding)
        padded = pad(torch.from_numpy(placed)[None, None], self.settings)
        seen = Augment(self.settings.random_crop)(padded, None)[0, 0].numpy()
        count = _count(numbers)
        return Defects(seen, count, count - _count(kept))


def index_folder(folder: Path) -> Mapping[Key, Path]:
    """The masks in a folder, by what their images may be called. Raises DataError if there are
    none."""
    try:
        known = index_masks([scan(folder.expanduser())])
    except OSError as error:
        raise DataError(f"--masks {printable(folder)} cannot be read: {error.strerror}") from error
    if not known:
        raise DataError(f"--masks {printable(folder)} holds no images: name the folder of masks")
    return known


def find_masks(
    source: Source, rows: Tensor, settings: DataSettings, known: KnownMasks
) -> DefectMasks | None:
    """Those among `known`, or if this is None those that the source has itself; None if there are
    none."""
    if known is None:
        every = source.masks
        paths = () if every is None else tuple(every[row] for row in rows.tolist())
    elif source.base is not None:
        names = [source.where(row) for row in rows.tolist()]
        paths = match_masks(names, source.base.name, known)
    else:
        files = [PurePath(source.where(row)) for row in rows.tolist()]
        paths = tuple(match_masks([f.name], f.parent.name, known)[0] for f in files)
    return DefectMasks(paths, source, rows, settings) if any(paths) else None


def check_masks(groups: Sequence[DefectMasks | None], folder: Path) -> None:
    """Raise DataError if none of the masks in a folder is of an image, or one does not fit its."""
    found = [masks for masks in groups if masks is not None]
    for masks in found:
        masks.check()
    if not found:
        raise DataError(
            f"--masks {printable(folder)}: no mask matches an image to score; put each mask in a "
            "folder of the same name as its image's folder, and give it the image's name, with "
            "or without _mask at the end"
        )


def _count(numbers: NDArray[np.int32]) -> int:
    return len(np.unique(numbers[numbers > 0]))


def _read(path: Path) -> LabelImage:
    raw = read_bytes(path)
    try:
        if raw is None:
            raise Unreadable("it cannot be opened")
        return read_labels(raw)
    except Unreadable as error:
        raise DataError(f"the mask {printable(path)} cannot be read: {error}") from None


def _is_defect(mask: LabelImage) -> Mask:
    """(H, W): what is brighter than half of the brightest value; of a mask of indices, or of values
    as low as numbers of classes are, all that is not 0."""
    values = mask.values.pixels[..., 0]
    if mask.kind == "colour":
        values = np.maximum(np.maximum(values >> 16, values >> 8 & 255), values & 255)
    top = int(values.max(initial=0))
    found: Mask = values > (0 if mask.kind == "index" or top < MOST else top / 2)
    return found
