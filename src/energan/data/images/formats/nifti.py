"""NIfTI volumes, packed or not: each slice along the last axis is a page."""

import logging
import zlib
from functools import lru_cache
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from energan.data.images.formats.optional import import_optional
from energan.data.images.values import RawImage, Unreadable
from energan.io.memory import free_memory
from energan.io.text import size_text

logging.getLogger("nibabel.global").setLevel(logging.CRITICAL)  # oddities of headers
GZIP = b"\x1f\x8b"
HEAD = 1024
MAGIC = {348: (344, (b"n+1\0", b"n+2\0")), 540: (4, (b"n+2\0",))}
"""Header size -> where the header names the format, and how."""
STRETCH = 1032
"""Largest factor by which gzip can compress data."""


def is_nifti(raw: bytes) -> bool:
    head = raw[:HEAD]
    if head.startswith(GZIP):
        try:
            head = zlib.decompressobj(31).decompress(raw[: 4 * HEAD], HEAD)
        except zlib.error:
            return False
    return any(
        head[:4] in (size.to_bytes(4, "little"), size.to_bytes(4, "big"))
        and head[at : at + 4] in names
        for size, (at, names) in MAGIC.items()
    )


def read_nifti(raw: bytes, number: int = 0, *, decode: bool = True) -> RawImage:
    """The slice `number`, its rows those of the first axis, scaled as the header says; further
    axes, as of time, go over all slices again. Without `decode` of zeros."""
    nibabel = import_optional("nibabel", "nifti", "NIfTI")
    unpacked = raw
    if raw.startswith(GZIP):
        unpacked = unpack(raw) if decode else _begin(raw)
    size = int.from_bytes(unpacked[:4], "little")
    kind = (
        nibabel.Nifti2Image if 540 in (size, int.from_bytes(unpacked[:4])) else nibabel.Nifti1Image
    )
    image = kind.from_bytes(unpacked)
    shape = tuple(image.shape)
    if len(shape) < 2 or not 0 < shape[0] * shape[1] <= (Image.MAX_IMAGE_PIXELS or 0):
        raise Unreadable(f"no image has its shape, {shape}")
    proxy = image.dataobj
    dtype = _type(proxy)
    bands = 3 if proxy.dtype.names else 1
    further = shape[2:] or (1,)
    if decode:
        place = np.unravel_index(number, further[::-1])[::-1] if len(shape) > 2 else ()
        values = _bands(np.asarray(proxy[(..., *(int(p) for p in place))])).astype(dtype)
    else:
        values = np.broadcast_to(np.zeros((), dtype), (*shape[:2], bands))
    pages = prod(further)
    return RawImage(values, None, pages, () if pages == 1 else (_told(shape),))


def _told(shape: tuple[int, ...]) -> str:
    axes = "last axis" if len(shape) == 3 else "third axis and those after it"
    return f"slices: each page of a NIfTI volume is a slice along the {axes}"


def _type(proxy: Any) -> np.dtype[Any]:
    """Of the values once they are scaled, as the header says."""
    kind: np.dtype[Any] = np.dtype(proxy.dtype)
    if kind.names:
        if kind.names != ("R", "G", "B"):
            raise Unreadable(f"it holds values of the kind {', '.join(kind.names)}")
        return np.dtype(np.uint8)
    if kind.kind not in "uif":
        raise Unreadable(f"it holds {kind.name} values")
    if (proxy.slope, proxy.inter) != (1, 0):
        return np.dtype(np.float32)
    return kind.newbyteorder("=")


def _bands(values: NDArray[Any]) -> NDArray[Any]:
    if values.dtype.names:
        return np.stack([values[name] for name in values.dtype.names], -1)
    return values[..., None]


def _begin(raw: bytes) -> bytes:
    return zlib.decompressobj(31).decompress(raw, HEAD)


@lru_cache(maxsize=2)
def unpack(raw: bytes) -> bytes:
    """All of it, once for all its slices."""
    size = int.from_bytes(raw[-4:], "little")
    if size > min(free_memory() // 2, STRETCH * len(raw)):
        raise Unreadable(f"it claims to be {size_text(size)} unpacked")
    stream = zlib.decompressobj(31)
    found = stream.decompress(raw, size + 1)
    if not stream.eof or len(found) != size:
        raise Unreadable("it is truncated, or longer than its header says")
    return found
