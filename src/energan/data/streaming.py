"""Tables that fit no disk once decoded: read in a shuffled stream, decoded on the way.

The stream is the library's (Hugging Face datasets): shards in a shuffled order, a shuffle buffer,
each rank its own shards. Nothing is remembered between batches but where the stream stands, and a
batch asked for out of turn (after a resume) is found by reading the epoch's stream up to it.
"""

import hashlib
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch import Tensor

from energan.core import Batch, DataError, Domain, place_seed
from energan.data.batches import Feed
from energan.data.dataset import DataSet, describe_windows, mean_event, shape_of
from energan.data.images.decoding import Decoding, Notes, Pixels, decode
from energan.data.images.notes import facts_of
from energan.data.images.reading import header_of
from energan.data.images.survey import LOOKED_AT, resolve_headers
from energan.data.images.values import Unreadable
from energan.data.settings import DataSettings
from energan.data.sources.named import NAMED
from energan.data.sources.splits import Split
from energan.data.sources.streams import Stream, open_table_stream
from energan.io.console import say
from energan.io.cores import threads

HELD_OUT_OF = 50
"""One image in so many is held out, chosen by a checksum of its bytes."""
HEAD, SHOWN = 2000, 500
"""Number of training images kept in memory for calibration, and largest number of held-out
images."""


def is_held_out(raw: bytes | None) -> bool:
    return raw is not None and zlib.crc32(raw) % HELD_OUT_OF == 0


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class StreamedSet(DataSet):
    """A data set whose training batches come from a stream; its `events` are only the first ones.

    It has no labels. One image in HELD_OUT_OF is never trained on.
    """

    stream: Stream
    how: Decoding
    content: str

    def __len__(self) -> int:
        return max(1, self.stream.table.count * (HELD_OUT_OF - 1) // HELD_OUT_OF)

    def feed(
        self,
        seeds: Sequence[int],
        batch_size: int,
        dtype: torch.dtype = torch.float32,
        stream: str = "train",
        conditions: bool = False,
        share: tuple[int, int] = (0, 1),
    ) -> Any:
        """Training batches from the stream; for any other stream, those of the first images."""
        if stream != "train":
            return Feed(self._head(), seeds, batch_size, dtype, stream, conditions, share)
        if len(seeds) > 1 or conditions:
            raise DataError(
                f"{self.name} is streamed, which serves one run at a time and gives no labels: "
                "set data.storage to cache"
            )
        return StreamFeed(self, seeds[0], batch_size, dtype, share)

    def _head(self) -> DataSet:
        return DataSet(
            self.name, self.events, self.domain, augment=self.augment, device=self.device
        )

    @cached_property
    def fingerprint(self) -> str:
        told = (self.content, self.stream.column, self.how, self.augment, self.domain)
        return hashlib.sha256(" ".join(map(str, told)).encode()).hexdigest()


class StreamFeed:
    """(step, substep, substeps) -> Batch. The line of batches is cut into epochs of equal length.

    An epoch is as long as the rank's fair part of the set; where its shards hold less, its stream
    begins again. The next batch is decoded while the caller works on this one.
    """

    def __init__(
        self, data: StreamedSet, seed: int, batch_size: int, dtype: torch.dtype,
        share: tuple[int, int],
    ) -> None:  # fmt: skip
        self.data, self.seed, self.batch_size, self.dtype = data, seed, batch_size, dtype
        self.share = share
        self.length = max(1, len(data) // share[1])
        self._reader = ThreadPoolExecutor(1, "stream")
        self._pool = ThreadPoolExecutor(threads(), "decode")
        self._at, self._epoch = -1, -1
        self._rows: Iterator[bytes | None] = iter(())
        self._next: tuple[int, Future[Tensor]] | None = None

    def __call__(self, step: int, substep: int = 0, substeps: int = 1) -> Batch:
        number = step * substeps + substep
        if self._next is not None and self._next[0] == number:
            raw = self._next[1].result()
        else:
            if self._next is not None:
                self._next[1].exception()  # it uses the same stream: let it finish first
            raw = self._reader.submit(self._batch, number).result()
        self._next = number + 1, self._reader.submit(self._batch, number + 1)
        gathered = replace(self.data._head(), events=raw)
        return gathered.gather(torch.arange(len(raw)), self.dtype, draws=self._draws(number))

    def _draws(self, number: int) -> Tensor:
        place = place_seed(self.seed, "augment", "stream", self.share[0], number)
        return torch.rand(self.batch_size, 3, generator=torch.Generator().manual_seed(place))

    def _batch(self, number: int) -> Tensor:
        """(B, C, H, W) as they are stored; in the reader's thread."""
        raws = [self._row(number * self.batch_size + i) for i in range(self.batch_size)]
        made = list(self._pool.map(self._pixels, raws))
        last = next((pixels for pixels in made if pixels is not None), None)
        if last is None:  # of a batch in which nothing can be read, the set's first image
            last = self.data.events[0].cpu().numpy()
        whole = []
        for pixels in made:
            last = last if pixels is None else pixels  # the readable one before stands in for it
            whole.append(last)
        return torch.from_numpy(np.stack(whole))

    def _row(self, position: int) -> bytes | None:
        epoch, offset = divmod(position, self.length)
        if epoch != self._epoch or offset != self._at:
            self._rows, self._epoch = self._endless(epoch), epoch
            next(islice(self._rows, offset, offset), None)  # read past what came before
        self._at = offset + 1
        return next(self._rows)

    def _endless(self, epoch: int) -> Iterator[bytes | None]:
        seed = place_seed(self.seed, "order", "stream", epoch)
        while True:
            empty = True
            for raw in self.data.stream.images(seed, self.share):
                if not is_held_out(raw):
                    empty = False
                    yield raw
            if empty:
                raise DataError(
                    f"{self.data.name} has too few images to stream: set data.storage to auto"
                )

    def _pixels(self, raw: bytes | None) -> Pixels | None:
        try:
            pixels = None if raw is None else decode(raw, self.data.how)
        except Unreadable as error:
            say(f"{self.data.name}: an unreadable image was skipped ({error})")
            return None
        if pixels is not None and pixels.shape != self.data.events.shape[1:]:
            raise DataError(
                f"{self.data.name} holds images of different sizes: resize them to one size, for "
                "example with --data.size 64"
            )
        return pixels


def open_stream(settings: DataSettings, split: Split = "train") -> StreamedSet:
    """A stream of a table: Parquet files, a folder of them, or a hub data set.

    Raises DataError for other sources, and for settings that a stream cannot serve.
    """
    for name in ("classes", "limit", "held_out", "pad", "labels", "tags", "groups", "labelled"):
        if getattr(settings, name):
            raise DataError(
                f"data.{name} does not work with data.storage stream: set data.storage to cache"
            )
    if settings.pages == "all":
        raise DataError(
            "data.pages all does not work with data.storage stream: set data.storage to cache"
        )
    stream = open_table_stream(settings, split)
    name = stream.table.name
    how = settings.decoding
    if how.crop is None and (found := NAMED.get(settings.source)) and found.crops:
        raise DataError(f"{settings.source} needs a crop box if it is streamed: set data.crop")
    asked, headers = how, [header_of(raw) for raw in islice(stream.images(None), LOOKED_AT) if raw]
    how = resolve_headers([header for header in headers if header], how)
    if any(header and header.deep for header in headers):
        how = replace(how, depth="uint16" if how.intensity is None else "float32")
    notes = Notes()
    head, held = _first(stream, how, notes)
    facts = facts_of(notes, asked, how, len(head) + len(held))
    augment = settings.augment
    shape = shape_of(name, tuple(head.shape[1:]), settings)
    image_shape, tiles = describe_windows(shape, tuple(head.shape[1:]), settings)
    domain = Domain(shape, *settings.bounds, depth=how.bits, shown=settings.shown,
                    image_shape=image_shape)  # fmt: skip
    whole = DataSet(name, head, domain, augment=augment)
    domain = replace(domain, mean=mean_event(whole))
    kept = DataSet(name, held, domain, augment=augment) if len(held) else None
    return StreamedSet(
        name, head, domain, held_out=kept, augment=augment, stream=stream, how=how,
        content=stream.table.content(), facts=facts + tiles,
    )  # fmt: skip


def _first(stream: Stream, how: Decoding, notes: Notes) -> tuple[Tensor, Tensor]:
    """The first training images, and the first that are held out, decoded: (N, C, H, W)."""
    head: list[Pixels] = []
    held: list[Pixels] = []
    reason = ""
    for raw in stream.images(None):
        if len(head) >= HEAD and (len(held) >= SHOWN or len(held) * 20 >= len(head)):
            break
        chosen, most = (held, SHOWN) if is_held_out(raw) else (head, HEAD)
        if raw is None or len(chosen) >= most:
            continue
        try:
            chosen.append(decode(raw, how, notes))
        except Unreadable as error:
            reason = reason or f" (the first: {error})"
            continue
    if not head:
        raise DataError(f"{stream.table.name} holds no readable image{reason}")
    if len({p.shape for p in head + held}) > 1:
        raise DataError(
            f"{stream.table.name} holds images of different sizes: resize them to one size, for "
            "example with --data.size 64"
        )
    empty = np.empty((0, *head[0].shape), head[0].dtype)
    return torch.from_numpy(np.stack(head)), torch.from_numpy(np.stack(held) if held else empty)
