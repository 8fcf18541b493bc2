"""What became of a source's images once they were decoded."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from energan.data.facts import Fact


@dataclass(frozen=True, eq=False)
class Decoded:
    """The images of a source, each decoded once; of arrays, their events as they are used.

    events: uint8, uint16 or float32 (S, C, H, W), in memory or mapped from a file; it may have
        slots without an image.
    rows: int64 (N,), ascending: the row of the source that each image came from.
    slots: int64 (N,), ascending: where in `events` each is; None if N = S.
    skipped: (where, reason) of each image that could not be read.
    facts: what was done to the images: their range, what was cut off or made grey.
    depth: bits that a value had in the files, 8 or 16 for all that is more.
    intensity: the values that became the ends of the range, where they were not told by the
        images' type.
    digest: sha256 (hex) of the images, one after the other; None if it is not known.
    path: the cache's file, None for memory.
    release: told how many images were read, lets go of the mapped pages now and then, so that
        reading through a large set does not fill memory; None for events in memory.
    """

    events: Tensor
    rows: Tensor
    skipped: tuple[tuple[str, str], ...] = ()
    slots: Tensor | None = None
    digest: str | None = None
    path: Path | None = None
    release: Callable[[int], None] | None = field(default=None, repr=False)
    facts: tuple[Fact, ...] = ()
    intensity: tuple[float, float] | None = None
    depth: int = 8

    def place(self, rows: Tensor) -> tuple[Tensor, Tensor | None, str | None]:
        """Of the source's `rows` those that were decoded, where in `events` they are (None if they
        stand there one after the other), and their digest.

        The digest is the same whether the images are in memory or in a cache.
        """
        where = torch.searchsorted(self.rows, rows).clamp_max(len(self.rows) - 1)
        there = self.rows[where] == rows
        rows, where = rows[there], where[there]
        places = where if self.slots is None else self.slots[where]
        as_they_stand = len(places) == len(self.events) and torch.equal(
            places, torch.arange(len(places))
        )
        digest = None
        if self.digest is not None:
            told = f"{self.digest} {tuple(self.events.shape[1:])} ".encode()
            digest = hashlib.sha256(told + where.numpy().tobytes()).hexdigest()
        return rows, None if as_they_stand else places, digest
