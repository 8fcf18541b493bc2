"""Decoding once: encoded images in memory, or in a file that is mapped into it."""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from energan.core import NoReadableImage
from energan.data.images import cache
from energan.data.images.decoded import Decoded
from energan.data.images.decoder import (
    BLOCK,
    Decoder,
    Shape,
    decode_raw,
    list_skipped,
    select_parts,
)
from energan.data.images.decoding import Decoding, Notes, Pixels
from energan.data.images.notes import facts_of
from energan.data.images.survey import resolve
from energan.data.images.values import Unreadable
from energan.data.source import Source
from energan.io.environment import whole_number
from energan.io.memory import check_memory
from energan.io.text import agree

Storage = Literal["auto", "memory", "cache"]
CACHE_ABOVE = 512 * 2**20
"""Bytes of decoded images above which "auto" keeps them in a file: see `cache_above`."""


def cache_above() -> int:
    """CACHE_ABOVE, or $ENERGAN_CACHE_ABOVE in MiB."""
    asked = whole_number("ENERGAN_CACHE_ABOVE", 0, 2**40)
    return CACHE_ABOVE if asked is None else asked * 2**20


def decode_source(
    source: Source,
    how: Decoding,
    rows: Tensor | None = None,
    *,
    storage: Storage = "auto",
    scale_of: Callable[[], Source] | None = None,
    measure: bool = True,
) -> Decoded:
    """The images of `source` at `rows` (int64, ascending; None for all), each decoded once.

    Images that cannot be read are left out and listed. scale_of, measure: as `resolve` takes them.
    Raises NoReadableImage if none can be, or DataError if sizes differ and `how` sets none, or if
    the images have no range together.
    """
    rows = torch.arange(source.count) if rows is None else rows
    asked = how
    how, facts = resolve(
        source, how, rows, scale_of, measure_range=measure, remember=storage == "cache"
    )
    shape = _shape(source, how, rows)
    size = len(rows) * torch.Size(shape).numel() * np.dtype(how.depth).itemsize
    if storage == "cache" or (storage == "auto" and size > cache_above()):
        found, notes = cache.open_cache(source, how, rows, shape)
    else:
        remedy = "lower data.size or data.limit, or set data.storage to cache"
        check_memory(size, f"decoded, {source.name}", remedy)
        found, notes = _in_memory(source, how, rows, shape)
    facts += facts_of(notes, asked, how, len(found.rows))
    return replace(found, facts=facts, intensity=how.intensity, depth=how.bits)


def _shape(source: Source, how: Decoding, rows: Tensor) -> Shape:
    """(C, H, W) of all images, by the first that can be read; NoReadableImage without one."""
    tried, first = 0, ""
    for part, wanted in select_parts(source, rows):
        raws = part.read()
        for row in wanted:
            try:
                made = decode_raw(raws[row - part.start], how)
            except Unreadable as error:
                tried, first = tried + 1, first or f"{source.where(row)}: {error}"
                continue
            channels, height, width = made.shape
            return channels, height, width
    raise NoReadableImage(
        f"{source.name} holds no readable image ({tried} {agree(tried, 'were')} tried; the "
        f"first, {first}): name a source of images"
    )


def _in_memory(source: Source, how: Decoding, rows: Tensor, shape: Shape) -> tuple[Decoded, Notes]:
    events = torch.empty((len(rows), *shape), dtype=getattr(torch, how.depth))
    numbers, target = rows.numpy(), events.numpy()

    def put(row: int, pixels: Pixels) -> None:
        target[np.searchsorted(numbers, row)] = pixels

    decoder = Decoder(source, how, shape)
    decoder.run(list(select_parts(source, rows)), put)
    if decoder.skipped:
        kept = ~np.isin(numbers, list(decoder.skipped))
        for slot, old in enumerate(np.flatnonzero(kept)):
            target[slot] = target[old]  # in place: a second copy may not fit
        events, rows = events[: int(kept.sum())], rows[torch.from_numpy(kept)]
    digest = hashlib.sha256()
    for chunk in events.split(BLOCK):
        digest.update(chunk.numpy().data)
    skipped = list_skipped(source, decoder.skipped)
    return Decoded(events, rows, skipped, digest=digest.hexdigest()), decoder.notes
