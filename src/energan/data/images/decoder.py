"""Decoding a source's images in a pool of threads."""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import torch
from torch import Tensor

from energan.core import DataError
from energan.data.images.decoding import Decoding, Pixels, Unreadable, decode
from energan.data.source import Part, Source
from energan.io.console import progress
from energan.io.cores import threads as all_threads

Shape = tuple[int, int, int]
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


class Decoder:
    """Decodes a source's parts in a pool of threads (Pillow lets go of the interpreter's lock).

    skipped: row -> reason, of images that could not be read. Only a few parts' encoded bytes are in
    memory at any time.
    """

    def __init__(self, source: Source, how: Decoding, shape: Shape) -> None:
        self.source, self.how, self.shape = source, how, shape
        self.skipped: dict[int, str] = {}

    def run(
        self, parts: list[tuple[Part, list[int]]], put: Callable[[int, Pixels], None],
        after: Callable[[Part, list[int]], None] = lambda part, rows: None,
    ) -> None:  # fmt: skip
        """Give each image to `put` (row, pixels) from a thread of the pool, and each finished part
        to `after`, in order."""
        threads = all_threads()
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
                pixels = decode_raw(raw, self.how)
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


def decode_raw(raw: bytes | None, how: Decoding) -> Pixels:
    """Pixels (C, H, W) uint8 of an image file's bytes. Raises Unreadable, if None too."""
    if raw is None:
        raise Unreadable("it cannot be opened, or is empty")
    return decode(raw, how)


def list_skipped(source: Source, skipped: dict[int, str]) -> tuple[tuple[str, str], ...]:
    """(where, reason) by row."""
    return tuple((source.where(row), skipped[row]) for row in sorted(skipped))
