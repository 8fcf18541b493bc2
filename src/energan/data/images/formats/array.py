"""An .npy file that is one image: (H, W), (H, W, C) or (C, H, W)."""

import io
from math import prod
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from energan.data.images.values import MOST_BANDS, RawImage, Unreadable

USUAL = (1, 3, 4)
"""Axis lengths that are taken for bands first."""


def is_array(raw: bytes) -> bool:
    return raw.startswith(npy.MAGIC_PREFIX)


def read_array(raw: bytes, number: int = 0, *, decode: bool = True) -> RawImage:
    file = io.BytesIO(raw)
    version = npy.read_magic(file)
    read = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}.get(version)
    if read is None:
        raise Unreadable("it is an array of records")
    shape, _, dtype = read(file)
    if dtype.kind not in "buif":
        raise Unreadable(f"it holds {dtype.name} values")
    if prod(shape) * dtype.itemsize != len(raw) - file.tell():
        raise Unreadable(f"its header says {shape} of {dtype}, and the data does not match")
    file.seek(0)
    values: NDArray[Any] = npy.read_array(file, allow_pickle=False)
    if dtype.kind == "b":
        values = values.astype(np.uint8) * 255
    pixels, told = _with_bands_last(values)
    return RawImage(pixels.astype(pixels.dtype.newbyteorder("="), copy=False), told=told)


def _with_bands_last(values: NDArray[Any]) -> tuple[NDArray[Any], tuple[str, ...]]:
    shape = values.shape
    if not values.size or len(shape) not in (2, 3):
        raise Unreadable(f"its shape is {shape}: an image is (H, W), (H, W, C) or (C, H, W)")
    if len(shape) == 2:
        return values[..., None], ("arrays: (H, W), grey",)
    first, last = (shape[axis] in USUAL for axis in (0, 2))
    if first == last:
        first, last = (shape[axis] <= MOST_BANDS for axis in (0, 2))
    if first == last:
        raise Unreadable(
            f"its shape is {shape}, where {'both ends' if first else 'neither end'} could be the "
            f"bands: save it as (H, W, C) with at most {MOST_BANDS} bands, and larger sides"
        )
    if first:
        return np.moveaxis(values, 0, -1), (f"arrays: (C, H, W) of {shape[0]} bands",)
    return values, (f"arrays: (H, W, C) of {shape[2]} bands",)
