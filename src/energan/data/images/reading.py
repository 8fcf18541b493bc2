"""One image file: from its bytes to the numbers that it holds, upright, whatever their type.

The one place that knows formats. 8-bit images are read by Pillow; 16-bit PNGs and PNMs, of which
Pillow keeps 8 bits, and TIFFs of other types or bands than it knows are read so that nothing of
them is lost. Those that it does not know at all have readers in `formats`.
"""

import io
import logging
import re
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from energan.data.images.formats.table import format_of
from energan.data.images.tiff import is_plain, is_tiff, own_pages, read_tiff
from energan.data.images.values import RawImage, Unreadable
from energan.data.source import Encoded, Piece, piece_of
from energan.io.pictures import STRIP

logging.getLogger("PIL").setLevel(logging.CRITICAL)  # what it cannot read is told by the row
Array = NDArray[Any]
Colour = tuple[int, int, int]
Kind = Literal["index", "grey", "colour"]
ORIENTATION, FIRST_ACROSS = 0x0112, 5
"""EXIF's orientation tag, and the first of its values that turn an image by 90°."""
PNG_TEXTS = (b"Raw profile type", b"XML:com.adobe.xmp")
"""Names of the text chunks in which a PNG may hold EXIF, if it has no EXIF chunk."""
GREY = ("1", "L", "LA", "La", "I", "F", "I;16", "I;16B", "I;16L", "I;16N")
"""Pillow's modes without colour."""
PNG_COLOURS = {2: "RGB", 6: "RGBA"}
"""Pillow's modes of PNG's colour types."""
PNG_GREY_ALPHA = 4


class _Quiet:
    """Pillow's warnings of odd metadata are hushed; that of a decompression bomb is an error.

    Filters of warnings belong to the process, so threads that decode at the same time share one
    change of them: the first makes it, the last undoes it.
    """

    def __init__(self) -> None:
        self._lock, self._inside = threading.Lock(), 0
        self._filters = warnings.catch_warnings()

    def __enter__(self) -> None:
        with self._lock:
            if self._inside == 0:
                self._filters = warnings.catch_warnings()
                self._filters.__enter__()
                warnings.simplefilter("ignore")
                warnings.simplefilter("error", Image.DecompressionBombWarning)
            self._inside += 1

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                self._filters.__exit__(None, None, None)


_quiet = _Quiet()


@dataclass(frozen=True)
class Header:
    """What a file tells before it is decoded.

    size: width and height, upright. bands: 1 of grey, 3 of colour, or as many as there are, without
    alpha. deep: whether its numbers are other than 8-bit ones. pages: images in the file.
    """

    size: tuple[int, int]
    bands: int
    deep: bool
    pages: int


@dataclass(frozen=True)
class LabelImage:
    """An image as numbers of classes.

    values: (H, W, 1): the indices of a palette, grey values, or colours as 65,536 red + 256 green +
    blue. kind: which. palette: (colours, 3), of indices.
    """

    values: RawImage
    kind: Kind
    palette: Array | None = None

    def colour_of(self, value: int) -> Colour:
        if self.kind == "grey":
            return value, value, value
        if self.palette is None:
            return value >> 16, value >> 8 & 255, value & 255
        red, green, blue = self.palette[value].tolist()
        return red, green, blue


@contextmanager
def _refusing() -> Iterator[None]:
    """Whatever a reader stumbles over becomes Unreadable."""
    try:
        yield
    except Unreadable:
        raise
    except UnidentifiedImageError:
        raise Unreadable("it is empty, or not an image") from None
    except Exception as error:
        # Pillow's readers raise whatever they stumble over: struct.error, KeyError, SyntaxError
        text = " ".join(str(error).split()) or type(error).__name__
        plain = isinstance(error, OSError | ValueError | Image.DecompressionBombWarning)
        raise Unreadable(text if plain else f"it is damaged ({text})") from None


def read_image(encoded: Encoded, side: int | None = None) -> RawImage:
    """The image in a file's bytes, upright. side: a JPEG may be decoded no finer than twice that.

    Raises Unreadable for bytes that are no image, or a truncated one.
    """
    piece = piece_of(encoded)
    with _refusing(), _quiet:
        whole = _read(piece.raw, piece.page or 0, side if piece.half is None else None)
        return whole.cut(piece.half).of(whole.pages if piece.page is None else 1)


def _read(raw: bytes | Array, number: int, side: int | None) -> RawImage:
    if isinstance(raw, np.ndarray):
        return RawImage(raw)
    if form := format_of(raw):
        return form.read(raw, number)
    if deep := _deep_pnm(raw):
        return deep
    with _opened(raw) as image:
        if image is None:
            return read_tiff(raw, number)
        pages = _pages(image, raw)
        image.seek(pages[number])
        width = image.width
        if side is not None:
            image.draft(None, (2 * side, 2 * side))
        reduced = width / image.width
        turn = _orientation(image, raw)
        kind = _deep_png(raw)
        found = _load(image) if kind is None else _deep_colours(raw, kind)
    return replace(found.turned(turn), pages=len(pages), reduced=reduced)


def read_labels(encoded: Encoded) -> LabelImage:
    """An image as numbers of classes, upright. Raises Unreadable as `read_image`, and for values
    that are no whole numbers, or have no colour."""
    piece = piece_of(encoded)
    raw = piece.raw
    if isinstance(raw, np.ndarray):
        raise Unreadable("it is not a label map")
    with _refusing(), _quiet, _opened(raw) as image:
        if image is None or image.mode == "F":
            raise Unreadable("it is not a label map")
        image.seek(_pages(image, raw)[piece.page or 0])
        turn = _orientation(image, raw)
        image.load()
        palette = None
        if image.mode == "P" and _coloured(image):
            palette = np.zeros((256, 3), np.uint8)
            known = np.asarray(image.getpalette("RGB"), np.uint8).reshape(-1, 3)
            palette[: len(known)] = known
            values = np.asarray(image)
        elif _coloured(image):
            red, green, blue = np.asarray(image.convert("RGB"), np.int32).transpose(2, 0, 1)
            values = red << 16 | green << 8 | blue
        else:
            plain = image.mode in ("1", "L", "I") or image.mode.startswith("I;16")
            values = np.asarray(image if plain else image.convert("L")).astype(np.int32)
        kind: Kind = "index" if palette is not None else "colour" if _coloured(image) else "grey"
        upright = RawImage(values[..., None]).turned(turn).cut(piece.half)
        return LabelImage(upright, kind, palette)


def header_of(encoded: Encoded) -> Header | None:
    """What an image is, by its header; None for one that cannot be read."""
    piece = piece_of(encoded)
    raw, number = piece.raw, piece.page or 0
    try:
        if isinstance(raw, np.ndarray):
            return _header(RawImage(raw), piece)
        if form := format_of(raw):
            with _quiet:
                return _header(form.read(raw, number, decode=False), piece)
        with _quiet, _opened(raw) as image:
            if image is None:
                return _header(read_tiff(raw, number, decode=False), piece)
            pages = _pages(image, raw)
            image.seek(pages[number])
            width, height = image.size
            if _orientation(image, raw) >= FIRST_ACROSS:
                width, height = height, width
            width = width if piece.half is None else width // 2
            deep = image.mode.startswith(("I", "F")) or _deep_png(raw) is not None or _is_deep(raw)
            grey = not _coloured(image) or _deep_png(raw) == PNG_GREY_ALPHA
            return Header((width, height), 1 if grey else 3, deep, len(pages))
    except Exception:
        return None


def _header(found: RawImage, piece: Piece) -> Header:
    found = found.cut(piece.half)
    return Header(found.size, found.bands, found.pixels.dtype != np.uint8, found.pages)


def size_of(encoded: Encoded) -> tuple[int, int] | None:
    """Width and height of an image, by its header; None for one that cannot be read."""
    header = header_of(encoded)
    return None if header is None else header.size


@contextmanager
def _opened(raw: bytes) -> Iterator[Image.Image | None]:
    """By Pillow; None for a TIFF that it would not keep whole, or cannot open."""
    try:
        image = Image.open(io.BytesIO(raw))
    except UnidentifiedImageError:
        if not is_tiff(raw):
            raise
        yield None
        return
    with image:
        yield None if image.format == "TIFF" and not is_plain(image.tag_v2) else image  # type: ignore[attr-defined]


def _orientation(image: Image.Image, raw: bytes) -> int:
    """How the picture lies, as EXIF counts it. Of a PNG without any word of it nothing is asked:
    Pillow would decode the picture, since it may stand at the end."""
    if image.format == "PNG" and not _png_has_exif(raw):
        return 1
    turn: int = image.getexif().get(ORIENTATION, 1)
    return turn


def _png_has_exif(raw: bytes) -> bool:
    at = 8
    while at + 8 <= len(raw):
        kind = raw[at + 4 : at + 8]
        if kind == b"eXIf" or (kind[1:] in (b"EXt", b"TXt") and raw.startswith(PNG_TEXTS, at + 8)):
            return True
        at += 12 + int.from_bytes(raw[at : at + 4])
    return False


def _pages(image: Image.Image, raw: bytes) -> Sequence[int]:
    """Numbers of the frames that are images of their own."""
    count = 1 if image.format == "MPO" else getattr(image, "n_frames", 1)  # MPO: previews
    return own_pages(raw) if count > 1 and image.format == "TIFF" else range(count)


def _coloured(image: Image.Image) -> bool:
    """Whether it can hold colour."""
    if image.mode != "P":
        return image.mode not in GREY
    colours = np.asarray(image.getpalette("RGB"), dtype=np.int16).reshape(-1, 3)
    return bool((colours != colours[:, :1]).any())


def _load(image: Image.Image) -> RawImage:
    """What Pillow reads without a loss."""
    image.load()
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        return RawImage(_deep_grey(image)[..., None])
    kind = "RGB" if _coloured(image) else "L"
    if image.has_transparency_data:
        values = _bytes(image, "RGBA")
        return RawImage(values[..., : 3 if kind == "RGB" else 1], values[..., 3])
    return RawImage(_bytes(image, kind))


def _bytes(image: Image.Image, kind: str) -> NDArray[np.uint8]:
    """(H, W, C) in a mode of 8 bits, copied some rows at a time: a large one fits memory once."""
    if image.height * image.width <= STRIP:
        pixels = np.asarray(image if image.mode == kind else image.convert(kind))
        return pixels.reshape(*pixels.shape[:2], len(kind))
    values = np.empty((image.height, image.width, len(kind)), np.uint8)
    rows = max(1, STRIP // image.width)
    for top in range(0, image.height, rows):
        part = image.crop((0, top, image.width, min(top + rows, image.height)))
        pixels = np.asarray(part if part.mode == kind else part.convert(kind))
        values[top : top + rows] = pixels.reshape(*pixels.shape[:2], len(kind))
    return values


def _deep_grey(image: Image.Image) -> Array:
    """(H, W) of the type that the file has, where Pillow widened it."""
    values = np.asarray(image)
    if image.mode == "F":
        return values
    if image.mode.startswith("I;16") or image.format in ("PNG", "PPM"):
        return values.astype(np.uint16)
    bits = getattr(image, "tag_v2", {}).get(258, (32,))
    return values.astype(np.int16 if bits[0] == 16 else np.int32)


# --- 16 bits that Pillow makes 8 ------------------------------------------------------------------


def _deep_png(raw: bytes) -> int | None:
    """The colour type of a PNG of 16 bits with several bands; None for anything else."""
    if not raw.startswith(b"\x89PNG\r\n\x1a\n") or raw[24:25] != b"\x10":
        return None
    return raw[25] if raw[25] in (*PNG_COLOURS, PNG_GREY_ALPHA) else None


def _deep_colours(raw: bytes, kind: int) -> RawImage:
    """Of 16-bit values Pillow unpacks the high bytes; told that they stand the other way round it
    unpacks the low ones."""
    if kind == PNG_GREY_ALPHA:  # as many bytes a pixel as 8-bit RGBA has
        high, low = np.split(_unpacked(raw, "RGBA").reshape(-1, 2), 2, 1)
        values = (high.astype(np.uint16) << 8 | low).reshape(*_size(raw), 2)
        return RawImage(values[..., :1], values[..., 1])
    mode = PNG_COLOURS[kind]
    high, low = (_unpacked(raw, f"{mode};16{order}") for order in "BL")
    values = high.astype(np.uint16) << 8 | low
    if mode == "RGBA":
        return RawImage(values[..., :3], values[..., 3])
    return RawImage(values)


def _size(raw: bytes) -> tuple[int, int]:
    return int.from_bytes(raw[20:24]), int.from_bytes(raw[16:20])


def _unpacked(raw: bytes, how: str) -> NDArray[np.uint8]:
    with Image.open(io.BytesIO(raw)) as image:
        image.tile = [tile._replace(args=how) for tile in image.tile]
        image.load()
        return np.asarray(image)


PNM = re.compile(rb"P([56])(?:\s|#[^\n]*\n)+(\d+)(?:\s|#[^\n]*\n)+(\d+)(?:\s|#[^\n]*\n)+(\d+)\s")


def _is_deep(raw: bytes) -> bool:
    found = PNM.match(raw[:4096])
    return found is not None and int(found[4]) > 255


def _deep_pnm(raw: bytes) -> RawImage | None:
    """A binary PGM or PPM of more than 8 bits, its greatest value brought to 65,535."""
    if not _is_deep(raw):
        return None
    found = PNM.match(raw[:4096])
    assert found is not None
    width, height, most = (int(found[k]) for k in (2, 3, 4))
    bands = 1 if found[1] == b"5" else 3
    if width * height > (Image.MAX_IMAGE_PIXELS or 0) or most > 65535:
        raise Unreadable(f"it claims {width}x{height} pixels of values up to {most}")
    count = width * height * bands
    if len(raw) - found.end() < 2 * count:
        raise Unreadable("it is truncated")
    values = np.frombuffer(raw, ">u2", count, found.end()).reshape(height, width, bands)
    scaled = np.rint(values.clip(max=most) * (65535 / most)).astype(np.uint16)
    return RawImage(scaled)
