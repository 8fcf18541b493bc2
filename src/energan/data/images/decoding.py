"""One image: from the numbers that its file holds to those that a set stores, (C, H, W)."""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageColor

from energan.core import DataError, LabelMap
from energan.data.images.reading import header_of, read_image, read_labels
from energan.data.images.values import RawImage, Unreadable
from energan.data.source import Encoded, piece_of
from energan.io.memory import check_memory
from energan.io.pictures import STRIP, resize

Channels = Literal["auto", "grey", "colour", "all"]
Fit = Literal["crop", "pad", "stretch"]
Depth = Literal["uint8", "uint16", "float32"]
Window = tuple[float, float]
Size = int | tuple[int, int]
"""The side of a square, or width and height."""
Pixels = NDArray[Any]
Notes = Counter[str]
"""What was done to images, by the keys of `NOTES`, and to how many."""
BYTES = 2
"""Largest integer types whose range is taken as the images' range; values rarely fill larger
ones."""
LEVELS = {"uint8": 255, "uint16": 65535}
CUT = 0.1
"""Fraction of an image that may be cut off without a note."""
LARGE, LARGE_FILE = 2**24, 2**14
"""Pixels of an image that is decoded alone, and least number of bytes that one of them takes."""


@dataclass(frozen=True)
class Decoding:
    """How an image becomes (C, H, W): turned as its EXIF says, then cropped, then resized.

    crop: a box (left, top, right, bottom) in pixels; None for the whole image.
    size: what it is resized to, antialiased: the side of a square, or width and height; None leaves
        its size.
    fit: "crop" scales it until it covers `size` and cuts the middle, "pad" until it fits in and
        fills up with the lowest value, "stretch" scales both sides.
    channels: "grey" 1, "colour" 3, "all" as many as there are, "auto" whichever the images are.
    background: a colour that transparent parts are laid on.
    intensity: the values that become the lowest and the highest of the range; None for those of the
        images' own type of integers.
    depth: the type that they are stored as.
    bounds: the range of those stored as float32.
    label_map: what the values of label maps mean, which are stored as numbers of classes, or in
        their colours.
    """

    crop: tuple[int, int, int, int] | None = None
    size: Size | None = None
    fit: Fit = "crop"
    channels: Channels = "auto"
    background: str = "white"
    intensity: Window | None = None
    depth: Depth = "uint8"
    bounds: Window = (0.0, 1.0)
    label_map: LabelMap | None = None

    @property
    def bits(self) -> int:
        """That pictures of such images are written with."""
        return 8 if self.depth == "uint8" else 16

    def key(self) -> dict[str, Any]:
        """What a cache is keyed by: of fields that came later what differs from their defaults."""
        plain, told = asdict(Decoding()), asdict(self)
        first = ("crop", "size", "fit", "channels")
        if self.depth != "float32":
            told["bounds"] = plain["bounds"]
        return {name: value for name, value in told.items()
                if name in first or value != plain[name]}  # fmt: skip


def decode(encoded: Encoded, how: Decoding, notes: Notes | None = None) -> Pixels:
    """The image in a file's bytes as `how` says: upright, cropped, resized, (C, H, W).

    notes: counts what was done to it. Raises Unreadable for bytes that are no image, or a truncated
    one, a crop outside of it, or values and bands that `how` has no rule for.
    """
    with _alone_if_large(encoded):
        counted = Notes() if notes is None else notes
        if how.label_map is not None:
            return _decode_labels(encoded, how, how.label_map, counted)
        side = max(width_and_height(how.size)) if how.size and how.crop is None else None
        # what is read is handed over, so that it can be let go of on the way
        return prepare(read_image(encoded, side), how, counted)


def _decode_labels(encoded: Encoded, how: Decoding, labels: LabelMap, notes: Notes) -> Pixels:
    """A label map as numbers of classes (1, H, W), or in their colours (3, H, W)."""
    image = read_labels(encoded).values
    image = image if how.crop is None else _crop(image, how.crop)
    found = image.pixels
    order = np.argsort(labels.values)
    known = np.array(labels.values)[order]
    places = np.searchsorted(known, found).clip(max=len(known) - 1)
    if (strange := found[known[places] != found]).size:
        raise Unreadable(f"its label {strange[0]} is not one of the {len(known)} known ones")
    numbers = order[places].astype(np.uint8)
    if how.size is not None:
        _note_size(image, how.size, how.fit, notes)
        numbers = _resize(numbers, how.size, how.fit, notes, Image.Resampling.NEAREST)
    if not labels.one_hot:
        numbers = np.array(labels.colours, np.uint8)[numbers[..., 0]]
    return np.ascontiguousarray(np.moveaxis(numbers, -1, 0))


def place_numbers(
    numbers: NDArray[np.int32], how: Decoding
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Numbers (H, W) of an image's pixels, cropped and resized as it is, by nearest neighbour; and
    what is not cut off of them, before it is resized."""
    image = RawImage(numbers[..., None])
    pixels = image.pixels if how.crop is None else _crop(image, how.crop).pixels
    height, width = pixels.shape[:2]
    box: tuple[float, ...] = (0, 0, width, height)
    if how.size is not None and how.fit == "crop":
        box = middle_box(width, height, *width_and_height(how.size))
    left, top, right, bottom = map(round, box)
    kept = pixels[top:bottom, left:right, 0]
    if how.size is not None:
        pixels = _resize(pixels, how.size, how.fit, Notes(), Image.Resampling.NEAREST)
    return np.ascontiguousarray(pixels[..., 0]), kept


_one_large = threading.Lock()


@contextmanager
def _alone_if_large(encoded: Encoded) -> Iterator[None]:
    """Large images are decoded one at a time: each takes hundreds of megabytes on the way."""
    header = header_of(encoded) if len(piece_of(encoded).raw) > LARGE_FILE else None
    if header is None or header.size[0] * header.size[1] < LARGE:
        yield
        return
    with _one_large:
        yield


def prepare(picture: RawImage, how: Decoding, notes: Notes) -> Pixels:
    """A picture cropped, laid on its background, scaled, in its channels and resized: (C, H, W)."""
    notes.update(f"told {line}" for line in picture.told)
    if picture.pages > 1:
        notes[f"pages {picture.pages}"] += 1
    if how.crop is not None:
        picture = _crop(picture, how.crop)
    if how.size is not None:
        _note_size(picture, how.size, how.fit, notes)
    pixels = picture.pixels if picture.alpha is None else _lay(picture, how.background, notes)
    bits = picture.bits
    del picture
    if pixels.dtype != np.uint8 or how.depth != "uint8" or how.intensity is not None:
        pixels = _scale(pixels, how, notes, bits)
    pixels = _with_channels(pixels, how.channels, notes)
    if how.size is not None:
        pixels = _resize(pixels, how.size, how.fit, notes)
    if how.channels == "colour" and pixels.shape[2] == 1:
        notes["grey"] += 1
        pixels = np.repeat(pixels, 3, 2)
    return _store(np.moveaxis(pixels, -1, 0), how)


def prepare_array(images: Pixels, how: Decoding, name: str, notes: Notes | None = None) -> Pixels:
    """The same for images (N, C, H, W) that are arrays already. Raises DataError for a crop outside
    of them, and for bands of which neither grey nor colour can be made."""
    counted = Notes() if notes is None else notes
    if how.size is not None:  # each, and all of them together
        width, height = width_and_height(how.size)
        needed = 2 * len(images) * images.shape[1] * width * height * images.dtype.itemsize
        check_memory(needed, f"{name}, at {width}x{height},", "lower data.size or data.limit")
    try:
        return np.stack([prepare(RawImage(np.moveaxis(x, 0, -1)), how, counted) for x in images])
    except Unreadable as error:
        setting = "data.crop: " if "crop box" in str(error) else ""
        raise DataError(f"{setting}{name}: {error}") from None


def _crop(picture: RawImage, box: tuple[int, int, int, int]) -> RawImage:
    left, top, right, bottom = box
    width, height = picture.size
    if right > width or bottom > height:
        raise Unreadable(f"its {width}x{height} pixels do not contain the crop box {box}")
    part = slice(top, bottom), slice(left, right)
    alpha = None if picture.alpha is None else picture.alpha[part]
    return replace(picture, pixels=picture.pixels[part], alpha=alpha)


# --- transparency ---------------------------------------------------------------------------------


def _lay(picture: RawImage, background: str, notes: Notes) -> Pixels:
    """The picture on its background; in colour if either is."""
    pixels, alpha = picture.pixels, picture.alpha
    assert alpha is not None
    integer = alpha.dtype.kind in "ui"
    opaque = np.iinfo(alpha.dtype).max if integer else 1
    if (alpha == opaque).all():
        return pixels
    notes["transparent"] += 1
    colour = ImageColor.getrgb(background)[:3]
    if pixels.shape[2] == 1 and len(set(colour)) > 1:
        pixels = np.repeat(pixels, 3, 2)
    if pixels.shape[2] not in (1, 3):
        return pixels  # bands have no background
    made = _lay_bytes(pixels, alpha, colour) if pixels.dtype == np.uint8 else None
    if made is None:
        share = (alpha / opaque)[..., None]
        behind = np.array(colour[: pixels.shape[2]]) * (opaque / 255)
        made = pixels * share + behind * (1 - share)
        made = (np.rint(made) if integer else made).astype(pixels.dtype)
    notes["blank"] += all(band.min() == band.max() for band in np.moveaxis(made, -1, 0))
    return made


def _lay_bytes(pixels: Pixels, alpha: Pixels, colour: tuple[int, ...]) -> Pixels:
    """By Pillow, some rows at a time."""
    made = np.empty_like(pixels, order="C")
    rows = max(1, STRIP // pixels.shape[1])
    for top in range(0, len(pixels), rows):
        part = pixels[top : top + rows]
        colours = np.broadcast_to(part, (*part.shape[:2], 3))
        above = Image.fromarray(np.dstack([colours, alpha[top : top + rows]]))
        behind = Image.new("RGBA", above.size, (*colour, 255))
        laid = np.asarray(Image.alpha_composite(behind, above))
        made[top : top + rows] = laid[..., : pixels.shape[2]]
    return made


# --- range ----------------------------------------------------------------------------------------


def _scale(pixels: Pixels, how: Decoding, notes: Notes, bits: int | None) -> Pixels:
    """Values as 0 to 255 where 8 bits are stored, else as float32 from 0 to 1."""
    low, high = _window(pixels, how, bits)
    small = how.depth == "uint8"
    made = np.empty(pixels.shape, np.uint8 if small else np.float32)
    outside, rows = 0, max(1, STRIP // pixels.shape[1])
    for top in range(0, len(pixels), rows):  # a large image fits memory once, not as float64
        unit = (pixels[top : top + rows].astype(np.float64) - low) / (high - low)
        outside += int(((unit < 0) | (unit > 1)).sum())
        unit = unit.clip(0, 1, out=unit)
        made[top : top + rows] = np.rint(unit * LEVELS["uint8"]) if small else unit
    if how.intensity is not None:
        notes["values"] += pixels.size
        notes["clipped values"] += outside
        notes["clipped"] += outside > 0
    notes["shallow"] += small and pixels.dtype != np.uint8
    return made


def has_range(dtype: np.dtype[Any]) -> bool:
    """Whether the type of an image's numbers tells what they lie between."""
    return dtype.kind in "ui" and dtype.itemsize <= BYTES


def _window(pixels: Pixels, how: Decoding, bits: int | None) -> Window:
    if pixels.dtype.kind == "f" and not np.isfinite(pixels).all():
        raise Unreadable("it holds values that are NaN or infinite")
    if how.intensity is not None:
        return how.intensity
    if not has_range(pixels.dtype):
        raise Unreadable(
            f"it holds {pixels.dtype.name} values, and the other images, or the training images, "
            "have 8 bits: save it with 8 bits, or train with --data.intensity LOW HIGH"
        )
    if pixels.dtype.kind == "i" and pixels.min(initial=0) < 0:
        raise Unreadable(
            "it holds values below 0: set --data.intensity LOW HIGH to the range of the values"
        )
    return 0.0, float(np.iinfo(pixels.dtype).max if bits is None else 2**bits - 1)


def _store(pixels: Pixels, how: Decoding) -> Pixels:
    if how.depth == "uint8":
        return np.ascontiguousarray(pixels)
    if how.depth == "uint16":
        return np.ascontiguousarray(np.rint(pixels * np.float64(LEVELS["uint16"])).astype("=u2"))
    low, high = how.bounds
    return np.ascontiguousarray(pixels * np.float32(high - low) + np.float32(low))


# --- channels -------------------------------------------------------------------------------------


def _with_channels(pixels: Pixels, channels: Channels, notes: Notes) -> Pixels:
    """In grey where that is asked for; grey ones stay, to be coloured once they are small."""
    bands = pixels.shape[2]
    wanted = {"grey": 1, "colour": 3}.get(channels, bands)
    if bands in (1, wanted):
        return pixels
    if bands != 3:
        raise Unreadable(
            f"it has {bands} bands, which cannot be converted to grey or colour: set "
            "--data.channels all, and give images with the same number of bands"
        )
    notes["colour"] += any((pixels[..., band] != pixels[..., 0]).any() for band in (1, 2))
    if pixels.dtype == np.uint8:
        return np.asarray(Image.fromarray(pixels).convert("L"))[..., None]
    weights = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R 601-2, as Pillow's
    return (pixels @ weights)[..., None].clip(0, 1)


# --- size -----------------------------------------------------------------------------------------


def width_and_height(size: Size) -> tuple[int, int]:
    """Both sides; those of a square are the same."""
    return (size, size) if isinstance(size, int) else size


def _note_size(image: RawImage, size: Size, fit: Fit, notes: Notes) -> None:
    """Count an image that is enlarged or shrunk, by what of it becomes the width of `size`."""
    width, height = width_and_height(size)
    shares = image.size[0] / width, image.size[1] / height
    found = round((max if fit == "pad" else min)(shares) * width * image.reduced)
    if found != width:
        notes[f"{'enlarged' if found < width else 'shrunk'} {found}"] += 1


def _resize(
    pixels: Pixels,
    size: Size,
    fit: Fit,
    notes: Notes,
    filter_: Image.Resampling = Image.Resampling.LANCZOS,
) -> Pixels:
    height, width, bands = pixels.shape
    wide, high = width_and_height(size)
    if (width, height) == (wide, high):
        return pixels
    scaled, box = (wide, high), None
    if fit == "crop":
        box = middle_box(width, height, wide, high)
        cut = 1 - min((box[2] - box[0]) / width, (box[3] - box[1]) / height)
        if cut > CUT:
            notes[f"cut {cut:.0%}"] += 1
    elif fit == "pad":
        zoom = min(wide / width, high / height)
        scaled = max(1, round(width * zoom)), max(1, round(height * zoom))
    resized = resize(pixels, scaled, filter_, box, gap=3.0)
    if fit != "pad":
        return resized
    padded = np.zeros((high, wide, bands), resized.dtype)
    top, left = (high - scaled[1]) // 2, (wide - scaled[0]) // 2
    padded[top : top + scaled[1], left : left + scaled[0]] = resized
    return padded


def middle_box(width: int, height: int, wide: int, high: int) -> tuple[float, float, float, float]:
    """The largest box in the middle of an image that has the proportions of wide x high: left, top,
    right, bottom."""
    across, down = (
        (width, width * high / wide) if width * high <= height * wide
        else (height * wide / high, height)
    )  # fmt: skip
    left, top = (width - across) / 2, (height - down) / 2
    return left, top, left + across, top + down
