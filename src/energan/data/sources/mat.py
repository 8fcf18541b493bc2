"""MATLAB files: the Toronto Face Database, and faces stored as columns of pixels."""

from dataclasses import replace
from math import isqrt
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from energan.core import DataError, describe
from energan.data.source import Source
from energan.data.sources.arrays import float_range, to_images
from energan.data.sources.splits import Split, fixed_order, no_test_part

Array = NDArray[Any]
NAMES = ("images", "ff", "faces", "x", "X", "data")
LABELS = ("labels", "labs_ex", "y", "label")
FREY = (28, 20)
"""Rows and columns of the Frey faces, which their file does not tell."""
VALID, TEST = 2, 3
"""The marks in TFD's folds; 1 is the training part, 0 the unlabelled one."""


def read_mat(path: Path, split: Split = "train") -> Source:
    """Images of a .mat file: an array (N, H, W), (N, H, W, C) or, as faces come, (pixels, N).

    TFD (`images`, `folds`): training images are those of the first fold's training part and all
    unlabelled ones, its validation part is held out, its test part is split "test".
    Raises DataError for a file that cannot be read or holds no array of images.
    """
    held = _load(path)
    name = next((n for n in NAMES if n in held), None) or _largest(held)
    if name is None:
        raise DataError(f"{path} holds no array of images: save them as `images` (N, H, W)")
    pixels = _upright(np.asarray(held[name]), name)
    if pixels.ndim == 2:
        pixels = _columns(pixels, path)
    events = to_images(_bytes(pixels), path)
    labels, names = _labels(held, len(events))
    low, high = float_range(events, path)
    source = Source(path.name, events, labels, low=low, high=high, class_names=names)
    folds = held.get("folds")
    if folds is not None and len(folds) == len(events):
        return _pick_fold(source, np.asarray(folds)[:, 0], split)
    if split == "test":
        raise no_test_part(path)
    return replace(source, held_out=len(events) // 10, order=fixed_order(len(events)))


def _load(path: Path) -> dict[str, Any]:
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    try:
        with path.open("rb") as file:
            newer = file.read(128)[:20].startswith(b"MATLAB 7.3") or path.stat().st_size == 0
        if newer:
            raise DataError(
                f"{path} is a MATLAB 7.3 file, or empty: save it again in MATLAB with -v7"
            )
        return {k: v for k, v in loadmat(path).items() if not k.startswith("__")}
    except DataError:
        raise
    except (OSError, ValueError, TypeError, NotImplementedError, MatReadError, EOFError) as error:
        raise DataError(f"{path} cannot be read as a .mat file ({describe(error)})") from error


def _largest(held: dict[str, Any]) -> str | None:
    arrays = {
        name: value.size
        for name, value in held.items()
        if isinstance(value, np.ndarray) and value.dtype.kind in "uif"
        if value.ndim in (2, 3, 4) and value.size
    }
    return max(arrays, key=lambda k: arrays[k]) if arrays else None


def _upright(pixels: Array, name: str) -> Array:
    """(N, H, W) or (N, H, W, C): MATLAB users also store (H, W, N) and (H, W, C, N)."""
    if pixels.ndim == 4 and pixels.shape[2] in (1, 3) and not {1, 3} & set(pixels.shape[1::2]):
        return np.moveaxis(pixels, 3, 0)
    if pixels.ndim == 3 and pixels.shape[0] == pixels.shape[1] != pixels.shape[2]:
        return np.moveaxis(pixels, 2, 0)
    return pixels


def _columns(pixels: Array, path: Path) -> Array:
    """(pixels, N), one face a column -> (N, H, W)."""
    size, count = pixels.shape
    side = isqrt(size)
    if size == FREY[0] * FREY[1] or count == FREY[0] * FREY[1]:
        columns = pixels if size == FREY[0] * FREY[1] else pixels.T
        return columns.T.reshape(-1, *FREY)
    if side * side != size:
        raise DataError(
            f"{path} holds {size}x{count} numbers: faces as columns need a square number of "
            "pixels; save `images` as (N, H, W)"
        )
    # MATLAB lays a picture out column by column
    return pixels.T.reshape(count, side, side).transpose(0, 2, 1)


def _bytes(pixels: Array) -> Array:
    """Whole numbers from 0 to 255 as uint8, however MATLAB stored them."""
    if pixels.dtype == np.uint8 or not pixels.size:
        return pixels
    if pixels.max() > 1 and pixels.min() >= 0 and pixels.max() <= 255:
        return np.rint(pixels).astype(np.uint8)
    return pixels.astype(np.float32)


def _labels(held: dict[str, Any], count: int) -> tuple[torch.Tensor | None, tuple[str, ...] | None]:
    """Labels numbered from 0, and the numbers that the file has for them, as names."""
    name = next((n for n in LABELS if n in held), None)
    if name is None or np.asarray(held[name]).size != count:
        return None, None
    values = np.asarray(held[name]).reshape(-1)
    if values.dtype.kind not in "uif" or (values < 0).any():
        return None, None  # TFD marks the unlabelled ones with -1: not all images have a class
    found, numbers = np.unique(values, return_inverse=True)
    return torch.from_numpy(numbers.astype(np.int64)), tuple(f"{value:g}" for value in found)


def _pick_fold(source: Source, marks: Array, split: Split) -> Source:
    valid, test = np.flatnonzero(marks == VALID), np.flatnonzero(marks == TEST)
    training = np.flatnonzero((marks != VALID) & (marks != TEST))
    rows = test if split == "test" else np.concatenate([training, valid])
    chosen = torch.from_numpy(rows)
    assert source.events is not None
    return replace(
        source,
        events=source.events[chosen],
        labels=None if source.labels is None else source.labels[chosen],
        held_out=0 if split == "test" else len(valid),
    )
