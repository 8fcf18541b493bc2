"""A user's own arrays, from .npy and .npz files. Nothing in them is ever unpickled."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from energan.core import DataError
from energan.data.images.values import MOST_BANDS
from energan.data.source import MOST_CLASSES, Source
from energan.data.sources.arrays.numpy_files import Array, load_arrays
from energan.data.sources.splits import fixed_order

EVENTS = ("x", "images", "data", "arr_0")
LABELS = ("y", "labels")
SHAPES = (
    f"(N, H, W), (N, H, W, C) or (N, C, H, W) with C up to {MOST_BANDS} for images, (N, D) for "
    "points"
)
BYTES = 4
"""Largest integer types that images are read from; larger ones are labels, or a mistake."""


def read_arrays(path: Path) -> Source:
    """Images or points from `path`; a tenth is held out, chosen by a fixed shuffle.

    Images are integers of up to 32 bits, or floats; points are floats. Of a .npz the events are
    `x`, `images`, `data`, `arr_0` or the only array, the labels `y` or `labels`.

    Raises DataError, naming the file and the remedy, for a file that is torn, and for an array that
    is empty, not finite, of objects, or of a shape or type that is neither images nor points.
    """
    return from_arrays(path, *_load(path))


def from_arrays(path: Path, x: Array, y: Array | None = None) -> Source:
    """The same of arrays that are there already. path: what messages call them."""
    integers = x.dtype.kind in "ui" and x.dtype.itemsize <= BYTES and x.ndim > 2
    if x.dtype.kind != "f" and not integers and x.dtype != np.uint8:
        raise DataError(
            f"{path} holds {x.dtype} values: save images as uint8 (0 to 255), uint16 or int32, "
            "points as float32"
        )
    if x.size == 0:
        raise DataError(f"{path} is empty: its array has shape {x.shape}")
    events = _points(x, path) if x.ndim == 2 else to_images(x, path)
    low, high = float_range(events) if events.ndim == 4 else (None, None)
    return Source(
        path.name, events, None if y is None else _labels(y, len(x), path),
        held_out=len(x) // 10, order=fixed_order(len(x)), low=low, high=high,
    )  # fmt: skip


def _load(path: Path) -> tuple[Array, Array | None]:
    """The events and labels of a file."""

    def pick(names: Sequence[str]) -> list[str]:
        if list(names) == [""]:
            return [""]
        labels = next((k for k in LABELS if k in names), None)
        others = [k for k in names if k != labels]
        chosen = next((k for k in EVENTS if k in others), None)
        if chosen is None and len(others) == 1:
            chosen = others[0]
        if chosen is None:
            raise DataError(
                f"{path} holds {', '.join(others) or 'no arrays'}: name the array of examples x, "
                "images or data, and the array of labels y or labels"
            )
        return [chosen] if labels is None else [chosen, labels]

    events, *labels = load_arrays(path, pick)
    return events, labels[0] if labels else None


def _points(x: Array, path: Path) -> Tensor:
    if x.dtype == np.uint8:
        raise DataError(
            f"{path} holds uint8 rows of shape {x.shape}: reshape images to (N, H, W), or save "
            "points as float32"
        )
    return _finite(x, path)


def to_images(x: Array, path: Path) -> Tensor:
    """(N, C, H, W) of whichever layout x has. Raises DataError if it has none of images."""
    axis = bands_axis(x.shape, path)
    x = x[:, None] if axis is None else x if axis == 1 else x.transpose(0, 3, 1, 2)
    if x.dtype.kind in "ui":
        return torch.from_numpy(np.ascontiguousarray(x, x.dtype.newbyteorder("=")))
    return _finite(x, path)


def bands_axis(shape: tuple[int, ...], path: Path) -> int | None:
    """Which axis of an array of images is that of bands, 1 or 3; None of (N, H, W).

    Raises DataError for a shape that is none of images.
    """
    if len(shape) == 3:
        _check_several(shape, path)
        return None
    if len(shape) != 4:
        raise DataError(f"{path} has shape {shape}: save {SHAPES}")
    first, last = (shape[axis] in (1, 3) for axis in (1, 3))
    if not first and not last:
        first, last = (shape[axis] <= MOST_BANDS for axis in (1, 3))
    if first == last:
        raise DataError(
            f"{path} has shape {shape}, where "
            + ("two axes" if first else "no axis")
            + " could be the channels: save images with 1 or 3 channels, first or last, or with "
            f"at most {MOST_BANDS} channels and larger sides"
        )
    return 1 if first else 3


def _check_several(shape: tuple[int, ...], path: Path) -> None:
    """Raise DataError for (H, W, C) and (C, H, W), which are one image."""
    first, second, last = shape
    channels_last = (last <= 4 and min(first, second) >= 8) or (last <= 16 and second >= 32 * last)
    if channels_last or (first in (3, 4) and min(second, last) >= 8):
        count = f"{first} grey images of {last}x{second}"
        raise DataError(
            f"{path} has shape {shape}, which may be one colour image, or {count}: save one "
            f"image as {(1, *shape)}, several as {(*shape, 1)}"
        )


def _finite(x: Array, path: Path) -> Tensor:
    with np.errstate(over="ignore"):  # a number too large for float32 becomes inf, and is refused
        # "=": a file may hold the other byte order, which torch does not take.
        values = np.ascontiguousarray(x, dtype=np.dtype("=f4"))
    bad = int(values.size - np.isfinite(values).sum())
    if bad:
        raise DataError(
            f"{path} holds {bad} values that are NaN or infinite as float32: remove those rows"
        )
    return torch.from_numpy(values)


def float_range(images: Tensor) -> tuple[float | None, float | None]:
    """[0, 1] or [-1, 1] where floats are in it; None, None for others, which are measured."""
    if not images.is_floating_point():
        return None, None
    low, high = images.min().item(), images.max().item()
    if low < -1 or high > 1:
        return None, None
    return (-1.0 if low < 0 else 0.0), 1.0  # nothing negative in all the images: they are [0, 1]


def _labels(y: Array, count: int, path: Path) -> Tensor:
    if y.shape != (count,) or y.dtype.kind not in "iub":
        raise DataError(
            f"{path}: the labels are {y.dtype} of shape {y.shape}; {count} examples need "
            f"integers of shape ({count},)"
        )
    low, high = int(y.min()), int(y.max())
    if low < -1:
        raise DataError(
            f"{path}: label {low} is negative; number the classes from 0, with -1 for no label"
        )
    if high >= MOST_CLASSES:
        raise DataError(
            f"{path}: label {high} is too large; number the classes from 0 without gaps, at most "
            f"{MOST_CLASSES:,}"
        )
    return torch.from_numpy(y.astype(np.int64))
