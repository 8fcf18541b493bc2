"""Decoding a source's images in a pool of threads."""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import torch
from torch import Tensor

from energan.core import DataError, MixedSizes
from energan.data.images.decoding import Decoding, Notes, Pixels, decode
from energan.data.images.formats.table import forget
from energan.data.images.values import Unreadable
from energan.data.source import Encoded, Part, Source
from energan.io.console import progress
from energan.io.cores import threads as all_threads

T = TypeVar("T")
Shape = tuple[int, int, int]
Block = list[tuple[int, Encoded | None]]
"""Rows, and the encoded bytes of their images."""
BLOCK = 64
"""Images that one task of the pool decodes."""


def select_parts(source: Source, rows: Tensor) -> Iterator[tuple[Part, list[int]]]:
    """The parts that hold any of `rows`, each with these."""
    edges = torch.tensor([[p.start, p.start + p.count] for p in source.parts])
    for part, (low, high) in zip(
        source.parts, torch.searchsorted(rows, edges).tolist(), strict=True
    ):
        if high > low:
            yield part, rows[low:high].tolist()


def over_parts(
    what: str,
    parts: list[tuple[Part, list[int]]],
    work: Callable[[Block], T],
    after: Callable[[Part, list[int], list[T]], None],
) -> None:
    """Give the images of the parts to `work`, a block at a time, from a pool of threads (Pillow
    lets go of the interpreter's lock); and what it made of a part's blocks to `after`, in order.

    Only a few parts' encoded bytes are in memory at any time. what: is done, for the bar.
    """
    total = sum(len(rows) for _, rows in parts)
    waiting: deque[tuple[Part, list[int], list[Future[T]]]] = deque()
    with progress(what, total) as advance, ThreadPoolExecutor(all_threads()) as pool:

        def finish() -> None:
            part, rows, tasks = waiting.popleft()
            after(part, rows, [task.result() for task in tasks])
            advance(len(rows))

        try:
            for part, rows in parts:
                raws = part.read()
                pairs = [(row, raws[row - part.start]) for row in rows]
                blocks = [pairs[i : i + BLOCK] for i in range(0, len(pairs), BLOCK)]
                waiting.append((part, rows, [pool.submit(work, block) for block in blocks]))
                if len(waiting) > 2:
                    finish()
            while waiting:
                finish()
            forget()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


class Decoder:
    """Decodes a source's parts.

    skipped: row -> reason, of images that could not be read. notes: what was done to the others.
    """

    def __init__(self, source: Source, how: Decoding, shape: Shape) -> None:
        self.source, self.how, self.shape = source, how, shape
        self.skipped: dict[int, str] = {}
        self.notes = Notes()

    def run(
        self, parts: list[tuple[Part, list[int]]], put: Callable[[int, Pixels], None],
        after: Callable[[Part, list[int], Notes], None] = lambda part, rows, notes: None,
    ) -> None:  # fmt: skip
        """Give each image to `put` (row, pixels) from a thread of the pool, and each finished part
        to `after`, in order, with what was done to its images."""

        def finish(part: Part, rows: list[int], noted: list[Notes]) -> None:
            notes = sum(noted, Notes())
            self.notes += notes
            after(part, rows, notes)

        over_parts(
            f"decoding {self.source.name}", parts, lambda block: self._decode(block, put), finish
        )

    def _decode(self, block: Block, put: Callable[[int, Pixels], None]) -> Notes:
        notes = Notes()
        for row, raw in block:
            try:
                pixels = decode_raw(raw, self.how, notes)
            except Unreadable as error:
                self.skipped[row] = str(error)
                continue
            self._check(row, pixels)
            put(row, pixels)
        return notes

    def _check(self, row: int, pixels: Pixels) -> None:
        if pixels.shape == self.shape:
            return
        bands, height, width = pixels.shape
        found = f"{self.source.where(row)} is"
        if bands != self.shape[0]:
            raise DataError(
                f"{self.source.name} holds images of {self.shape[0]} bands, and {found} one of "
                f"{bands}: remove one kind, or set --data.channels grey or colour if all have 1 "
                "or 3"
            )
        raise MixedSizes(
            f"{self.source.name} holds images of different sizes "
            f"({self.shape[2]}x{self.shape[1]}, and {found} {width}x{height}): resize them to "
            "one size, for example with --data.size 64"
        )


def decode_raw(raw: Encoded | None, how: Decoding, notes: Notes | None = None) -> Pixels:
    """Pixels (C, H, W) of an image file's bytes. Raises Unreadable, if None too."""
    if raw is None:
        raise Unreadable("it cannot be opened, or is empty")
    return decode(raw, how, Notes() if notes is None else notes)


def list_skipped(source: Source, skipped: dict[int, str]) -> tuple[tuple[str, str], ...]:
    """(where, reason) by row."""
    return tuple((source.where(row), skipped[row]) for row in sorted(skipped))
