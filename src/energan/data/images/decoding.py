"""One image: from the bytes of its file to uint8 (C, H, W)."""

import io
import threading
import warnings
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from energan.core import DataError
from energan.data.source import Source

Channels = Literal["auto", "grey", "colour"]
Fit = Literal["crop", "stretch"]
Pixels = NDArray[np.uint8]
GREY = ("1", "L", "LA", "La", "I", "F", "I;16", "I;16B", "I;16L", "I;16N")
"""Pillow's modes without colour."""
LOOKED_AT = 64
"""Images of a source that are looked at to tell grey from colour."""
PARTS = 8
"""Parts that they are taken from."""


@dataclass(frozen=True)
class Decoding:
    """How an image becomes uint8 (C, H, W): turned as its EXIF says, then cropped, then resized.

    crop: a box (left, top, right, bottom) in pixels; None for the whole image.
    size: side of the square that it is resized to, antialiased; None leaves its size.
    fit: "crop" scales the shorter side to `size` and cuts the middle, "stretch" scales both.
    channels: "grey" 1, "colour" 3, "auto" whichever the images are.
    """

    crop: tuple[int, int, int, int] | None = None
    size: int | None = None
    fit: Fit = "crop"
    channels: Channels = "auto"


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


class Unreadable(Exception):
    """These bytes are no image that can be read; the message says why."""


def decode(raw: bytes, how: Decoding) -> Pixels:
    """The image in `raw` as `how` says: turned upright, cropped, resized, grey or colour.

    Transparent parts become white; 16 bits become 8; of an animation the first frame counts.
    Raises Unreadable for bytes that are no image, or a truncated one, or a crop outside of it.
    """
    try:
        with _quiet, Image.open(io.BytesIO(raw)) as image:
            if how.size is not None and how.crop is None:
                image.draft(None, (2 * how.size, 2 * how.size))  # JPEG: decode no finer
            image.load()
            upright = ImageOps.exif_transpose(image)
        return prepare(to_grey_or_colour(upright, how.channels == "grey"), how)
    except Unreadable:
        raise
    except UnidentifiedImageError:
        raise Unreadable("it is empty, or no image") from None
    except Exception as error:
        # Pillow's readers raise whatever they stumble over: struct.error, KeyError, SyntaxError
        text = " ".join(str(error).split()) or type(error).__name__
        raise Unreadable(text) from None


def to_grey_or_colour(image: Image.Image, grey: bool) -> Image.Image:
    """`image` in mode L or RGB, without transparency and with 8 bits a channel."""
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        values = np.asarray(image, dtype=np.float64)
        image = Image.fromarray(
            np.rint(values / _scale(image.mode, values)).clip(0, 255).astype(np.uint8)
        )
    if image.has_transparency_data:
        colours = image.convert("RGBA")
        white = Image.new("RGBA", colours.size, (255, 255, 255, 255))
        image = Image.alpha_composite(white, colours).convert("RGB")
    return image.convert("L" if grey else "RGB")


def _scale(mode: str, values: NDArray[np.float64]) -> float:
    """What `values` are divided by to lie in 0 to 255."""
    most = values.max(initial=0)
    if mode == "F" and most <= 1:
        return 1 / 255
    # 32-bit integers and other floats have no scale of their own: 16 bits if they do not fit in 8
    return 257.0 if mode.startswith("I;16") or most > 255 else 1.0


def prepare(image: Image.Image, how: Decoding) -> Pixels:
    """Crop and resize an image of mode L or RGB -> uint8 (C, H, W)."""
    if how.crop is not None:
        left, top, right, bottom = how.crop
        if right > image.width or bottom > image.height:
            raise Unreadable(
                f"its {image.width}x{image.height} pixels do not hold the crop box {how.crop}"
            )
        image = image.crop((left, top, right, bottom))
    if how.size is not None and image.size != (how.size, how.size):
        box = _middle(image.size) if how.fit == "crop" else None
        image = image.resize((how.size, how.size), Image.Resampling.LANCZOS, box, reducing_gap=3.0)
    values = np.asarray(image)
    return np.ascontiguousarray(values[None] if values.ndim == 2 else values.transpose(2, 0, 1))


def prepare_array(images: Pixels, how: Decoding, name: str) -> Pixels:
    """The same for images (N, C, H, W) that are arrays already; C is 1 or 3.

    Raises DataError for a crop outside of them.
    """
    grey = images.shape[1] == 1
    to_grey = grey if how.channels == "auto" else how.channels == "grey"
    made: list[Pixels] = []
    for pixels in images:
        image = Image.fromarray(pixels[0] if grey else np.moveaxis(pixels, 0, -1))
        try:
            made.append(prepare(image.convert("L" if to_grey else "RGB"), how))
        except Unreadable as error:
            raise DataError(f"data.crop: {name}: {error}") from None
    return np.stack(made)


def _middle(size: tuple[int, int]) -> tuple[float, float, float, float]:
    width, height = size
    side = min(width, height)
    left, top = (width - side) / 2, (height - side) / 2
    return left, top, left + side, top + side


def resolve_channels(source: Source, how: Decoding) -> Decoding:
    """`how` with channels "auto" replaced by what the images are.

    Images spread over the source are looked at; one with colour makes it colour.
    """
    if how.channels != "auto":
        return how
    # Parts are read whole: a few of them, and some images of each.
    wanted = max([PARTS, *(LOOKED_AT // part.count for part in source.parts[:1])])
    parts = source.parts[:: max(1, len(source.parts) // wanted)]
    for part in parts:
        raws = part.read()
        for raw in raws[:: max(1, len(raws) * len(parts) // LOOKED_AT)]:
            if raw is not None and has_colour(raw):
                return replace(how, channels="colour")
    return replace(how, channels="grey")


def size_of(raw: bytes) -> tuple[int, int] | None:
    """Width and height of an image, by its header; None for one that cannot be read."""
    try:
        with _quiet, Image.open(io.BytesIO(raw)) as image:
            return image.size
    except Exception:
        return None


def has_colour(raw: bytes) -> bool:
    """Whether an image can hold colour, by its header; False for one that cannot be read."""
    try:
        with _quiet, Image.open(io.BytesIO(raw)) as image:
            if image.mode != "P":
                return image.mode not in GREY
            colours = np.asarray(image.getpalette("RGB"), dtype=np.int16).reshape(-1, 3)
            return bool((colours != colours[:, :1]).any())
    except Exception:
        return False
