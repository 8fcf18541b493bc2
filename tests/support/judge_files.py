"""Image files of every kind that judge.py reads, or refuses, as bytes by name."""

import numpy as np
from PIL import Image

from support.image_files import deep_png, encoded, huge_png, noise, smooth, tiff


def readable() -> dict[str, bytes]:
    """Of several sizes, modes and depths: what Pillow keeps whole."""
    wide, high, small = noise(1, 41, 67)[0], smooth(90, 37), noise(1, 5, 4, 1)[0]
    image = Image.fromarray(wide)
    alpha = np.dstack([wide, np.arange(41 * 67, dtype=np.uint8).reshape(41, 67)])
    seen_through = image.convert("P")
    found = {
        "wide.png": encoded(wide),
        "high.jpg": encoded(high, "JPEG", quality=80),
        "large.jpg": encoded(np.kron(smooth(60, 90), np.ones((6, 6, 1), np.uint8)), "JPEG"),
        "small.png": encoded(small),
        "plain.webp": encoded(high, "WEBP"),
        "one.png": encoded(wide[:1, :1]),
        "as-it-is.png": encoded(noise(1, 16, 16, 2)[0]),
        "bmp.bmp": encoded(wide, "BMP"),
        "grey.png": encoded(wide[..., 0]),
        "grey.jpg": encoded(high[..., 1], "JPEG"),
        "print.jpg": encoded(image.convert("CMYK"), "JPEG"),
        "bit.png": encoded(image.convert("1")),
        "bit.tif": encoded(image.convert("1"), "TIFF"),
        "palette.png": encoded(image.convert("P")),
        "grey-palette.gif": encoded(image.convert("L").convert("P"), "GIF"),
        "palette-clear.png": encoded(seen_through, transparency=3),
        "alpha.png": encoded(alpha),
        "grey-alpha.png": encoded(Image.fromarray(alpha[..., [0, 3]])),
        "deep-grey.png": encoded(np.arange(41 * 67, dtype=np.uint16).reshape(41, 67) * 23),
        "deep-colour.png": deep_png(_deep(3)),
        "deep-alpha.png": deep_png(_deep(4)),
        "deep-grey-alpha.png": deep_png(_deep(2)),
        "deep.pgm": b"P5 5 4 4095\n" + (np.arange(20, dtype=">u2") * 200).tobytes(),
        "deep.tif": tiff(_deep(1)[..., 0]),
        "pages.tif": encoded(image, "TIFF", save_all=True, append_images=[image.rotate(90)]),
        "colour.tif": encoded(image, "TIFF"),
    }
    for turn in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = turn
        found[f"turned-{turn}.jpg"] = encoded(wide, "JPEG", exif=exif)
        found[f"turned-{turn}.png"] = encoded(wide, exif=exif)
    return found


def _deep(bands: int) -> np.ndarray:
    return np.random.default_rng(bands).integers(0, 65536, (23, 31, bands)).astype(np.uint16)


def unreadable() -> dict[str, bytes]:
    """Damaged ones, and kinds that energan alone reads or that have no range."""
    return {
        "torn.jpg": encoded(noise(1, 40, 40)[0], "JPEG")[:300],
        "torn.png": encoded(noise(1, 40, 40)[0])[:300],
        "empty.png": b"",
        "text.png": b"hello",
        "bomb.png": huge_png(30_000),
        "short.pgm": b"P5 5 4 4095\n" + bytes(7),
        "bands.tif": tiff(_deep(5)),
        "colour16.tif": tiff(_deep(3), photometric="rgb"),
        "floats.tif": tiff(np.random.default_rng(0).random((9, 9), np.float32)),
        "scan.dcm": bytes(128) + b"DICM" + bytes(50),
    }
