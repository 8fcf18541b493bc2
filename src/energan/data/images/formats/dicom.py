"""DICOM: each frame is a page. Values are those that the file means, not those that it stores.

Nothing of a file's header but what concerns its pixels is ever put into a message.
"""

import io
import logging
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from energan.data.images.formats.optional import import_optional
from energan.data.images.values import RawImage, Unreadable

logging.getLogger("pydicom").setLevel(logging.CRITICAL)  # it quotes what headers hold
TYPES = (np.uint8, np.uint16, np.int16, np.int32, np.int64)


def is_dicom(raw: bytes) -> bool:
    return raw[128:132] == b"DICM"


def read_dicom(raw: bytes, number: int = 0, *, decode: bool = True) -> RawImage:
    """The frame `number`, rescaled by its slope and intercept; MONOCHROME1, where 0 is white,
    inverted. Without `decode` of zeros."""
    try:
        found = dataset(raw) if decode else _parse(raw, pixels=False)
        height, width = int(found.Rows), int(found.Columns)
        pages = int(found.get("NumberOfFrames") or 1)
        scale = _scale(found, number)
        low, high = _stored(found)
        kind = str(found.PhotometricInterpretation)
        bands = 3 if kind == "PALETTE COLOR" else int(found.SamplesPerPixel)
    except Unreadable:
        raise
    except AttributeError:
        raise Unreadable("it is DICOM without an image") from None
    except Exception as error:  # whose text may quote what a header holds of a patient
        raise Unreadable(f"its DICOM header is damaged ({type(error).__name__})") from None
    if not 0 < height * width <= (Image.MAX_IMAGE_PIXELS or 0):
        raise Unreadable(f"it claims {width}x{height} pixels")
    grey = bands == 1
    dtype = _type(low, high, scale) if grey else np.dtype(np.uint8 if high < 256 else np.uint16)
    if not decode:
        pixels: NDArray[Any] = np.broadcast_to(np.zeros((), dtype), (height, width, bands))
        return RawImage(pixels, None, pages)
    values = _values(found, number, kind)
    told = []
    if grey and kind == "MONOCHROME1":
        values = low + high - values.astype(np.int64)
        told.append("inverted: MONOCHROME1, where the lowest value is white")
    if grey and scale != (1, 0):
        slope, intercept = scale
        values = values * slope + intercept
        told.append("rescaled: by the slope and intercept given in the files")
    if high == 1:
        values = values.astype(np.uint8) * 255
    pixels = values.astype(dtype).reshape(height, width, bands)
    bits = int(found.BitsStored)
    own = grey and scale == (1, 0) and dtype == np.uint16 and bits < 8 * dtype.itemsize
    return RawImage(pixels, None, pages, tuple(told), bits=bits if own else None)


@lru_cache(maxsize=2)
def dataset(raw: bytes) -> Any:
    """The whole file, once for all its frames."""
    return _parse(raw, pixels=True)


def _parse(raw: bytes, pixels: bool) -> Any:
    pydicom = import_optional("pydicom", "dicom", "DICOM")
    return pydicom.dcmread(io.BytesIO(raw), stop_before_pixels=not pixels)


def _values(found: Any, number: int, kind: str) -> NDArray[Any]:
    """As they are stored; colours as red, green and blue."""
    pixels = import_optional("pydicom.pixels", "dicom", "DICOM")
    try:
        values: NDArray[Any] = pixels.pixel_array(found, index=number)
        if kind == "PALETTE COLOR":
            values = pixels.apply_color_lut(values, found)
        return values
    except Exception as error:
        text = " ".join(str(error).split()) or type(error).__name__
        raise Unreadable(f"its pixels{_packing(found)} cannot be read: {text}") from None


def _packing(found: Any) -> str:
    try:
        syntax = found.file_meta.TransferSyntaxUID
        return f", packed as {syntax.name}," if syntax.is_compressed else ""
    except (AttributeError, ValueError):  # none is told, or none that is known
        return ""


def _stored(found: Any) -> tuple[int, int]:
    """The least and the greatest value that so many bits can hold."""
    bits = int(found.BitsStored)
    if int(found.get("PixelRepresentation") or 0) == 1:
        return -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    return 0, 2**bits - 1


def _scale(found: Any, number: int) -> tuple[float, float]:
    """Slope and intercept; those of a frame stand with it, or with all frames."""
    places = [found]
    for name, place in (("SharedFunctionalGroupsSequence", 0),
                        ("PerFrameFunctionalGroupsSequence", number)):  # fmt: skip
        groups = found.get(name) or ()
        if place < len(groups):
            places += groups[place].get("PixelValueTransformationSequence") or ()
    slope, intercept = 1.0, 0.0
    for where in places:
        slope = float(where.get("RescaleSlope", slope))
        intercept = float(where.get("RescaleIntercept", intercept))
    return slope, intercept


def _type(low: int, high: int, scale: tuple[float, float]) -> np.dtype[Any]:
    """The smallest that holds whatever the file could, so that a set's files have one type."""
    slope, intercept = scale
    if not (slope.is_integer() and intercept.is_integer()):
        return np.dtype(np.float32)
    ends = sorted((low * slope + intercept, high * slope + intercept))
    holds = (t for t in TYPES if np.iinfo(t).min <= ends[0] and ends[1] <= np.iinfo(t).max)
    return np.dtype(next(holds, np.float32))
