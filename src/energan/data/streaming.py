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
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from energan.core import Batch, DataError, Domain, NoTestPart, describe, place_seed
from energan.data.batches import Feed
from energan.data.dataset import Augment, DataSet, mean_event, shape_of
from energan.data.images.decoding import (
    LOOKED_AT,
    Decoding,
    Pixels,
    Unreadable,
    coloured,
    decode,
)
from energan.data.settings import DataSettings
from energan.data.sources.named import NAMED, folder_of
from energan.data.sources.tables import (
    HUB,
    Shard,
    Table,
    datasets_library,
    hub_name,
    image_bytes,
    image_column,
    of_split,
    parquet,
    parquet_files,
)
from energan.io.console import say
from energan.io.cores import threads

BUFFER = 1000
"""Encoded images in the shuffle buffer."""
HELD_OUT_OF = 50
"""One image in so many is held out, by a checksum of its bytes."""
ENTIRE = Decoding()
HEAD, SHOWN = 2000, 500
"""Training images kept in memory for calibration, and the most of held-out ones."""


@dataclass(frozen=True)
class Stream:
    """The encoded images of a table, in a stream for each (seed, epoch, rank).

    table: its columns, count and content. source: a datasets.IterableDataset of all its rows.
    """

    table: Table
    column: str
    source: Any

    def images(self, seed: int | None, share: tuple[int, int] = (0, 1)) -> Iterator[bytes | None]:
        """The images' bytes once; shuffled if there is a seed, and only this rank's part."""
        from datasets.distributed import split_dataset_by_node

        rows = self.source.select_columns([self.column])
        if share[1] > 1:
            rows = split_dataset_by_node(rows, *share)
        if seed is not None:
            rows = rows.shuffle(seed=seed % 2**32, buffer_size=BUFFER)
        for row in rows:
            yield image_bytes(row[self.column], self.table.beside)


def is_held_out(raw: bytes | None) -> bool:
    return raw is not None and zlib.crc32(raw) % HELD_OUT_OF == 0


@dataclass(frozen=True, eq=False)
class StreamedSet(DataSet):
    """A data set whose training batches come from a stream; its `events` are only the first ones.

    It has no labels. One image in HELD_OUT_OF is never trained on.
    """

    stream: Stream | None = None
    how: Decoding = ENTIRE
    content: str = ""

    def __len__(self) -> int:
        assert self.stream is not None
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
                f"{self.name} is streamed, which serves one run at a time and no labels: set "
                "data.storage to cache"
            )
        return StreamFeed(self, seeds[0], batch_size, dtype, share)

    def _head(self) -> DataSet:
        return DataSet(
            self.name, self.events, self.domain, augment=self.augment, device=self.device
        )

    @cached_property
    def fingerprint(self) -> str:
        assert self.stream is not None
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
        """uint8 (B, C, H, W); in the reader's thread."""
        raws = [self._row(number * self.batch_size + i) for i in range(self.batch_size)]
        made = list(self._pool.map(self._pixels, raws))
        # of a batch in which nothing can be read, the set's first image
        last = next((pixels for pixels in made if pixels is not None), self.data.events[0].numpy())
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
        stream = self.data.stream
        assert stream is not None
        seed = place_seed(self.seed, "order", "stream", epoch)
        while True:
            empty = True
            for raw in stream.images(seed, self.share):
                if not is_held_out(raw):
                    empty = False
                    yield raw
            if empty:
                raise DataError(f"{self.data.name} has too few images to stream")

    def _pixels(self, raw: bytes | None) -> Pixels | None:
        try:
            pixels = None if raw is None else decode(raw, self.data.how)
        except Unreadable as error:
            say(f"{self.data.name}: an image that cannot be read is left out ({error})")
            return None
        if pixels is not None and pixels.shape != self.data.events.shape[1:]:
            raise DataError(
                f"{self.data.name} holds images of different sizes: set the size that all are "
                "brought to, as with --data.size 64"
            )
        return pixels


# --- opening --------------------------------------------------------------------------------------


def open_stream(settings: DataSettings, split: str = "train") -> StreamedSet:
    """A stream of a table: Parquet files, a folder of them, or a hub data set.

    Raises DataError for other sources, and for settings that a stream cannot serve.
    """
    for name in ("classes", "limit", "held_out", "pad", "labels", "labelled"):
        if getattr(settings, name):
            raise DataError(f"data.{name} cannot be had of a stream: set data.storage to cache")
    table, source = _source(settings, split)
    stream = Stream(table, image_column(table, settings.image_column), source)
    how = settings.decoding
    if how.crop is None and (found := NAMED.get(settings.source)) and found.crops:
        raise DataError(f"{settings.source} streamed needs its crop box said: set data.crop")
    if how.channels == "auto":
        looked_at = islice(stream.images(None), LOOKED_AT)
        found_colour = any(raw is not None and coloured(raw) for raw in looked_at)
        how = replace(how, channels="colour" if found_colour else "grey")
    head, held = _first(stream, how)
    augment = Augment(settings.random_crop, settings.mirror)
    shape = shape_of(table.name, tuple(head.shape[1:]), augment)
    domain = Domain(shape, -1.0 if settings.range == "signed" else 0.0, 1.0)
    whole = DataSet(table.name, head, domain, augment=augment)
    domain = replace(domain, mean=mean_event(whole))
    kept = DataSet(table.name, held, domain, augment=augment) if len(held) else None
    return StreamedSet(
        table.name, head, domain, held_out=kept, augment=augment, stream=stream, how=how,
        content=table.content(),
    )  # fmt: skip


def _source(settings: DataSettings, split: str) -> tuple[Table, Any]:
    """What the table is, and its rows as a stream."""
    name = settings.source.removeprefix(HUB)
    if name != settings.source:
        return _hub(name, split, settings.download)
    folder = folder_of(name) if name in NAMED else None
    path = folder or Path(name).expanduser()
    files = [path] if path.suffix == ".parquet" and path.is_file() else []
    if path.is_dir():
        files = parquet_files(path, split) or parquet_files(path, "train")
    if split == "test" and files and files != parquet_files(path, "test"):
        raise NoTestPart(f"{path} has no test set of its own: use the held-out part")
    if not files:
        raise DataError(
            f"{settings.source} cannot be streamed: name a Parquet file or a folder of them, or "
            "set data.storage to cache"
        )
    with datasets_library() as datasets:
        import pyarrow.dataset

        names = {"train": [str(file) for file in files]}
        # not the whole file's columns beforehand, which is as much memory as the file is large
        scan = pyarrow.dataset.ParquetFragmentScanOptions(pre_buffer=False)
        source = datasets.load_dataset(
            "parquet", data_files=names, split="train", streaming=True, fragment_scan_options=scan
        )
        return parquet(files, path.name), _undecoded(source, datasets)


def _hub(name: str, split: str, download: bool) -> tuple[Table, Any]:
    path, config = hub_name(name)
    with datasets_library(offline=not download and not Path(path).is_dir()) as datasets:
        try:
            found = datasets.load_dataset(path, config, streaming=True)
            source = _undecoded(of_split(found, split, name), datasets)
            features = source.features or source._resolve_features().features
            splits = source.info.splits or {}
            known = splits.get(str(source.split))
            count = known.num_examples if known is not None and known.num_examples else None
            if count is None:
                others = [column for column in features if column != "image"] or list(features)
                count = sum(1 for _ in source.select_columns(others[:1]))
        except DataError:
            raise
        except Exception as error:
            how = "check the name and the network" if download else "set data.download to fetch it"
            raise DataError(
                f"the hub's data set {name} cannot be had ({describe(error)}): {how}"
            ) from error
    content = f"{name} {config} {split} {count} {source.info.download_checksums}"
    table = Table(name, (Shard(count, _no_column),), features, lambda: content, None)
    return table, source


def _no_column(name: str) -> Any:
    raise AssertionError(f"a stream is not asked for a whole column ({name})")


def _undecoded(source: Any, datasets: Any) -> Any:
    """The stream with images as bytes: they are decoded here, and skipped where they are torn."""
    for name, feature in (source.features or {}).items():
        if isinstance(feature, datasets.Image):
            source = source.cast_column(name, datasets.Image(decode=False))
    return source


def _first(stream: Stream, how: Decoding) -> tuple[Tensor, Tensor]:
    """The first training images, and the first that are held out, decoded: uint8 (N, C, H, W)."""
    head: list[Pixels] = []
    held: list[Pixels] = []
    for raw in stream.images(None):
        if len(head) >= HEAD and (len(held) >= SHOWN or len(held) * 20 >= len(head)):
            break
        chosen, most = (held, SHOWN) if is_held_out(raw) else (head, HEAD)
        if raw is None or len(chosen) >= most:
            continue
        try:
            chosen.append(decode(raw, how))
        except Unreadable:
            continue
    if not head:
        raise DataError(f"{stream.table.name} holds no image that can be read")
    if len({p.shape for p in head + held}) > 1:
        raise DataError(
            f"{stream.table.name} holds images of different sizes: set the size that all are "
            "brought to, as with --data.size 64"
        )
    empty = np.empty((0, *head[0].shape), np.uint8)
    return torch.from_numpy(np.stack(head)), torch.from_numpy(np.stack(held) if held else empty)
