"""HEIC and HEIF, as telephones write them. The library turns them upright itself."""

import io

import numpy as np
from PIL import Image

from energan.data.images.formats.optional import import_optional
from energan.data.images.values import RawImage, Unreadable

BRANDS = (
    b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1",
)  # fmt: skip


def is_heic(raw: bytes) -> bool:
    """By the brands at its beginning. AVIF, which is written alike, is Pillow's."""
    if raw[4:8] != b"ftyp" or raw[8:12] not in BRANDS:
        return False
    brands = raw[16 : int.from_bytes(raw[:4])]
    return b"avif" not in brands or b"heic" in brands


def read_heic(raw: bytes, number: int = 0, *, decode: bool = True) -> RawImage:
    """The image `number`, its main one first; 10 and 12 bits as uint16. Without `decode` of
    zeros."""
    heif = import_optional("pillow_heif", "heic", "HEIC")
    file = heif.open_heif(io.BytesIO(raw), convert_hdr_to_8bit=False)
    first = file.primary_index
    image = file[[first, *(n for n in range(len(file)) if n != first)][number]]
    (width, height), mode = image.size, image.mode
    if width * height > (Image.MAX_IMAGE_PIXELS or 0):
        raise Unreadable(f"it claims {width}x{height} pixels")
    names, dtype = mode.partition(";")[0], np.uint16 if ";16" in mode else np.uint8
    bands = {"L": 1, "LA": 2, "RGB": 3, "RGBA": 4, "RGBa": 4}[names.removeprefix("I") or "L"]
    shape = height, width, bands
    if decode:
        values = np.asarray(image).reshape(shape)
    else:
        values = np.broadcast_to(np.zeros((), dtype), shape)
    alpha = bands in (2, 4)
    pixels = values[..., : bands - alpha]
    return RawImage(pixels, values[..., -1] if alpha else None, len(file))
