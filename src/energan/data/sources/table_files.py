"""Where tables come from: Parquet, Arrow, and data sets of the Hugging Face hub.

Parquet is read by row groups here and not by `datasets.load_dataset`, which would first write all
of it to disk once more, as Arrow without compression, and anew whenever a file's time changes.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import Any

from energan.core import DataError, NoTestPart, describe
from energan.data.images.checksums import cache_folder, content_of
from energan.data.sources.splits import SPLITS, no_test_part
from energan.data.sources.tree import scan
from energan.io.files import open_regular
from energan.io.memory import check_memory

ROWS_A_PART = 512
HUB = "hub:"


@dataclass(frozen=True)
class Shard:
    """Rows that are read together: a row group, or a slice of an Arrow table.

    column: name -> an Arrow array of its values.
    """

    count: int
    column: Callable[[str], Any]


@dataclass(frozen=True)
class Table:
    """A table's shards, how its columns are typed, and what tells its contents.

    features: of datasets, by column, where class names are kept too; None of one it has none for.
    """

    name: str
    shards: tuple[Shard, ...]
    features: Any
    content: Callable[[], str]
    beside: Path | None = None  # where paths in the table start from
    train: "Callable[[], Table] | None" = None  # of a test part, the training part's

    @cached_property
    def starts(self) -> list[int]:
        return [0, *accumulate(s.count for s in self.shards)]

    @property
    def count(self) -> int:
        return self.starts[-1]

    def values(self, name: str) -> list[Any]:
        """A whole column, for labels and attributes."""
        return [v for shard in self.shards for v in shard.column(name).to_pylist()]


def open_parquet(files: Sequence[Path], name: str) -> Table:
    """Parquet files as one table; nothing but their footers is read before it is asked for."""
    import pyarrow.parquet as pq

    shards: list[Shard] = []
    schema = None
    for file in files:
        try:
            with open_regular(file) as raw, pq.ParquetFile(raw) as opened:
                groups = [opened.metadata.row_group(i).num_rows
                          for i in range(opened.metadata.num_row_groups)]  # fmt: skip
                own = opened.schema_arrow
        except Exception as error:  # Arrow raises whatever it stumbles over
            raise DataError(
                f"{file} cannot be read as Parquet ({describe(error)}): download it again"
            ) from error
        twice = next((name for name in own.names if own.names.count(name) > 1), None)
        if twice is not None:
            raise DataError(
                f"{file} has two columns named {describe(twice)}: give them different names"
            )
        if schema is not None and own.names != schema.names:
            raise DataError(
                f"{file} has other columns than {files[0].name}: name the files of one data set "
                "only"
            )
        schema = schema or own
        shards += [Shard(n, _row_group(file, i, n)) for i, n in enumerate(groups) if n]

    def content() -> str:
        return content_of(files, [file.name for file in files])

    return Table(name, tuple(shards), _features(schema), content, files[0].parent)


def _row_group(file: Path, index: int, count: int) -> Callable[[str], Any]:
    def column(name: str) -> Any:
        import pyarrow.parquet as pq

        try:
            with pq.ParquetFile(file) as opened:
                size = opened.metadata.row_group(index).total_byte_size
                what = f"a row group of {file}"
                check_memory(size, what, "write it again with smaller row groups")
                found = opened.read_row_group(index, columns=[name])[name]
            if len(found) != count:
                raise OSError(f"it holds {len(found)} rows, but its header says {count}")
        except DataError:
            raise
        except Exception as error:
            raise DataError(
                f"{file} is damaged: its part {index} cannot be read ({describe(error)}); "
                "download it again"
            ) from error
        return found

    return column


def _features(schema: Any) -> Any:
    """Types of the columns; class names come from the note that the hub's files carry.

    A column of a type that `datasets` has no name for, as a map, has None.
    """
    with load_datasets() as datasets:
        read = datasets.Features.from_arrow_schema
        try:
            return read(schema)
        except Exception:  # a note of another version, or of anything; or a type that it lacks
            plain = schema.remove_metadata()
        found: dict[str, Any] = {}
        for i, name in enumerate(plain.names):
            try:
                found |= read(plain.empty_table().select([i]).schema)
            except Exception:
                found[name] = None
        return found


def open_arrow(path: Path, split: str, name: str) -> Table:
    """An Arrow file, or a folder that `datasets` saved to disk."""
    with load_datasets() as datasets:
        try:
            if not path.is_dir():
                open_regular(path).close()
                return _from_dataset(datasets.Dataset.from_file(str(path)), name)
            found = datasets.load_from_disk(str(path))
        except Exception as error:
            raise DataError(
                f"{path} cannot be read as Arrow data ({describe(error)}): save it again with "
                "datasets' save_to_disk"
            ) from error
    return _split_table(found, split, name)


def open_hub(name: str, split: str, download: bool) -> Table:
    """A data set of the hub by its name, owner/name or owner/name/config, or a local copy's folder.

    Without `download` only what was downloaded before is used, and the network is left alone.
    """
    path, config = split_hub_name(name)
    with load_datasets(offline=not download and not Path(path).is_dir()) as datasets:
        try:
            cache = str(cache_folder() / "hub")
            found = datasets.load_dataset(path, config, cache_dir=cache)
        except DataError:
            raise
        except Exception as error:
            how = (
                f"{describe(error)}; check the name and the network"
                if download
                else "it was not downloaded before; to download it: --data.download"
            )
            raise DataError(f"the hub's data set {name} cannot be loaded: {how}") from error
    return _split_table(found, split, name)


def split_hub_name(name: str) -> tuple[str, str | None]:
    """owner/name and, where there is one, its configuration."""
    if not Path(name).is_dir() and name.count("/") == 2:
        path, _, config = name.rpartition("/")
        return path, config
    return name, None


def pick_split(found: Any, split: str, name: str) -> Any:
    """The data set (or stream) of a split, of what may be a dictionary of them."""
    if not isinstance(found, dict):
        if split == "test":
            raise no_test_part(name)
        return found
    wanted = SPLITS["train"] if split == "train" else (*SPLITS["test"], *SPLITS["val"])
    for key in (*wanted, *(found if split == "train" and len(found) == 1 else ())):
        if key in found:
            return found[key]
    error = NoTestPart if split == "test" else DataError
    raise error(f"{name} has no part {split}; choose from {', '.join(found)}")


def _split_table(found: Any, split: str, name: str) -> Table:
    table = _from_dataset(pick_split(found, split, name), name)
    if split == "train" or not isinstance(found, dict) or not {*SPLITS["train"]} & set(found):
        return table
    return replace(table, train=lambda: _from_dataset(pick_split(found, "train", name), name))


def _from_dataset(found: Any, name: str) -> Table:
    found = found.flatten_indices() if found._indices is not None else found
    table, fingerprint = found.data, found._fingerprint

    def shard(start: int) -> Shard:
        count = min(ROWS_A_PART, len(found) - start)
        return Shard(count, lambda column: table.slice(start, count)[column])

    shards = tuple(shard(start) for start in range(0, len(found), ROWS_A_PART))
    return Table(name, shards, found.features, lambda: str(fingerprint))


@contextmanager
def load_datasets(offline: bool = True) -> Iterator[Any]:
    """The library, silent, and offline unless a download was asked for."""
    import datasets
    import huggingface_hub.constants as hub_constants

    before = datasets.config.HF_HUB_OFFLINE, hub_constants.HF_HUB_OFFLINE
    shown = datasets.are_progress_bars_disabled()
    if offline:
        datasets.config.HF_HUB_OFFLINE = hub_constants.HF_HUB_OFFLINE = True
        datasets.disable_progress_bars()
    try:
        yield datasets
    finally:
        datasets.config.HF_HUB_OFFLINE, hub_constants.HF_HUB_OFFLINE = before
        if not shown:
            datasets.enable_progress_bars()


_IN_NAMES = {
    key: re.compile(rf"(^|[-_./])({'|'.join(names)})([-_.]|$)", re.I)
    for key, names in SPLITS.items()
}


def open_parquet_part(folder: Path, files: Sequence[Path], split: str) -> Table | None:
    """The split's part of the Parquet files below `folder`; None if it has none."""
    chosen, train = (pick_parquet(folder, files, part) for part in (split, "train"))
    if not chosen:
        return None
    table = open_parquet(chosen, folder.name)
    if split == "train" or not train:
        return table
    return replace(table, train=lambda: open_parquet(train, folder.name))


def find_parquet(folder: Path, split: str) -> list[Path]:
    """The Parquet files of a split below `folder`."""
    return pick_parquet(folder, scan(folder).files(".parquet"), split)


def pick_parquet(folder: Path, files: Sequence[Path], split: str) -> list[Path]:
    """Of the Parquet files below `folder` those of a split: those whose names say so.

    Where no name says train, all are that do not say otherwise; where none says test, those of the
    validation part stand in.
    """
    names = {p: p.relative_to(folder).as_posix() for p in files}
    said = {key: [p for p in files if word.search(names[p])] for key, word in _IN_NAMES.items()}
    if split == "test":
        return said["test"] or said["val"]
    return said["train"] or [p for p in files if p not in said["test"] + said["val"]]
