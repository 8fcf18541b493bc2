"""The order in which training sees the data: a function of (seed, position), with no state."""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Protocol

import torch
from torch import Tensor

from energan.core import Batch, place_seed


def epoch_order(seed: int, stream: str, epoch: int, size: int) -> Tensor:
    """The permutation of `size` events in epoch number `epoch` of a run, int32 (size,)."""
    # Always on the CPU: the same seed then gives the same order whatever device trains.
    generator = torch.Generator().manual_seed(place_seed(seed, "order", stream, epoch))
    return torch.randperm(size, generator=generator, dtype=torch.int32)


class Gathers(Protocol):
    """What a feed asks of a data set."""

    @property
    def augment(self) -> object: ...

    @property
    def events_device(self) -> torch.device:
        """Where its events are, and wants the indices."""

    def __len__(self) -> int: ...

    def gather(
        self, indices: Tensor, dtype: torch.dtype, conditions: bool, draws: Tensor | None
    ) -> Batch: ...


class Feed:
    """Batches of real data for one run, or for a cohort with one order for each seed.

    Batch number n = step * substeps + substep takes positions n*B up to (n+1)*B of an endless line
    of epochs, each a permutation of all events. A batch that crosses the end of an epoch goes on in
    the next, so every event comes up once an epoch and none is dropped. Any batch can be asked for
    at any time; only the permutations in use are remembered.

    stream: names the order; feeds of different streams are unrelated.
    conditions: whether batches carry labels.
    share: (rank, ranks): of several processes that train together each gets its part of a batch
        that is `ranks` times as large: together they see what one of that size sees.
    """

    def __init__(
        self,
        data: Gathers,
        seeds: Sequence[int],
        batch_size: int,
        dtype: torch.dtype = torch.float32,
        stream: str = "train",
        conditions: bool = False,
        share: tuple[int, int] = (0, 1),
    ) -> None:
        if not seeds or batch_size < 1:
            raise ValueError("Feed needs at least one seed and a batch size of at least 1")
        self.data, self.seeds, self.batch_size = data, tuple(seeds), batch_size
        self.dtype, self.stream, self.conditions = dtype, stream, conditions
        self.share = share
        size = len(data)
        # Two for each member: a batch may stand in two epochs.
        self._order = lru_cache(maxsize=2 * len(self.seeds))(
            # on a GPU where the data lies there: a step that sends its indices waits for it
            lambda seed, epoch: epoch_order(seed, stream, epoch, size).to(data.events_device)
        )

    def __call__(self, step: int, substep: int = 0, substeps: int = 1) -> Batch:
        """x (B, *event), or (M, B, *event) for M > 1 seeds, each as its own single run sees it."""
        indices = self.indices(step, substep, substeps)
        return self.data.gather(indices, self.dtype, self.conditions, self._draws(step, substep))

    def _draws(self, step: int, substep: int) -> Tensor | None:
        """Uniform (..., B, 3) for the augmentation: a function of (seed, stream, place)."""
        if not self.data.augment:
            return None
        rank, ranks = self.share
        own = slice(rank * self.batch_size, (rank + 1) * self.batch_size)
        parts = []
        for seed in self.seeds:
            place = place_seed(seed, "augment", self.stream, step, substep)
            generator = torch.Generator().manual_seed(place)
            parts.append(torch.rand(ranks * self.batch_size, 3, generator=generator)[own])
        return parts[0] if len(parts) == 1 else torch.stack(parts)

    def indices(self, step: int, substep: int = 0, substeps: int = 1) -> Tensor:
        """Which events that batch holds: int64 (B,), or (M, B) for M > 1 seeds."""
        rank, ranks = self.share
        start = ((step * substeps + substep) * ranks + rank) * self.batch_size
        rows = [torch.cat(list(self._pieces(seed, start))) for seed in self.seeds]
        return (rows[0] if len(rows) == 1 else torch.stack(rows)).long()

    def _pieces(self, seed: int, start: int) -> Iterator[Tensor]:
        end = start + self.batch_size
        while start < end:
            epoch, offset = divmod(start, len(self.data))
            piece = self._order(seed, epoch)[offset : offset + end - start]
            yield piece
            start += len(piece)
