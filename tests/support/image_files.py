"""Image files for tests, written as users' files are."""

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from PIL import Image

Pixels = np.ndarray


def smooth(height: int, width: int, channels: int = 3) -> Pixels:
    """A picture that rises to the right, downwards and along the diagonal: (H, W, C)."""
    y, x = np.mgrid[0:height, 0:width]
    across, down = x * 255 // max(width - 1, 1), y * 255 // max(height - 1, 1)
    return np.stack([across, down, (across + down) // 2], -1)[..., :channels].astype(np.uint8)


def noise(count: int, height: int = 6, width: int = 6, seed: int = 0) -> Pixels:
    """Random colour images (N, H, W, 3)."""
    random = np.random.default_rng(seed)
    return random.integers(0, 256, (count, height, width, 3), dtype=np.uint8)


def encoded(pixels: Pixels | Image.Image, form: str = "PNG", **options: Any) -> bytes:
    """The bytes of an image file."""
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def huge_png(side: int) -> bytes:
    """A small PNG file whose header claims side x side pixels."""
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    body = png_chunk(b"IDAT", zlib.compress(bytes(100)))
    return PNG + png_chunk(b"IHDR", header) + body + png_chunk(b"IEND", b"")


PNG = b"\x89PNG\r\n\x1a\n"


def png_chunk(kind: bytes, data: bytes) -> bytes:
    checked = kind + data
    return struct.pack(">I", len(data)) + checked + struct.pack(">I", zlib.crc32(checked))


READABLE, UNREADABLE = 12, ("bomb.png", "empty.png", "gone.png", "text.png", "torn.jpg")


def odd_folder(folder: Path) -> Path:
    """READABLE images of every kind, the UNREADABLE files, and some that are no images at all."""
    folder.mkdir()
    pixels = smooth(33, 21)
    image = Image.fromarray(pixels)
    for name in ("plain name.png", "日本 語.jpg", "Ünïcode ё.webp", "UPPER.JPG"):
        image.save(folder / name)
    for mode, name in (("L", "grey.png"), ("RGBA", "alpha.png"), ("CMYK", "print.jpeg"),
                       ("1", "bit.tif"), ("P", "palette.gif")):  # fmt: skip
        image.convert(mode).save(folder / name)
    Image.fromarray(pixels[..., 0].astype(np.uint16) * 257).save(folder / "deep.png")
    image.resize((500, 3)).save(folder / "wide.png")
    image.resize((1, 1)).save(folder / "one.png")
    (folder / "torn.jpg").write_bytes(encoded(noise(1, 40, 40)[0], "JPEG")[:300])
    (folder / "empty.png").write_bytes(b"")
    (folder / "text.png").write_text("hello")
    (folder / "bomb.png").write_bytes(huge_png(30_000))
    (folder / "gone.png").symlink_to(folder / "nowhere.png")
    (folder / ".hidden.png").write_bytes(encoded(pixels))
    (folder / "notes.txt").write_text("hello")
    (folder / "folder.png").mkdir()
    (folder / "loop").symlink_to(folder)
    return folder


def tiff(pixels: Pixels, **options: Any) -> bytes:
    """The bytes of a TIFF file of any type and number of bands: (H, W) or (H, W, C)."""
    if pixels.ndim == 3 and "photometric" not in options:
        options |= {"photometric": "minisblack", "planarconfig": "contig"}
    file = io.BytesIO()
    tifffile.imwrite(file, pixels, **options)
    return file.getvalue()


def deep_png(pixels: Pixels) -> bytes:
    """The bytes of a PNG of 16 bits, (H, W, 1 to 4) with alpha last, each of PNG's filters used."""
    height, width, bands = pixels.shape
    step, lines, above = 2 * bands, b"", bytes(2 * bands * width)
    for y, row in enumerate(pixels.astype(">u2")):
        line = row.tobytes()
        made = bytearray()
        for i, value in enumerate(line):
            left, up = line[i - step] if i >= step else 0, above[i]
            corner = above[i - step] if i >= step else 0
            guess = (0, left, up, (left + up) // 2, _paeth(left, up, corner))[y % 5]
            made.append((value - guess) % 256)
        lines, above = lines + bytes([y % 5]) + bytes(made), line
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[bands]
    header = struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0)
    body = png_chunk(b"IDAT", zlib.compress(lines))
    return PNG + png_chunk(b"IHDR", header) + body + png_chunk(b"IEND", b"")


def _paeth(left: int, up: int, corner: int) -> int:
    guess = left + up - corner
    return min((left, up, corner), key=lambda value: abs(guess - value))
