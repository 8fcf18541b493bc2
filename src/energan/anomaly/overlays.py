"""Heat maps over the images themselves, at their own size."""

import math

import numpy as np
from numpy.typing import NDArray

from energan.anomaly.heatmaps import COLOURS, CONTOUR, TRUTH, ColourScale
from energan.data.defect_masks import Mask
from energan.io.pictures import STRIP

Pixels = NDArray[np.uint8]
OPACITY, HATCH = 0.7, 0.35
"""Of values from the middle of the scale on, and of the hatching of what the run does not see."""
CONTOURS, HATCHES = 400, 64
"""Of the longer side: the width of a contour, and the distance of two lines of a hatching."""


def overlay(
    pixels: Pixels, heat: NDArray[np.float32], scale: ColourScale, defects: Mask | None = None,
    opacity: float = OPACITY,
) -> Pixels:  # fmt: skip
    """An image (H, W, 1 or 3) with its map (H, W) on it, as (H, W, 3) of the same size.

    The lower half of the scale, up to the threshold, fades into the image. Around what lies above
    the threshold, and around defects (H, W), runs a contour; what the run does not see, NaN in the
    map, is hatched. opacity: of values from the middle of the scale on, 0 to 1.
    """
    from matplotlib import colormaps

    table = (np.array(colormaps[COLOURS](np.arange(256)))[:, :3] * 255).astype(np.float32)
    made = np.empty((*pixels.shape[:2], 3), np.uint8)
    longer = max(pixels.shape[:2])
    apart = max(4, longer // HATCHES)
    rows = max(1, STRIP // pixels.shape[1])
    for top in range(0, len(pixels), rows):  # a large image fits memory once, not as floats
        part = slice(top, top + rows)
        unit = (heat[part] - scale.low) / (scale.high - scale.low)
        seen = ~np.isnan(unit)
        unit = np.where(seen, unit, 0).clip(0, 1)
        opaque = opacity * np.minimum(1, 2 * unit) ** 2
        colours = table[np.rint(255 * unit).astype(np.uint8)]
        y, x = np.ogrid[part.start : part.start + len(unit), : unit.shape[1]]
        hatched = ~seen & ((x + y) % apart < max(1, apart // 6))
        opaque[hatched], colours[hatched] = HATCH, 128
        blended = pixels[part] + opaque[..., None] * (colours - pixels[part])
        made[part] = np.rint(blended)
    width = max(1, round(longer / CONTOURS))
    if scale.threshold is not None:
        made[outline(heat > scale.threshold, width)] = _rgb(CONTOUR)
    if defects is not None:
        made[outline(defects, width)] = _rgb(TRUTH)
    return made


def outline(mask: Mask, width: int = 1) -> Mask:
    """The pixels of a mask (H, W) within `width` of its border; the image's edge is none."""
    from scipy.ndimage import binary_erosion

    inner: Mask = binary_erosion(mask, np.ones((3, 3)), iterations=width, border_value=1)
    return mask & ~inner


def shrink(pixels: Pixels, side: int) -> Pixels:
    """(H, W, 3) reduced to a longer side of at most so many pixels."""
    from PIL import Image

    factor = side / max(pixels.shape[:2])
    if factor >= 1:
        return pixels
    size = tuple(max(1, math.floor(n * factor)) for n in pixels.shape[1::-1])
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.LANCZOS))


def _rgb(colour: str) -> tuple[int, ...]:
    return tuple(int(colour[i : i + 2], 16) for i in (1, 3, 5))
