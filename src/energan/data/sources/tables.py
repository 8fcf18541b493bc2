"""Tables with a column of images: Parquet, Arrow, and data sets of the Hugging Face hub."""

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from energan.core import DataError, NoTestPart, describe
from energan.data.images.checksums import cache_folder, content_of
from energan.data.settings import DataSettings
from energan.data.source import Part, Source
from energan.data.sources.splits import SPLITS, fixed_order, held_out

IMAGES = ("image", "img", "images", "picture", "jpg", "png", "webp", "jpeg", "bytes")
LABELS = ("label", "labels", "class", "classes", "category", "target", "y", "fine_label", "cls")
ROWS_A_PART, MOST_CLASSES = 512, 100_000
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

    features: datasets.Features of the schema, where class names are kept too.
    """

    name: str
    shards: tuple[Shard, ...]
    features: Any
    content: Callable[[], str]
    beside: Path | None = None  # where paths in the table start from

    @cached_property
    def starts(self) -> list[int]:
        return [0, *accumulate(s.count for s in self.shards)]

    @property
    def count(self) -> int:
        return self.starts[-1]

    def values(self, name: str) -> list[Any]:
        """A whole column, for labels and attributes."""
        return [v for shard in self.shards for v in shard.column(name).to_pylist()]


def from_table(table: Table, settings: DataSettings, split: str = "train") -> Source:
    """The images of a table, with its labels and attributes.

    The image column is the one of images or of {bytes, path}, or `data.image_column`; the label
    column is one of class labels, or of a usual name, or `data.label_column`; attributes are all
    columns of truth values, or `data.attributes`. Raises DataError for a table without images.
    """
    if not table.count:
        raise DataError(f"{table.name} is empty: it has no rows")
    image = image_column(table, settings.image_column)
    label = _label_column(table, settings.label_column, image)
    labels, names = (None, None) if label is None else _labels(table, label, settings.label_column)
    chosen = _attributes(table, settings.attributes)
    attributes = None
    if chosen:
        attributes = torch.stack([_truths(table, column) for column in chosen], 1)
    return Source(
        table.name,
        parts=tuple(_part(table, i, image) for i in range(len(table.shards))),
        where=lambda row: f"{table.name} row {row}",
        content=lambda: _content(table, image),
        labels=labels,
        class_names=names,
        attributes=attributes,
        attribute_names=chosen or None,
        held_out=held_out(table.count) if split == "train" else 0,
        order=fixed_order(table.count),
    )


def _content(table: Table, image: str) -> str:
    """What the table holds and, where its cells are paths, what these files hold."""
    told = f"{table.content()} {image}"
    first = table.shards[0].column(image).slice(0, 1).to_pylist()[0]
    if isinstance(first, str) or (isinstance(first, dict) and first.get("bytes") is None):
        cells = [v if isinstance(v, str) else (v or {}).get("path") for v in table.values(image)]
        names = [name for name in cells if name]
        told += content_of([(table.beside or Path()) / name for name in names], names)
    return hashlib.sha256(told.encode()).hexdigest()


# --- columns --------------------------------------------------------------------------------------


def image_column(table: Table, asked: str | None) -> str:
    """The column of images. Raises DataError if there is none, or not the one asked for."""
    if asked is not None:
        _known(table, asked, "data.image_column")
    kinds = {name: _kind(feature) for name, feature in table.features.items()}
    if asked is not None:
        if kinds[asked] not in ("image", "binary", "text"):  # a text may be the path of a file
            raise DataError(
                f"data.image_column: {asked} of {table.name} holds {kinds[asked]} values, not the "
                "bytes of image files"
            )
        return asked
    sure = [name for name, kind in kinds.items() if kind == "image"]
    likely = [name for name, kind in kinds.items() if kind == "binary"]
    for found in (sure, likely):
        named = [name for name in found if name.lower() in IMAGES] or found
        if named:
            return str(named[0])
    raise DataError(
        f"{table.name} has no column of images (its columns: {', '.join(kinds)}): store each "
        "image's file as bytes, or name its column with data.image_column"
    )


def _kind(feature: Any) -> str:
    """image, label, bool, int, text, binary, or other."""
    kind = type(feature).__name__
    if kind == "Image" or (isinstance(feature, dict) and {"bytes", "path"} >= set(feature)):
        return "image"
    if kind == "ClassLabel":
        return "label"
    dtype = str(getattr(feature, "dtype", ""))
    if dtype in ("bool", "binary", "large_binary", "string", "large_string"):
        return {"large_binary": "binary"}.get(dtype, "text" if "string" in dtype else dtype)
    return "int" if re.match(r"u?int\d+$", dtype) else "other"


def _label_column(table: Table, asked: str | None, image: str) -> str | None:
    if asked is not None:
        _known(table, asked, "data.label_column")
        return asked
    kinds = {name: _kind(f) for name, f in table.features.items() if name != image}
    sure = [name for name, kind in kinds.items() if kind == "label"]
    likely = [n for n, kind in kinds.items() if n.lower() in LABELS and kind in ("int", "text")]
    return next(iter(sure + likely), None)


def _labels(
    table: Table, column: str, asked: str | None
) -> tuple[Tensor | None, tuple[str, ...] | None]:
    """Labels and the classes' names; none if a column that was only guessed does not hold any.

    Raises DataError if that column was asked for.
    """
    try:
        return _classes(table, column)
    except DataError:
        if asked is not None:
            raise
        return None, None


def _classes(table: Table, column: str) -> tuple[Tensor | None, tuple[str, ...] | None]:
    values = table.values(column)
    feature = table.features[column]
    if _kind(feature) == "label":
        if all(v is None or v < 0 for v in values):
            return None, None  # the hub's mark of a test set whose labels are kept secret
        known = tuple(feature.names)
    else:
        known = None
    if not all(v is None or isinstance(v, (str, int)) for v in values):
        raise DataError(
            f"data.label_column: {column} of {table.name} holds neither whole numbers nor texts, "
            "so it tells no classes"
        )
    missing = [i for i, v in enumerate(values) if v is None or (not isinstance(v, str) and v < 0)]
    if missing:
        raise DataError(
            f"{table.name}: the label {column} is missing in {len(missing)} rows (the first: row "
            f"{missing[0]}); remove them, or name another column with data.label_column"
        )
    if known is not None:
        return torch.tensor(values), known
    if len({isinstance(v, str) for v in values}) > 1:
        raise DataError(
            f"{table.name}: the label {column} is a text in some rows and a number in others; "
            "write one of them, or name another column with data.label_column"
        )
    classes = sorted(set(values))
    if len(classes) > MOST_CLASSES:
        raise DataError(
            f"data.label_column: {column} of {table.name} holds {len(classes)} different values: "
            "these are no classes"
        )
    number = {c: i for i, c in enumerate(classes)}
    return torch.tensor([number[v] for v in values]), tuple(map(str, classes))


def _attributes(table: Table, asked: Sequence[str]) -> tuple[str, ...]:
    for name in asked:
        _known(table, name, "data.attributes")
    return tuple(asked) or tuple(n for n, f in table.features.items() if _kind(f) == "bool")


def _truths(table: Table, column: str) -> Tensor:
    """1 where a column is true or positive, 0 where it is not or missing: uint8 (N,)."""
    try:
        values = np.array(table.values(column), dtype=np.float64)  # missing ones become NaN
    except (TypeError, ValueError):
        raise DataError(
            f"data.attributes: {column} of {table.name} holds no truth values, nor numbers that "
            "are positive for yes"
        ) from None
    return torch.from_numpy((values > 0).astype(np.uint8))


def _known(table: Table, column: str, setting: str) -> None:
    if column not in table.features:
        raise DataError(
            f"{setting}: {table.name} has no column {column!r}; it has {', '.join(table.features)}"
        )


def _part(table: Table, index: int, image: str) -> Part:
    shard = table.shards[index]

    def read() -> list[bytes | None]:
        return [image_bytes(value, table.beside) for value in shard.column(image).to_pylist()]

    return Part(table.starts[index], shard.count, read)


def image_bytes(value: Any, beside: Path | None) -> bytes | None:
    """The encoded image in a cell: bytes, {bytes, path}, or a path; None if there is none."""
    if isinstance(value, dict):
        raw, path = value.get("bytes"), value.get("path")
        if raw is not None or path is None:
            return bytes(raw) if raw is not None else None
        value = path
    if isinstance(value, str):  # a path instead of the bytes
        try:
            return ((beside or Path()) / value).read_bytes()
        except OSError:
            return None
    return value if isinstance(value, bytes) else None


# --- where tables come from -----------------------------------------------------------------------


def parquet(files: Sequence[Path], name: str) -> Table:
    """Parquet files as one table; nothing but their footers is read before it is asked for."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    shards: list[Shard] = []
    schema = None
    for file in files:
        try:
            with pq.ParquetFile(file) as opened:
                groups = [opened.metadata.row_group(i).num_rows
                          for i in range(opened.metadata.num_row_groups)]  # fmt: skip
                own = opened.schema_arrow
        except (OSError, pa.ArrowException) as error:
            raise DataError(
                f"{file} cannot be read as Parquet ({describe(error)}): fetch it again"
            ) from error
        if schema is not None and own.names != schema.names:
            raise DataError(
                f"{file} has other columns than {files[0].name}: name one set's files only"
            )
        schema = schema or own
        shards += [Shard(n, _row_group(file, i)) for i, n in enumerate(groups) if n]

    def content() -> str:
        return content_of(files, [file.name for file in files])

    return Table(name, tuple(shards), _features(schema), content, files[0].parent)


def _row_group(file: Path, index: int) -> Callable[[str], Any]:
    def column(name: str) -> Any:
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            with pq.ParquetFile(file) as opened:
                return opened.read_row_group(index, columns=[name])[name]
        except (OSError, pa.ArrowException) as error:
            raise DataError(
                f"{file} is torn: its part {index} cannot be read ({describe(error)}); fetch it "
                "again"
            ) from error

    return column


def _features(schema: Any) -> Any:
    """Types of the columns; class names come from the note that the hub's files carry."""
    with datasets_library() as datasets:
        try:
            return datasets.Features.from_arrow_schema(schema)
        except (ValueError, KeyError, TypeError, json.JSONDecodeError):  # a note of another version
            return datasets.Features.from_arrow_schema(schema.remove_metadata())


def arrow(path: Path, split: str, name: str) -> Table:
    """An Arrow file, or a folder that `datasets` saved to disk."""
    with datasets_library() as datasets:
        try:
            if path.is_file():
                return _of_dataset(datasets.Dataset.from_file(str(path)), name)
            found = datasets.load_from_disk(str(path))
        except Exception as error:
            raise DataError(
                f"{path} cannot be read as Arrow data ({describe(error)}): save it again with "
                "datasets' save_to_disk"
            ) from error
    return _of_dataset(of_split(found, split, name), name)


def hub(name: str, split: str, download: bool) -> Table:
    """A data set of the hub by its name, owner/name or owner/name/config, or a local copy's folder.

    Without `download` only what was downloaded before is used, and the network is left alone.
    """
    path, config = hub_name(name)
    with datasets_library(offline=not download and not Path(path).is_dir()) as datasets:
        try:
            cache = str(cache_folder() / "hub")
            found = datasets.load_dataset(path, config, cache_dir=cache)
        except DataError:
            raise
        except Exception as error:
            how = (
                f"{describe(error)}; check the name and the network"
                if download
                else "it was not downloaded before; --data.download lets energan fetch it"
            )
            raise DataError(f"the hub's data set {name} cannot be had: {how}") from error
    return _of_dataset(of_split(found, split, name), name)


def hub_name(name: str) -> tuple[str, str | None]:
    """owner/name and, where there is one, its configuration."""
    if not Path(name).is_dir() and name.count("/") == 2:
        path, _, config = name.rpartition("/")
        return path, config
    return name, None


def of_split(found: Any, split: str, name: str) -> Any:
    """The data set (or stream) of a split, of what may be a dictionary of them."""
    if not isinstance(found, dict):
        if split == "test":
            raise NoTestPart(f"{name} has no test set of its own: use the held-out part")
        return found
    wanted = SPLITS["train"] if split == "train" else ("test", *reversed(SPLITS["val"]))
    for key in (*wanted, *(found if split == "train" and len(found) == 1 else ())):
        if key in found:
            return found[key]
    error = NoTestPart if split == "test" else DataError
    raise error(f"{name} has no {split} part; it has {', '.join(found)}")


def _of_dataset(found: Any, name: str) -> Table:
    found = found.flatten_indices() if found._indices is not None else found
    table, fingerprint = found.data, found._fingerprint

    def shard(start: int) -> Shard:
        count = min(ROWS_A_PART, len(found) - start)
        return Shard(count, lambda column: table.slice(start, count)[column])

    shards = tuple(shard(start) for start in range(0, len(found), ROWS_A_PART))
    return Table(name, shards, found.features, lambda: str(fingerprint))


@contextmanager
def datasets_library(offline: bool = True) -> Iterator[Any]:
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


def parquet_files(folder: Path, split: str) -> list[Path]:
    """The Parquet files of a split below `folder`: those whose names say so.

    Where no name says train, all are that do not say otherwise; where none says test, those of the
    validation part stand in.
    """
    files = sorted(p for p in folder.rglob("*.parquet") if not p.name.startswith("."))
    names = {p: p.relative_to(folder).as_posix() for p in files}
    said = {key: [p for p in files if found.search(names[p])] for key, found in _IN_NAMES.items()}
    if split == "test":
        return said["test"] or said["val"]
    return said["train"] or [p for p in files if p not in said["test"] + said["val"]]
