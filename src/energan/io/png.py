"""PNG files of 16 bits, grey or in colour: Pillow writes those in colour with 8."""

import struct
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

SIGNATURE = b"\x89PNG\r\n\x1a\n"
GREY, COLOUR = 0, 2
UP = 2
"""The filter that keeps the difference to the row above, which smooth images compress well with."""


def write_png16(path: Path, pixels: NDArray[np.uint16], text: Mapping[str, str]) -> None:
    """Write uint16 (H, W, 1 or 3) with entries of text."""
    height, width, bands = pixels.shape
    rows = np.ascontiguousarray(pixels, ">u2").view(np.uint8).reshape(height, -1)
    rows = np.diff(rows, axis=0, prepend=np.zeros((1, rows.shape[1]), np.uint8))
    filtered: NDArray[Any] = np.insert(rows, 0, UP, axis=1)
    kind = GREY if bands == 1 else COLOUR
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0)),
        *((b"iTXt", _entry(key, value)) for key, value in text.items()),
        (b"IDAT", zlib.compress(filtered.tobytes())),
        (b"IEND", b""),
    ]
    path.write_bytes(SIGNATURE + b"".join(_chunk(name, data) for name, data in chunks))


def _entry(key: str, value: str) -> bytes:
    return key.encode("latin-1") + b"\0\0\0\0\0" + value.encode("utf8")


def _chunk(name: bytes, data: bytes) -> bytes:
    checked = name + data
    return struct.pack(">I", len(data)) + checked + struct.pack(">I", zlib.crc32(checked))
