"""HDF5: a data set of images, of which some rows are read at a time."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from energan.core import DataError
from energan.data.images.formats.optional import import_optional
from energan.data.settings import DataSettings
from energan.data.source import MOST_CLASSES
from energan.data.sources.arrays.arrays import LABELS, bands_axis
from energan.data.sources.containers.container import Array, Container
from energan.io.files import open_regular
from energan.io.text import printable

SUFFIXES = (".h5", ".hdf5", ".hdf")
AT_ONCE, MOST_AT_ONCE = 2**25, 256
"""Bytes, and images, read at once."""
NAMED = 8


def open_hdf5(path: Path, settings: DataSettings) -> Container:
    """The data set `settings.image_column`, or the only one that can hold images.

    Raises DataError where there is none or several, and whatever the library stumbles over.
    """
    with _open(path) as file:
        found = _data_sets(file)
        images = _pick(found, settings.image_column, path)
        data = found[images]
        if data.external or data.is_virtual:
            raise DataError(
                f"{path}: {images} is stored in other files, which are not read: copy it into "
                "this file"
            )
        axis = bands_axis(data.shape, path)
        labels = _labels(found, settings.label_column, len(data), path)
        count, size = len(data), max(1, data.nbytes // len(data))
        stored = data.chunks[0] if data.chunks else 1

    def read(first: int, number: int) -> list[Array | None]:
        with _open(path) as file:
            values = file[images][first : first + number]
        values = values.astype(np.uint8) * 255 if values.dtype.kind == "b" else values
        values = values.astype(values.dtype.newbyteorder("="), copy=False)
        return list(values[..., None] if axis is None else np.moveaxis(values, axis, -1))

    chunk = min(MOST_AT_ONCE, max(1, AT_ONCE // size))
    if rows := chunk // stored * stored:  # no stored block is unpacked twice
        chunk = rows
    return Container(count, read, labels, chunk)


def _open(path: Path) -> Any:
    open_regular(path).close()  # a pipe would be waited for
    return import_optional("h5py", "hdf5", "HDF5").File(path, "r")


def _data_sets(file: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}

    def visit(name: str, item: Any) -> None:
        if hasattr(item, "shape") and item.shape and item.size and item.dtype.kind in "buif":
            found[name] = item

    file.visititems(visit)
    return found


def _pick(found: dict[str, Any], wanted: str | None, path: Path) -> str:
    fit = [name for name, data in found.items() if data.ndim in (3, 4)]
    if wanted is not None:
        if wanted.strip("/") in fit:
            return wanted.strip("/")
        raise DataError(
            f"data.image_column: {path} has no images {wanted!r}; it has {_listed(found)}"
        )
    if len(fit) == 1:
        return fit[0]
    if not fit:
        raise DataError(
            f"{path} holds {_listed(found)}: store images as a numeric data set of shape (N, H, "
            "W), (N, H, W, C) or (N, C, H, W)"
        )
    some = {name: found[name] for name in fit}
    raise DataError(f"{path} holds {_listed(some)}: choose the images with --data.image-column")


def _listed(found: dict[str, Any]) -> str:
    told = [f"{printable(name)} {data.shape}" for name, data in list(found.items())[:NAMED]]
    more = f" and {len(found) - NAMED:,} more" if len(found) > NAMED else ""
    return ", ".join(told) + more if told else "no numeric data set"


def _labels(found: dict[str, Any], wanted: str | None, count: int, path: Path) -> Tensor | None:
    name = next((name for name in LABELS if name in found), None)
    if wanted is not None and wanted.strip("/") not in found:
        raise DataError(f"data.label_column: {path} has no {wanted!r}; it has {_listed(found)}")
    name = name if wanted is None else wanted.strip("/")
    if name is None or (wanted is None and found[name].size != count):
        return None
    data = found[name]
    if data.size != count or data.dtype.kind not in "iub":
        raise DataError(
            f"{path}: the labels {printable(name)} are {data.dtype} of shape {data.shape}; "
            f"{count} images need integers of shape ({count},)"
        )
    values = np.asarray(data).reshape(-1)
    low, high = int(values.min()), int(values.max())
    if low < 0 or high >= MOST_CLASSES:
        raise DataError(
            f"{path}: labels go from {low} to {high}; number the classes from 0, at most "
            f"{MOST_CLASSES:,}"
        )
    return torch.from_numpy(values.astype(np.int64))
