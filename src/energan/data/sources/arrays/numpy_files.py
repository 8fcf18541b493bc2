"""Arrays of .npy and .npz files: headers are checked before memory is taken; none is unpickled."""

import os
import warnings
import zipfile
from collections.abc import Callable, Sequence
from math import prod
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from energan.core import DataError, describe
from energan.io.files import open_regular
from energan.io.memory import check_memory
from energan.io.text import size_text

Array = NDArray[Any]
MOST_SIDE = 2**48
"""Largest length of an axis."""


def load_arrays(
    path: Path, pick: Callable[[Sequence[str]], Sequence[str]], what: str = "arrays of numbers"
) -> list[Array]:
    """The arrays that `pick` chooses of the names of a file's; the one of an .npy has the name "".

    what: they are to be, in a message. Raises DataError for a file that is torn, for an array of
    objects, and for one that does not fit in memory.
    """
    try:
        with open_regular(path) as file:
            packed = file.read(2) == b"PK"
            file.seek(0)
            if packed:
                return _load_members(file, pick, path)
            size = os.fstat(file.fileno()).st_size
            return [_read(file, size, path, "") for _ in pick([""])]
    except DataError:
        raise
    except Exception as error:
        # numpy and zipfile raise whatever they stumble over: KeyError, OverflowError, zlib.error
        reason = getattr(error, "strerror", None) or describe(error) or type(error).__name__
        raise DataError(
            f"{path} cannot be read as {what} ({reason}): save it again with numpy.save or "
            "numpy.savez, without objects"
        ) from error


def _load_members(
    file: BinaryIO, pick: Callable[[Sequence[str]], Sequence[str]], path: Path
) -> list[Array]:
    with zipfile.ZipFile(file) as packed:
        infos = [info for info in packed.infolist() if info.filename.endswith(".npy")]
        infos = infos or packed.infolist()
        members = {info.filename.removesuffix(".npy"): info for info in infos}
        if len(members) < len(infos):
            raise ValueError("two of its arrays have the same name")
        loaded = []
        for name in pick(list(members)):
            with packed.open(members[name]) as member:
                loaded.append(_read(member, members[name].file_size, path, name))
        return loaded


def _read(file: Any, size: int, path: Path, name: str) -> Array:
    """The array in a file of `size` bytes."""
    which = f"{name}: " if name else ""
    with warnings.catch_warnings():  # of headers that Python 2 wrote
        warnings.simplefilter("ignore")
        shape, dtype = _header(file, which)
        needed, there = prod(shape) * dtype.itemsize, size - file.tell()
        if needed != there:
            raise ValueError(
                f"{which}its header says {shape} of {dtype}, {size_text(needed)}, and "
                f"{size_text(there)} follow"
            )
        # floats are turned into float32, beside the array
        wider = 4 * prod(shape) if dtype.kind == "f" and dtype.itemsize != 4 else 0
        check_memory(
            needed + wider, f"{path}, {which}{shape} of {dtype},", "save it in smaller parts"
        )
        file.seek(0)
        array: Array = npy.read_array(file, allow_pickle=False)
    return array


def _header(file: Any, which: str) -> tuple[tuple[int, ...], np.dtype[Any]]:
    try:
        version = npy.read_magic(file)
    except ValueError:
        raise ValueError(f"{which}it is not an array") from None
    if version == (1, 0):
        shape, _, dtype = npy.read_array_header_1_0(file)
    elif version == (2, 0):
        shape, _, dtype = npy.read_array_header_2_0(file)
    else:
        raise ValueError(
            f"{which}it has format {version[0]}.{version[1]}, which is for record arrays"
        )
    if dtype.hasobject or not dtype.itemsize:
        raise ValueError(f"{which}it holds {'objects' if dtype.hasobject else 'nothing'}")
    if not all(type(side) is int and 0 <= side < MOST_SIDE for side in shape):
        raise ValueError(f"{which}no array has the shape {describe(shape)}")
    return shape, dtype
