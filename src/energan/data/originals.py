"""Images as they lie in their files, and which part of each a run sees."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from energan.core import Domain
from energan.data.images.decoder import select_parts
from energan.data.images.decoding import Decoding, Fit, Notes, Window, middle_box, width_and_height
from energan.data.images.decoding import prepare as prepare_image
from energan.data.images.reading import read_image
from energan.data.images.values import RawImage, Unreadable
from energan.data.preparation import decoding_of
from energan.data.settings import DataSettings
from energan.data.source import Source
from energan.io.pictures import to_uint8

Size = tuple[int, int]
Point = tuple[float, float]
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class VisibleRegion:
    """Which part of an image a run sees: left, top, right and bottom in pixels of the image.

    box: what the run's events cover; it reaches beyond the image where that is filled up. seen:
    what they show of the image, without borders that were put over what was cut off.
    """

    box: Box
    seen: Box

    def window(self, size: Size, start: Point, extent: Point) -> "VisibleRegion":
        """Of events of this size a window that begins at `start`, which may lie outside, and is as
        large as `extent`, both in pixels of the event."""
        left, top, right, bottom = self.box
        across, down = (right - left) / size[0], (bottom - top) / size[1]
        left, top = left + start[0] * across, top + start[1] * down
        box = left, top, left + extent[0] * across, top + extent[1] * down
        near, far = map(max, box[:2], self.seen[:2]), map(min, box[2:], self.seen[2:])
        return VisibleRegion(box, (*near, *far))  # type: ignore[arg-type]

    def place(self, heat: NDArray[np.float32], size: Size) -> NDArray[np.float32]:
        """A map (h, w) of the events as (H, W) of an image of this width and height, bilinear; NaN
        where the run sees nothing of it."""
        left, top, right, bottom = self.box
        high, wide = heat.shape
        across, down = wide / (right - left), high / (bottom - top)
        affine = (across, 0.0, -left * across, 0.0, down, -top * down)
        image = Image.fromarray(np.ascontiguousarray(heat, np.float32))
        made = image.transform(size, Image.Transform.AFFINE, affine, Image.Resampling.BILINEAR)
        left, top, right, bottom = self.seen
        x, y = (np.arange(n) + 0.5 for n in size)
        inside = ((y >= top) & (y < bottom))[:, None] & ((x >= left) & (x < right))
        return np.where(inside, np.asarray(made), np.float32(np.nan))


@dataclass(frozen=True, eq=False)
class Original:
    """An upright image: pixels uint8 (H, W, 1 or 3), and what a run sees of it."""

    pixels: NDArray[np.uint8]
    region: VisibleRegion

    def place(self, heat: Tensor) -> NDArray[np.float32]:
        """A map (h, w) of what the run sees, as (H, W) of the whole image."""
        high, wide = self.pixels.shape[:2]
        return self.region.place(heat.float().numpy(), (wide, high))


@dataclass(frozen=True, eq=False)
class OriginalImages:
    """Those that the images of a set are made of. source, rows: where they are; settings: how they
    were prepared."""

    source: Source
    rows: Tensor
    settings: DataSettings

    def read(self, chosen: Sequence[int], domain: Domain) -> Iterator[tuple[int, Original]]:
        """The i-th image for each i in `chosen`, in the order of the source; those that can no
        longer be read are left out. domain: of the run, for which bands pictures show."""
        how = decoding_of(self.source, self.settings)
        for i, raw in self._raw(chosen):
            pixels = _show(raw, how, domain)
            yield i, Original(pixels, visible_region(raw.size, self.settings, how))

    def _raw(self, chosen: Sequence[int]) -> Iterator[tuple[int, RawImage]]:
        if (events := self.source.events) is not None:
            for i in chosen:
                yield i, RawImage(np.moveaxis(events[int(self.rows[i])].numpy(), 0, -1))
            return
        number = {int(self.rows[i]): i for i in chosen}
        for part, rows in select_parts(self.source, torch.tensor(sorted(number))):
            encoded = part.read()
            for row in rows:
                one = encoded[row - part.start]
                try:
                    if one is not None:
                        yield number[row], read_image(one)
                except Unreadable:
                    continue


def visible_region(size: Size, settings: DataSettings, how: Decoding) -> VisibleRegion:
    """What a run with these settings sees of an image of this width and height: cropped, resized,
    with its border, and of random crops the middle."""
    whole: Box = (0, 0, *size)
    region = VisibleRegion(whole, whole)
    if how.crop is not None:
        left, top, right, bottom = how.crop
        crop = right - left, bottom - top
        region, size = region.window(size, (left, top), crop), crop
    if how.size is not None:
        sides = width_and_height(how.size)
        region, size = _resized(region, size, sides, how.fit), sides
    if settings.pad is not None and size[0] == size[1] < settings.pad:
        before, bordered = (settings.pad - size[0]) // 2, (settings.pad, settings.pad)
        region, size = region.window(size, (-before, -before), bordered), bordered
    if (side := settings.random_crop) is not None:
        start = (size[0] - side) // 2, (size[1] - side) // 2
        region = region.window(size, start, (side, side))
    return region


def _resized(region: VisibleRegion, size: Size, sides: Size, fit: Fit) -> VisibleRegion:
    wide, high = size
    if fit == "crop":
        left, top, right, bottom = middle_box(wide, high, *sides)
        return region.window(size, (left, top), (right - left, bottom - top))
    if fit == "pad":
        zoom = min(sides[0] / wide, sides[1] / high)
        inner = max(1, round(wide * zoom)), max(1, round(high * zoom))
        before = (sides[0] - inner[0]) // 2, (sides[1] - inner[1]) // 2
        return region.window(inner, (-before[0], -before[1]), sides)
    return region


def _show(raw: RawImage, how: Decoding, domain: Domain) -> NDArray[np.uint8]:
    """(H, W, 1 or 3): deep images by their set's range where it is set, else by their own."""
    window = how.intensity
    if window is None and raw.pixels.dtype != np.uint8:
        window = _range(raw)
    shown = Decoding(background=how.background, intensity=window)
    bands = torch.tensor(prepare_image(raw, shown, Notes()))
    bytes_ = Domain(tuple(bands.shape), 0, 255, shown=domain.shown)
    found: NDArray[np.uint8] = to_uint8(bands[None], bytes_)[0]
    return found


def _range(raw: RawImage) -> Window:
    low, high = float(raw.pixels.min()), float(raw.pixels.max())
    return low, high if high > low else low + 1
