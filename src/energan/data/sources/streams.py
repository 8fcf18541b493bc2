"""The rows of a table as a stream, for those that are never decoded as a whole."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from energan.core import DataError, describe
from energan.data.settings import DataSettings
from energan.data.sources.named import NAMED, folder_of
from energan.data.sources.splits import Split, no_test_part
from energan.data.sources.table_files import (
    HUB,
    Shard,
    Table,
    find_parquet,
    load_datasets,
    open_parquet,
    pick_split,
    split_hub_name,
)
from energan.data.sources.tables import image_bytes, image_column

BUFFER = 1000
"""Encoded images in the shuffle buffer."""


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


def open_table_stream(settings: DataSettings, split: Split) -> Stream:
    """Parquet files, a folder of them, or a hub data set.

    Raises DataError for what is none, and as `image_column` does.
    """
    table, source = _open_table(settings, split)
    return Stream(table, image_column(table, settings.image_column), source)


def _open_table(settings: DataSettings, split: Split) -> tuple[Table, Any]:
    """What the table is, and its rows as a stream."""
    name = settings.source.removeprefix(HUB)
    if name != settings.source:
        return _stream_hub(name, split, settings.download)
    folder = folder_of(name) if name in NAMED else None
    path = folder or Path(name).expanduser()
    one_file = path.suffix == ".parquet" and path.is_file()
    files = [path] if one_file else find_parquet(path, "train") if path.is_dir() else []
    if split == "test" and files:
        files = [] if one_file else find_parquet(path, "test")
        if not files:
            raise no_test_part(path)
    if not files:
        raise DataError(
            f"{settings.source} cannot be streamed: name a Parquet file or a folder of them, or "
            "set data.storage to cache"
        )
    with load_datasets() as datasets:
        import pyarrow.dataset

        names = {"train": [str(file) for file in files]}
        # not the whole file's columns beforehand, which is as much memory as the file is large
        scan = pyarrow.dataset.ParquetFragmentScanOptions(pre_buffer=False)
        source = datasets.load_dataset(
            "parquet", data_files=names, split="train", streaming=True, fragment_scan_options=scan
        )
        return open_parquet(files, path.name), _keep_encoded(source, datasets)


def _stream_hub(name: str, split: Split, download: bool) -> tuple[Table, Any]:
    path, config = split_hub_name(name)
    with load_datasets(offline=not download and not Path(path).is_dir()) as datasets:
        try:
            found = datasets.load_dataset(path, config, streaming=True)
            source = _keep_encoded(pick_split(found, split, name), datasets)
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
                f"the hub's data set {name} cannot be loaded ({describe(error)}): {how}"
            ) from error
    content = f"{name} {config} {split} {count} {source.info.download_checksums}"
    table = Table(name, (Shard(count, _no_column),), features, lambda: content, None)
    return table, source


def _no_column(name: str) -> Any:
    raise AssertionError(f"a stream is not asked for a whole column ({name})")


def _keep_encoded(source: Any, datasets: Any) -> Any:
    """The stream with images as bytes: they are decoded here, and skipped where they are torn."""
    for name, feature in (source.features or {}).items():
        if isinstance(feature, datasets.Image):
            source = source.cast_column(name, datasets.Image(decode=False))
    return source
