"""Decoding once: encoded images -> uint8 in memory, or in a file that is mapped into it."""

import hashlib
import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from energan.core import DataError
from energan.data.images.checksums import cores
from energan.data.images.decoding import Pixels, Unreadable, decode, resolve
from energan.data.images.encoded import Decoded, Decoding, Encoded, Part
from energan.io.console import progress

Storage = Literal["auto", "memory", "cache"]
Shape = tuple[int, int, int]
CACHE_ABOVE = 512 * 2**20
"""Bytes of decoded images beyond which "auto" keeps them in a file: see `cache_above`."""
BLOCK = 64
"""Images that one task of the pool decodes."""


def cache_above() -> int:
    """CACHE_ABOVE, or $ENERGAN_CACHE_ABOVE in MiB."""
    asked = os.environ.get("ENERGAN_CACHE_ABOVE", "")
    return int(asked) * 2**20 if asked.isdigit() else CACHE_ABOVE


def decoded(
    source: Encoded, how: Decoding, rows: Tensor | None = None, *, storage: Storage = "auto"
) -> Decoded:
    """The images of `source` at `rows` (int64, ascending; None for all), each decoded once.

    Images that cannot be read are left out and listed. Raises DataError if none can be read, or if
    sizes differ and `how` sets none.
    """
    from energan.data.images import cache  # it decodes by this module's functions

    rows = torch.arange(source.count) if rows is None else rows
    how = resolve(source, how)
    shape = _shape(source, how, rows)
    size = len(rows) * torch.Size(shape).numel()
    if storage == "cache" or (storage == "auto" and size > cache_above()):
        return cache.cached(source, how, rows, shape)
    return _in_memory(source, how, rows, shape)


def _shape(source: Encoded, how: Decoding, rows: Tensor) -> Shape:
    """(C, H, W) of all images, by the first that can be read. Raises DataError if there is none."""
    tried, first = 0, ""
    for part, wanted in wanted_parts(source, rows):
        raws = part.read()
        for row in wanted:
            try:
                made = _decode(raws[row - part.start], how)
            except Unreadable as error:
                tried, first = tried + 1, first or f"{source.where(row)}: {error}"
                continue
            channels, height, width = made.shape
            return channels, height, width
    raise DataError(
        f"{source.name} holds no image that can be read ({tried} were tried; the first, {first}): "
        "name a source of pictures"
    )


def wanted_parts(source: Encoded, rows: Tensor) -> Iterator[tuple[Part, list[int]]]:
    """The parts that hold any of `rows`, each with these."""
    edges = torch.tensor([[p.start, p.start + p.count] for p in source.parts])
    for part, (low, high) in zip(
        source.parts, torch.searchsorted(rows, edges).tolist(), strict=True
    ):
        if high > low:
            yield part, rows[low:high].tolist()


class Decoder:
    """Decodes a source's parts in a pool of threads (Pillow lets go of the interpreter's lock).

    skipped: row -> reason, of images that could not be read. Only a few parts' encoded bytes are in
    memory at any time.
    """

    def __init__(self, source: Encoded, how: Decoding, shape: Shape) -> None:
        self.source, self.how, self.shape = source, how, shape
        self.skipped: dict[int, str] = {}

    def run(
        self, parts: list[tuple[Part, list[int]]], put: Callable[[int, Pixels], None],
        after: Callable[[Part, list[int]], None] = lambda part, rows: None,
    ) -> None:  # fmt: skip
        """Give each image to `put` (row, pixels) from a thread of the pool, and each finished part
        to `after`, in order."""
        threads = cores()
        total = sum(len(rows) for _, rows in parts)
        waiting: deque[tuple[Part, list[int], list[Future[None]]]] = deque()
        with (
            progress(f"decoding {self.source.name}", total) as advance,
            ThreadPoolExecutor(threads) as pool,
        ):

            def finish() -> None:
                part, rows, tasks = waiting.popleft()
                for task in tasks:
                    task.result()
                after(part, rows)
                advance(len(rows))

            try:
                for part, rows in parts:
                    raws = part.read()
                    pairs = [(row, raws[row - part.start]) for row in rows]
                    blocks = [pairs[i : i + BLOCK] for i in range(0, len(pairs), BLOCK)]
                    tasks = [pool.submit(self._block, block, put) for block in blocks]
                    waiting.append((part, rows, tasks))
                    if len(waiting) > 2:
                        finish()
                while waiting:
                    finish()
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def _block(
        self, block: list[tuple[int, bytes | None]], put: Callable[[int, Pixels], None]
    ) -> None:
        for row, raw in block:
            try:
                pixels = _decode(raw, self.how)
            except Unreadable as error:
                self.skipped[row] = str(error)
                continue
            if pixels.shape != self.shape:
                raise DataError(
                    f"{self.source.name} holds images of different sizes "
                    f"({self.shape[2]}x{self.shape[1]}, and {self.source.where(row)} is "
                    f"{pixels.shape[2]}x{pixels.shape[1]}): set the size that all are brought to, "
                    "as with --data.size 64"
                )
            put(row, pixels)


def _decode(raw: bytes | None, how: Decoding) -> Pixels:
    if raw is None:
        raise Unreadable("it cannot be opened, or is empty")
    return decode(raw, how)


def listed(source: Encoded, skipped: dict[int, str]) -> tuple[tuple[str, str], ...]:
    """(where, reason) by row."""
    return tuple((source.where(row), skipped[row]) for row in sorted(skipped))


def _in_memory(source: Encoded, how: Decoding, rows: Tensor, shape: Shape) -> Decoded:
    events = torch.empty((len(rows), *shape), dtype=torch.uint8)
    numbers, target = rows.numpy(), events.numpy()

    def put(row: int, pixels: Pixels) -> None:
        target[np.searchsorted(numbers, row)] = pixels

    decoder = Decoder(source, how, shape)
    decoder.run(list(wanted_parts(source, rows)), put)
    if decoder.skipped:
        kept = ~np.isin(numbers, list(decoder.skipped))
        for slot, old in enumerate(np.flatnonzero(kept)):
            target[slot] = target[old]  # in place: a second copy may not fit
        events, rows = events[: int(kept.sum())], rows[torch.from_numpy(kept)]
    digest = hashlib.sha256()
    for chunk in events.split(BLOCK):
        digest.update(chunk.numpy().data)
    return Decoded(events, rows, listed(source, decoder.skipped), digest=digest.hexdigest())


def placed(rows: Tensor, found: Decoded) -> tuple[Tensor, Tensor | None, str | None]:
    """Of the source's `rows` those that were decoded, where in the events they are, their digest.

    The digest is the same whether the images are in memory or in a cache.
    """
    where = torch.searchsorted(found.rows, rows).clamp_max(len(found.rows) - 1)
    there = found.rows[where] == rows
    rows, where = rows[there], where[there]
    places = where if found.slots is None else found.slots[where]
    as_they_stand = len(places) == len(found.events) and torch.equal(
        places, torch.arange(len(places))
    )
    digest = None
    if found.digest is not None:
        told = f"{found.digest} {tuple(found.events.shape[1:])} ".encode()
        digest = hashlib.sha256(told + where.numpy().tobytes()).hexdigest()
    return rows, None if as_they_stand else places, digest
