"""TIFF files whose types or bands Pillow does not keep: of microscopes, satellites, scanners."""

import io
import logging
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tifffile import COMPRESSION, PHOTOMETRIC, TiffFile, TiffPage

from energan.data.images.values import MOST_BANDS, RawImage, Unreadable

logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # what it cannot read is told by the row
BITS, PACKING, PHOTOMETRIC_TAG, ORIENTATION = 258, 259, 262, 274
SAMPLES, EXTRA, FORMAT = 277, 338, 339
BANDS = {0: 1, 1: 1, 2: 3, 3: 1, 4: 1, 5: 4, 6: 3, 8: 3}
"""Number of bands of TIFF's photometric interpretations."""
ALPHA = (1, 2)
"""Types of extra samples: premultiplied alpha, and alpha."""
UNSIGNED, SIGNED, FLOAT, UNDEFINED = 1, 2, 3, 4
UNPACKED_ELSEWHERE = (50001,)
"""Compressions that Pillow cannot decode but only reports while decoding: WebP."""
DEEP = {(12, UNSIGNED), (16, UNSIGNED), (16, SIGNED), (32, SIGNED), (32, FLOAT)}
"""Bits and formats of single-band images that Pillow reads without loss."""


def is_tiff(raw: bytes) -> bool:
    return raw[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def is_plain(tags: Mapping[int, Any]) -> bool:
    """Whether Pillow reads what a file with these tags holds without a loss."""
    bits = _several(tags.get(BITS, 1))
    form = _several(tags.get(FORMAT, UNSIGNED))[0]
    extra = _several(tags.get(EXTRA, ()))
    kind, samples = tags.get(PHOTOMETRIC_TAG, 1), tags.get(SAMPLES, 1)
    if tags.get(PACKING, 1) in UNPACKED_ELSEWHERE:
        return False
    if max(bits) > 8:
        return samples == 1 and kind == 1 and (bits[0], form) in DEEP
    alphas = [sample in ALPHA for sample in extra]
    return (
        form in (UNSIGNED, UNDEFINED)
        and len(alphas) <= 1
        and all(alphas)
        and samples - len(alphas) == BANDS.get(kind)
    )


def _several(value: Any) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, (tuple, list)) else (value,)


def own_pages(raw: bytes) -> list[int]:
    """Numbers of the pages that are images of their own, and no smaller copies or masks."""
    with TiffFile(io.BytesIO(raw)) as file:
        return _own_pages(file)


def _own_pages(file: TiffFile) -> list[int]:
    found = [
        number
        for number, page in enumerate(file.pages)
        if not (isinstance(page, TiffPage) and (page.is_reduced or page.is_mask))
    ]
    return found or [0]


def read_tiff(raw: bytes, number: int = 0, *, decode: bool = True) -> RawImage:
    """The page `number` of those that are images, upright; without `decode` of zeros.

    Raises Unreadable, or whatever the library stumbles over.
    """
    with TiffFile(io.BytesIO(raw)) as file:
        file.pages.useframes = False
        pages = _own_pages(file)
        page = file.pages[pages[number]]
        assert isinstance(page, TiffPage)
        height, width, bands = page.imagelength, page.imagewidth, page.samplesperpixel
        if not 0 < height * width <= (Image.MAX_IMAGE_PIXELS or 0) or page.imagedepth > 1:
            raise Unreadable(f"it claims {width}x{height}x{page.imagedepth} pixels")
        alpha = next((a for a, kind in enumerate(page.extrasamples) if kind in ALPHA), None)
        if _has_no_alpha_tag(page):
            alpha = None
        if bands - (alpha is not None) > MOST_BANDS:
            raise Unreadable(f"it has {bands} bands, and at most {MOST_BANDS} are read")
        if page.bitspersample < 8 and bands > 1:  # which the library does not get right
            raise Unreadable(
                f"it holds {page.bitspersample} bits in {bands} bands: save it with 8 bits"
            )
        if page.dtype is None or page.dtype.kind not in "buif":
            raise Unreadable(f"it holds {page.dtype or 'values of a type that is not known'}")
        if not decode:
            values: NDArray[Any] = np.broadcast_to(np.zeros((), page.dtype), (height, width, bands))
        else:
            values = _values(page, (height, width, bands))
        found = _split_alpha(values, bands, page, alpha)
        tag = page.tags.get(ORIENTATION)
        return found.turned(int(tag.value) if tag else 1).of(len(pages))


def _has_no_alpha_tag(page: TiffPage) -> bool:
    """The library takes a fourth band of colours for alpha, whether or not a tag says so."""
    return EXTRA not in page.tags


def _values(page: TiffPage, shape: tuple[int, int, int]) -> NDArray[Any]:
    try:
        values = page.asarray()
    except ValueError as error:
        if "imagecodecs" not in str(error):
            raise
        kind = COMPRESSION(page.compression).name
        raise Unreadable(
            f"its compression, {kind}, needs a library that is not installed: pip install "
            "'energan[tiff]'"
        ) from None
    height, width, bands = shape
    if values.dtype.kind == "b":
        values = values.astype(np.uint8) * 255
    if values.shape == (bands, height, width) and page.planarconfig == 2:
        values = values.transpose(1, 2, 0)
    values = values.reshape(shape)
    if page.photometric == PHOTOMETRIC.MINISWHITE and values.dtype.kind == "u":
        values = np.iinfo(values.dtype).max - values
    return values.astype(values.dtype.newbyteorder("="), copy=False)


def _split_alpha(values: NDArray[Any], bands: int, page: TiffPage, extra: int | None) -> RawImage:
    if extra is None:
        return RawImage(values)
    place = bands - len(page.extrasamples) + extra
    alpha = values[..., place]
    pixels = np.delete(values, place, 2)
    if page.extrasamples[extra] == ALPHA[0] and values.dtype.kind == "u":  # premultiplied
        most = np.iinfo(values.dtype).max
        whole = pixels * (most / np.maximum(alpha, 1))[..., None]
        pixels = np.rint(whole).clip(0, most).astype(values.dtype)
    return RawImage(pixels, alpha)
