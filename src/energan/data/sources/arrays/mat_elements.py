"""What the elements of a MATLAB file of version 5 or 7 claim to be, before scipy reads them.

A variable is an element of the type matrix, which may be compressed as a whole. In it lie further
elements: its flags, dimensions, name and numbers. scipy does not check the type of the last ones,
and ends the process for one that there is not.
"""

import struct
import zlib
from typing import BinaryIO

COMPRESSED = 15
NUMBERS = (1, 2, 3, 4, 5, 6, 7, 9, 12, 13)
"""Element types that hold numbers."""
FULL_ARRAYS = range(6, 16)
"""Array classes of numbers, from double to uint64."""
COMPLEX = 1 << 11
HEAD = 4096
"""Bytes of a variable that are read for its name."""


def check_elements(file: BinaryIO) -> set[str]:
    """The names of complex arrays of a file. Raises ValueError, struct.error or zlib.error for one
    whose numbers are of no type."""
    start = file.read(128)
    found = set[str]()
    if 0 in start[:4]:  # version 4, which scipy reads by itself
        return found
    order = "<" if start[126:] == b"IM" else ">"
    while len(tag := file.read(8)) == 8:
        kind, size = struct.unpack(f"{order}2I", tag)
        end = file.tell() + size
        head = file.read(min(size, HEAD))
        if kind == COMPRESSED:
            head = zlib.decompressobj().decompress(head, HEAD)[8:]
        if name := _complex_name(head, order):
            found.add(name)
        file.seek(end)
    return found


def _complex_name(head: bytes, order: str) -> str:
    """The name of a complex array, "" of any other variable."""
    (flags,) = struct.unpack_from(f"{order}I", head, 8)
    if flags & 0xFF not in FULL_ARRAYS:
        return ""
    _, _, _, after = _element(head, 16, order)
    _, at, size, after = _element(head, after, order)
    kind, *_ = _element(head, after, order)
    if kind not in NUMBERS:
        raise ValueError(f"it holds numbers of type {kind}, which does not exist")
    return head[at : at + size].decode("latin-1") if flags & COMPLEX else ""


def _element(head: bytes, at: int, order: str) -> tuple[int, int, int, int]:
    """Of the element at a place: its type, where its bytes are and how many, and the next one."""
    word, size = struct.unpack_from(f"{order}2I", head, at)
    if word >> 16:  # a small one, whose bytes stand in the tag
        return word & 0xFFFF, at + 4, word >> 16, at + 8
    return word, at + 8, size, at + 8 + size + -size % 8
