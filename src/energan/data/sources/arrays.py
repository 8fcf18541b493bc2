"""A user's own arrays, from .npy and .npz files. Nothing in them is ever unpickled."""

import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from energan.core import DataError
from energan.data.source import Source
from energan.data.sources.splits import fixed_order

EVENTS = ("x", "images", "data", "arr_0")
LABELS = ("y", "labels")
SHAPES = "(N, H, W), (N, H, W, C) or (N, C, H, W) with C 1 or 3 for images, (N, D) for points"
Array = NDArray[Any]


def read_arrays(path: Path) -> Source:
    """Images or points from `path`; a tenth is held out, chosen by a fixed shuffle.

    Images are uint8, or floats in [0, 1] or [-1, 1]; points are floats. Of a .npz the events are
    `x`, `images`, `data`, `arr_0` or the only array, the labels `y` or `labels`.

    Raises DataError, naming the file and the remedy, for a file that is torn, and for an array that
    is empty, not finite, of objects, or of a shape or type that is neither images nor points.
    """
    x, y = _load(path)
    if x.dtype.kind not in "uf" or (x.dtype.kind == "u" and x.dtype != np.uint8):
        raise DataError(
            f"{path} holds {x.dtype} values: save images as uint8 (0 to 255), points as float32"
        )
    if x.size == 0:
        raise DataError(f"{path} is empty: its array has shape {x.shape}")
    events = _points(x, path) if x.ndim == 2 else to_images(x, path)
    low, high = float_range(events, path) if events.ndim == 4 else (None, None)
    return Source(
        path.name, events, None if y is None else _labels(y, len(x), path),
        held_out=len(x) // 10, order=fixed_order(len(x)), low=low, high=high,
    )  # fmt: skip


def _load(path: Path) -> tuple[Array, Array | None]:
    try:
        with path.open("rb") as file:  # np.load itself leaves a torn .npz open
            loaded = np.load(file, allow_pickle=False)
            return (loaded, None) if isinstance(loaded, np.ndarray) else _pick_arrays(loaded, path)
    except (OSError, EOFError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        reason = " ".join(str(error).split())
        raise DataError(
            f"{path} cannot be read as arrays of numbers ({reason}): save it again with numpy.save "
            "or numpy.savez, without objects"
        ) from error


def _pick_arrays(loaded: np.lib.npyio.NpzFile, path: Path) -> tuple[Array, Array | None]:
    """The events and labels of a .npz."""
    labels = next((k for k in LABELS if k in loaded.files), None)
    others = [k for k in loaded.files if k != labels]
    chosen = next((k for k in EVENTS if k in others), None)
    if chosen is None and len(others) == 1:
        chosen = others[0]
    if chosen is None:
        raise DataError(
            f"{path} holds {', '.join(others) or 'no events'}: name the array of events x, images "
            "or data, and that of labels y or labels"
        )
    return loaded[chosen], None if labels is None else loaded[labels]


def _points(x: Array, path: Path) -> Tensor:
    if x.dtype == np.uint8:
        raise DataError(
            f"{path} holds uint8 rows of shape {x.shape}: reshape images to (N, H, W), or save "
            "points as float32"
        )
    return _finite(x, path)


def to_images(x: Array, path: Path) -> Tensor:
    """(N, C, H, W) of whichever layout x has. Raises DataError if it has none of images."""
    if x.ndim == 3:
        x = x[:, None]
    elif x.ndim == 4:
        first, last = x.shape[1] in (1, 3), x.shape[3] in (1, 3)
        if first == last:
            raise DataError(
                f"{path} has shape {x.shape}, where "
                + ("two axes" if first else "no axis")
                + " could be the channels: save images with 1 or 3 channels, first or last"
            )
        x = x if first else x.transpose(0, 3, 1, 2)
    else:
        raise DataError(f"{path} has shape {x.shape}: save {SHAPES}")
    if x.dtype == np.uint8:
        return torch.from_numpy(np.ascontiguousarray(x))
    return _finite(x, path)


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


def float_range(images: Tensor, path: Path) -> tuple[float | None, float | None]:
    if images.dtype == torch.uint8:
        return None, None
    low, high = images.min().item(), images.max().item()
    if low < -1 or high > 1:
        raise DataError(
            f"{path} holds float images from {low:g} to {high:g}: scale them to [0, 1] or [-1, 1], "
            "or save them as uint8"
        )
    return (-1.0 if low < 0 else 0.0), 1.0  # nothing negative in all the images: they are [0, 1]


def _labels(y: Array, count: int, path: Path) -> Tensor:
    if y.shape != (count,) or y.dtype.kind not in "iub":
        raise DataError(
            f"{path}: the labels are {y.dtype} of shape {y.shape}; {count} events need whole "
            f"numbers of shape ({count},)"
        )
    if y.min() < 0:
        raise DataError(f"{path}: label {y.min()} is negative; number the classes from 0")
    return torch.from_numpy(y.astype(np.int64))
