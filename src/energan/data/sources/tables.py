"""The images of a table, its labels and attributes: which of its columns they are."""

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from energan.core import DataError, describe
from energan.data.facts import Fact
from energan.data.images.checksums import content_of
from energan.data.settings import DataSettings
from energan.data.source import MOST_CLASSES, Part, Source
from energan.data.sources.folders.images import read_bytes
from energan.data.sources.splits import (
    about_both_parts,
    fixed_order,
    group_order,
    held_out,
    number_groups,
)
from energan.data.sources.table_files import Table
from energan.io.memory import check_memory

IMAGES = ("image", "img", "images", "picture", "jpg", "png", "webp", "jpeg", "bytes")
LABELS = ("label", "labels", "class", "classes", "category", "target", "y", "fine_label", "cls")
ROW = 100
"""Least number of bytes of memory that a row takes before its image is decoded."""


def from_table(table: Table, settings: DataSettings, split: str = "train") -> Source:
    """The images of a table, with its labels, attributes and groups.

    The image column is the one of images or of {bytes, path}, or `data.image_column`; the label
    column is one of class labels, or of a usual name, or `data.label_column`; attributes are all
    columns of truth values, or `data.attributes`; groups are of the column `data.groups`. Raises
    DataError for a table without images.
    """
    if not table.count:
        raise DataError(f"{table.name} is empty: it has no rows")
    check_memory(ROW * table.count, f"a list of {table.count:,} rows", "name fewer files")
    image = image_column(table, settings.image_column)
    label = _label_column(table, settings.label_column, image)
    labels, names, why = _labels(table, label, settings.label_column)
    chosen = _attributes(table, settings.attributes)
    attributes = None
    if chosen:
        attributes = torch.stack([_truths(table, column) for column in chosen], 1)
    groups, about_groups = _groups(table, settings.groups)
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
        order=fixed_order(table.count) if groups is None else group_order(groups),
        groups=groups,
        facts=_facts(table, image, label, names, why, chosen, settings.groups) + about_groups,
    )


def _facts(
    table: Table,
    image: str,
    label: str | None,
    names: Sequence[str] | None,
    why: str,
    attributes: Sequence[str],
    groups: str | None,
) -> tuple[Fact, ...]:
    """Which columns are used, and which are not."""
    facts = [Fact("images", f"column {describe(image)} of {table.count:,} rows")]
    if names is not None:
        facts.append(Fact("labels", f"column {describe(label)}, {len(names)} classes"))
    elif why:
        facts.append(Fact("labels", f"column {describe(label)} is left out: {why}", warning=True))
    if attributes:
        facts.append(Fact("attributes", f"columns {describe(', '.join(attributes))}"))
    rest = [name for name in table.features if name not in (image, label, groups, *attributes)]
    if rest:
        facts.append(Fact("left out", f"columns {describe(', '.join(rest))}"))
    return tuple(facts)


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
        "image file as bytes, or name its column with data.image_column"
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
    table: Table, column: str | None, asked: str | None
) -> tuple[Tensor | None, tuple[str, ...] | None, str]:
    """Labels, the classes' names, and why there are none of a column that was only guessed.

    Raises DataError if that column was asked for, or has labels that its names of classes lack.
    """
    if column is None:
        return None, None, ""
    try:
        labels, names = _classes(table, column)
        return labels, names, "" if labels is not None else "none of its labels is known"
    except _NoClasses as error:
        if asked is not None:
            raise
        return None, None, str(error)


class _NoClasses(DataError):
    """A column that does not hold a class for each row."""


def _classes(table: Table, column: str) -> tuple[Tensor | None, tuple[str, ...] | None]:
    values = table.values(column)
    feature = table.features[column]
    if _kind(feature) == "label":
        if all(v is None or v < 0 for v in values):
            return None, None  # the hub's mark of a test set whose labels are kept secret
        known = tuple(feature.names)
        highest = max(v for v in values if v is not None)
        if highest >= len(known):
            raise DataError(
                f"{table.name}: the label {column} is {highest} in some rows, but there are "
                f"{len(known)} class names, for 0 to {len(known) - 1}: correct the labels, or "
                "add names"
            )
    else:
        known = None
    if not all(v is None or isinstance(v, (str, int)) for v in values):
        raise _NoClasses(
            f"data.label_column: {column} of {table.name} holds neither integers nor texts, so "
            "it cannot hold classes: name another column"
        )
    missing = [i for i, v in enumerate(values) if v is None or (not isinstance(v, str) and v < 0)]
    if missing:
        raise _NoClasses(
            f"{table.name}: the label {column} is missing in {len(missing)} rows (the first: row "
            f"{missing[0]}); remove them, or name another column with data.label_column"
        )
    if known is not None:
        return torch.tensor(values), known
    if len({isinstance(v, str) for v in values}) > 1:
        raise _NoClasses(
            f"{table.name}: the label {column} is a text in some rows and a number in others; "
            "use one kind, or name another column with data.label_column"
        )
    classes = sorted(set(values))
    if table.train is not None and column in table.train().features:
        kind = type(classes[0])
        first = sorted({v for v in table.train().values(column) if isinstance(v, kind)})
        if set(first) & set(classes):  # classes have the numbers that they have in training
            classes = [*first, *(c for c in classes if c not in first)]
    if len(classes) > MOST_CLASSES:
        raise _NoClasses(
            f"data.label_column: {column} of {table.name} holds {len(classes)} different values, "
            "too many for classes: name another column"
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
    except (TypeError, ValueError, OverflowError):
        raise DataError(
            f"data.attributes: {column} of {table.name} holds neither truth values nor numbers "
            "that are positive for yes: name other columns"
        ) from None
    return torch.from_numpy((values > 0).astype(np.uint8))


def _groups(table: Table, column: str | None) -> tuple[Tensor | None, tuple[Fact, ...]]:
    """The group of each image, by a column of numbers or texts, and lines about them."""
    if column is None:
        return None, ()
    _known(table, column, "data.groups")
    names = table.values(column)
    if not all(name is None or isinstance(name, (str, int)) for name in names):
        raise DataError(
            f"data.groups: {column} of {table.name} holds neither integers nor texts, so it names "
            "no groups: name another column"
        )
    if all(name is None for name in names):
        raise DataError(
            f"data.groups: {column} of {table.name} is empty in every row: name another column"
        )
    numbers, fact = number_groups(names, f"column {describe(column)}")
    trained = None if table.train is None else table.train()
    if trained is None or column not in trained.features:
        return numbers, (fact,)
    return numbers, (fact, *about_both_parts(names, trained.values(column)))


def _known(table: Table, column: str, setting: str) -> None:
    if column not in table.features:
        raise DataError(
            f"{setting}: {table.name} has no column {column!r}; choose from "
            f"{', '.join(table.features)}"
        )


def _part(table: Table, index: int, image: str) -> Part:
    shard = table.shards[index]

    def read() -> list[bytes | None]:
        return [image_bytes(value, table.beside) for value in shard.column(image).to_pylist()]

    return Part(table.starts[index], shard.count, read)


def image_bytes(value: Any, beside: Path | None) -> bytes | None:
    """The encoded image in a cell: bytes, {bytes, path}, or a path; None if there is none."""
    if isinstance(value, dict):
        raw = value.get("bytes")
        if raw is not None:
            return raw if isinstance(raw, bytes) else None
        value = value.get("path")
    if isinstance(value, str):  # a path instead of the bytes
        return read_bytes((beside or Path()) / value)
    return value if isinstance(value, bytes) else None
