"""MATLAB files: the Toronto Face Database, and faces stored as columns of pixels."""

from dataclasses import replace
from math import isqrt, prod
from pathlib import Path

import numpy as np
import torch

from energan.core import DataError, describe
from energan.data.facts import Fact
from energan.data.source import MOST_CLASSES, Source
from energan.data.sources.arrays.arrays import BYTES, float_range, to_images
from energan.data.sources.arrays.mat_elements import check_elements
from energan.data.sources.arrays.numpy_files import Array
from energan.data.sources.splits import Split, fixed_order, no_test_part
from energan.io.files import open_regular
from energan.io.memory import check_memory

NAMES = ("images", "ff", "faces", "x", "X", "data")
LABELS = ("labels", "labs_ex", "y", "label")
NUMBERS = {
    "double", "single", "logical", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64",
    "uint64",
}  # fmt: skip
"""MATLAB's numeric array classes; others are cells, structures, texts and sparse arrays."""
FREY = (28, 20)
"""Height and width of the Frey faces, which their file does not give."""
VALID, TEST = 2, 3
"""Values of TFD's folds: 1 is the training part, 0 the unlabelled part."""


def read_mat(path: Path, split: Split = "train") -> Source:
    """Images of a .mat file: an array (N, H, W), (N, H, W, C) or, as faces come, (pixels, N).

    TFD (`images`, `folds`): training images are those of the first fold's training part and all
    unlabelled ones, its validation part is held out, its test part is split "test".
    Raises DataError for a file that cannot be read or holds no array of images.
    """
    held, name, rest = _load(path)
    pixels = _upright(held[name], name)
    if pixels.ndim == 2:
        pixels = _columns(pixels, path)
    events = to_images(_bytes(pixels), path)
    labels, names, facts = _labels(held, len(events))
    low, high = float_range(events)
    if rest:
        facts += (Fact("left out", f"all but {name}: {describe(', '.join(rest))}"),)
    source = Source(path.name, events, labels, low=low, high=high, class_names=names, facts=facts)
    folds = held.get("folds")
    if folds is not None and folds.ndim == 2 and len(folds) == len(events) and folds.shape[1]:
        return _pick_fold(source, folds[:, 0], split)
    if split == "test":
        raise no_test_part(path)
    return replace(source, held_out=len(events) // 10, order=fixed_order(len(events)))


def _load(path: Path) -> tuple[dict[str, Array], str, list[str]]:
    """The arrays of a file that are of use, the name of that of images, and those of the rest."""
    from scipy.io import loadmat, whosmat

    try:
        with open_regular(path) as file:
            start = file.read(128)
            if start[:20].startswith(b"MATLAB 7.3") or not start:
                raise DataError(
                    f"{path} is a MATLAB 7.3 file, or empty: save it again in MATLAB with -v7"
                )
            file.seek(0)
            complex_ones = check_elements(file)
            file.seek(0)
            shapes = {n: (tuple(shape), kind) for n, shape, kind in whosmat(file)}
            name = _choose(shapes, path)
            beside = [n for n in (*LABELS, "folds") if n in shapes and n != name]
            if name in complex_ones:
                raise DataError(
                    f"{path}: {name} holds complex numbers: save their magnitude or real part"
                )
            wanted = [n for n in beside if shapes[n][1] in NUMBERS and n not in complex_ones]
            file.seek(0)
            found = loadmat(file, variable_names=[name, *wanted])
    except DataError:
        raise
    except Exception as error:  # scipy's reader raises whatever it stumbles over
        reason = getattr(error, "strerror", None) or describe(error)
        raise DataError(f"{path} cannot be read as a .mat file ({reason})") from error
    arrays = {n: np.asarray(found[n]) for n in (name, *wanted)}
    return arrays, name, [n for n in shapes if n not in arrays]


def _choose(shapes: dict[str, tuple[tuple[int, ...], str]], path: Path) -> str:
    """The name of the array of images, which fits in memory."""
    numbers = {
        n: prod(shape)
        for n, (shape, kind) in shapes.items()
        if kind in NUMBERS and len(shape) in (2, 3, 4) and min(shape) > 0
    }
    usual = [n for n in NAMES if n in shapes]
    others = [n for n in numbers if n not in (*LABELS, "folds")]
    name = next((n for n in usual if n in numbers), next(iter(usual), None))
    name = name or max(others, key=lambda n: numbers[n], default=None)
    if name is None:
        raise DataError(f"{path} holds no array of images: save them as `images` (N, H, W)")
    if name not in numbers:
        shape, kind = shapes[name]
        raise DataError(
            f"{path}: {name} is {describe(shape)} of MATLAB's class {kind}, not an array of "
            "images: save them as a numeric array `images` (N, H, W)"
        )
    if prod(shapes[name][0]) > 1:
        # MATLAB keeps what it can in fewer bytes than it has in memory
        check_memory(8 * numbers[name], f"{path}: {name}", "save it in smaller parts")
        return name
    raise DataError(f"{path}: {name} is a single number: save images as `images` (N, H, W)")


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
            f"{path} holds {size}x{count} numbers, and faces as columns need a square number of "
            "pixels: save them as `images` (N, H, W)"
        )
    # MATLAB lays a picture out column by column
    return pixels.T.reshape(count, side, side).transpose(0, 2, 1)


def _bytes(pixels: Array) -> Array:
    """Whole numbers from 0 to 255 as uint8, however MATLAB stored them; wider integers as they are,
    all else as float32."""
    if pixels.dtype == np.uint8 or not pixels.size:
        return pixels
    if pixels.max() > 1 and pixels.min() >= 0 and pixels.max() <= 255:
        return np.rint(pixels).astype(np.uint8)
    wide = pixels.dtype.kind in "ui" and pixels.dtype.itemsize <= BYTES
    return pixels if wide else pixels.astype(np.float32)


def _labels(
    held: dict[str, Array], count: int
) -> tuple[torch.Tensor | None, tuple[str, ...] | None, tuple[Fact, ...]]:
    """Labels numbered from 0, the numbers that the file has for them, as names, and why they are
    left out."""
    name = next((n for n in LABELS if n in held), None)
    if name is None:
        return None, None, ()
    values = held[name].reshape(-1)
    if values.size != count:
        why = f"it holds {values.size:,} values for {count:,} images"
    elif values.dtype.kind not in "uifb" or not np.isfinite(values).all():
        why = "it holds values that are not real numbers"
    elif (values < 0).any():
        why = "it holds negative values"  # TFD marks the unlabelled ones with -1
    else:
        found, numbers = np.unique(values, return_inverse=True)
        if len(found) < MOST_CLASSES:
            names = tuple(f"{value:g}" for value in found)
            return torch.from_numpy(numbers.astype(np.int64)), names, ()
        why = f"its {len(found):,} different values are too many for classes"
    return None, None, (Fact("labels", f"{name} is left out: {why}", warning=True),)


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
