"""Whether images are normal: python judge.py IMAGES... [--out scores.csv] [--heatmaps DIR] [--json]

`energan export RUN --format verdict` writes this file beside energy.onnx and verdict.json. It needs
numpy, Pillow and onnxruntime alone (Python 3.10 or later), and gives the energies, percentiles,
verdicts and heat maps of `energan score`. In Python:

    from judge import Judge
    found = Judge("folder of this file").score(["part.png", "photos/"])

It is one file so that it can be copied; what it does to an image is energan/data/images, and tests
hold the two together.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import io
import json
import logging
import os
import re
import sys
import unicodedata
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnxruntime
from PIL import Image, PngImagePlugin, UnidentifiedImageError

logging.getLogger("PIL").setLevel(logging.CRITICAL)
Array = np.ndarray[Any, Any]
FORMAT = 1
"""Of verdict.json."""
File = tuple[str, Path]
"""As the table names it, and where it is."""
CHUNK = 16
"""Images that are in memory at a time."""
SHOWN = 10
SUFFIXES = {
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm",
    ".pgm", ".pbm", ".pnm", ".tga", ".avif",
}  # fmt: skip
"""Of the files in a folder that are read, in lower case."""
ELSEWHERE = {".heic", ".heif", ".hif", ".dcm", ".dicom", ".nii", ".nii.gz"}
"""Of those that `energan score` reads and this file does not: they are listed as left out."""
SYSTEM = {
    "__macosx", "@eadir", "thumbs.db", "ehthumbs.db", "desktop.ini", "$recycle.bin", "#recycle",
    "system volume information", "lost+found", "__pycache__",
}  # fmt: skip


class JudgeError(Exception):
    """What the user can mend: said in one sentence, with exit code 2."""


class BadImage(Exception):
    """An image that is left out; the message says why."""


@dataclass(frozen=True)
class Judgement:
    """What is said of one image.

    percentile: the share of normal images, 0 to 100, whose energy is no higher. anomalous: whether
    the energy lies above the threshold, or is not a number. heatmap: float32 (H, W), where the
    energy comes from, if it was asked for. pixels: (C, H, W), the image as the network saw it,
    uint8 or float32 from 0 to 1, beside a heat map.
    """

    image: str
    path: Path
    energy: float
    percentile: float
    anomalous: bool
    heatmap: Array | None = None
    pixels: Array | None = None

    def record(self) -> dict[str, str]:
        """A line of the table."""
        return {
            "image": self.image,
            "energy": f"{self.energy:.6g}",
            "percentile": f"{self.percentile:.2f}",
            "anomalous": "yes" if self.anomalous else "no",
        }


@dataclass(frozen=True)
class Judgements:
    """All images that could be read, in the order that they were named, and (where, reason) of the
    others."""

    images: list[Judgement]
    skipped: list[tuple[str, str]]


# --- judging --------------------------------------------------------------------------------------


class Judge:
    """A network, and the threshold that its energies are held against.

    folder: of verdict.json and energy.onnx; that of this file by default. threshold: energies above
    it are anomalous. heatmap_kind: what heat maps show; None if this energy has none.

    Raises JudgeError if the files are missing, damaged, or not of one export.
    """

    def __init__(self, folder: str | Path | None = None) -> None:
        self.folder = Path(__file__).parent if folder is None else Path(folder)
        self.about = _read_json(self.folder / "verdict.json")
        try:
            self.threshold = float(self.about["threshold"])
            normal = self.about["calibration"]
            self._normal = np.array(normal["energies"], np.float32).astype(np.float64)
            weights = np.array(normal["weights"] or np.ones(len(self._normal)), np.float64)
            self._shares = np.r_[0.0, np.cumsum(weights)] * (100.0 / weights.sum())
            self._how = Preparation(**self.about["preparation"])
            told = self.about["heatmap"]
            self.heatmap_kind: str | None = None if told is None else str(told["kind"])
            self._session = self._open(self.about["network"])
        except (KeyError, TypeError, ValueError) as error:
            raise JudgeError(
                f"{self.folder / 'verdict.json'} is damaged ({error!r}): export the run again"
            ) from None

    def _open(self, network: dict[str, Any]) -> onnxruntime.InferenceSession:
        path = self.folder / str(network["file"])
        try:
            content = path.read_bytes()
        except OSError as error:
            raise JudgeError(f"{path} cannot be read: {error.strerror}") from None
        if hashlib.sha256(content).hexdigest() != network["sha256"]:
            raise JudgeError(f"{path} is not the file that verdict.json describes: export again")
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])

    def check_heatmaps(self) -> None:
        """Raise JudgeError if this energy has no heat maps here."""
        if self.heatmap_kind is None:
            raise JudgeError(
                "this export has no heat maps, because they need the energy's gradient, which "
                "energy.onnx does not hold; leave --heatmaps out, or use energan score "
                "--heatmaps"
            )

    def score(self, paths: Sequence[str | Path], *, heatmaps: bool = False) -> Judgements:
        """Judge image files, and all images in folders and the folders below.

        heatmaps: keep the heat map and the pixels of each image. Raises JudgeError for a path that
        does not exist, if no image can be read, and for heat maps that this energy does not have.
        """
        if heatmaps:
            self.check_heatmaps()
        images: list[Judgement] = []
        skipped: list[tuple[str, str]] = []
        with _quiet_pillow(), ThreadPoolExecutor() as pool:
            for group in _groups(paths):
                depth = self._how.depth_of([file for _, file in group])
                for start in range(0, len(group), CHUNK):
                    part = group[start : start + CHUNK]
                    made = pool.map(self._load, [file for _, file in part], [depth] * len(part))
                    pairs = list(zip(part, made, strict=True))
                    skipped += [(name, x) for (name, _), x in pairs if isinstance(x, str)]
                    kept = [(one, x) for one, x in pairs if not isinstance(x, str)]
                    if kept:
                        images += self._judge(kept, heatmaps)
        if not images:
            first = f" (the first, {skipped[0][0]}: {skipped[0][1]})" if skipped else ""
            raise JudgeError(f"no image can be read{first}: name image files, or folders of them")
        return Judgements(images, skipped)

    def _load(self, file: Path, depth: str) -> Array | str:
        """The pixels of a file, or why it is left out."""
        try:
            return self._how.prepare(_read_file(file), depth)
        except BadImage as error:
            return str(error)

    def _judge(self, loaded: Sequence[tuple[File, Array]], maps: bool) -> Iterator[Judgement]:
        """Files with their pixels, in one pass of the network."""
        pixels = np.stack([x for _, x in loaded])
        outputs = ["energy", "heatmap"] if maps else ["energy"]
        found = self._session.run(outputs, {"pixels": pixels})
        energy = found[0].astype(np.float64)
        percentile, anomalous = self.verdicts(energy)
        for i, ((name, path), x) in enumerate(loaded):
            said = float(energy[i]), float(percentile[i]), bool(anomalous[i])
            beside = (found[1][i], x) if maps else (None, None)
            yield Judgement(name, path, *said, *beside)

    def verdicts(self, energy: Array) -> tuple[Array, Array]:
        """Percentiles among the normal images, and whether they are anomalous, of energies (B,).

        An energy that differs from one of the calibration by rounding alone counts as equal to it:
        onnxruntime adds in another order than torch does.
        """
        most = np.finfo(np.float64).max
        rounding = float(self.about["rounding"])
        finite = np.nan_to_num(energy, nan=most, posinf=most, neginf=-most)
        below = np.searchsorted(self._normal, finite + rounding, side="right")
        return self._shares[below], ~(energy <= self.threshold + rounding)


def _read_json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf8"))
    except OSError as error:
        raise JudgeError(f"{path} cannot be read: {error.strerror}") from None
    except ValueError:
        raise JudgeError(f"{path} is damaged: export the run again") from None
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise JudgeError(
            f"{path} has another format than this judge.py reads: export the run again"
        )
    return found


# --- which files ----------------------------------------------------------------------------------


def _groups(paths: Sequence[str | Path]) -> list[list[File]]:
    """Files that are named one after the other, and each folder."""
    if isinstance(paths, str | Path):
        paths = [paths]
    groups: list[list[File]] = []
    loose = False
    for word in paths:
        path = Path(word).expanduser()
        if path.is_dir():
            base = printable(path)
            names = [(f"{base}/{printable(f.relative_to(path).as_posix())}", f)
                     for f in _images_below(path)]  # fmt: skip
            groups.append(names)
            loose = False
        elif path.exists():
            groups += [] if loose else [[]]
            groups[-1].append((printable(word), path))
            loose = True
        else:
            raise JudgeError(f"{printable(word)} does not exist: name image files, or folders")
    return groups


def _images_below(root: Path) -> list[Path]:
    """Image files in a folder and below, sorted by their paths; each folder once, hidden and system
    entries left out."""
    found: list[Path] = []
    seen: set[tuple[int, int]] = set()
    for folder, below, names in os.walk(root, followlinks=True):
        told = os.stat(folder)
        if (told.st_dev, told.st_ino) in seen:
            below.clear()
            continue
        seen.add((told.st_dev, told.st_ino))
        below[:] = sorted(name for name in below if not _is_system(name))
        for name in names:
            if not _is_system(name) and _suffix(name) in SUFFIXES | ELSEWHERE:
                found.append(Path(folder, name))
    return sorted((path for path in found if not _is_special(path)), key=lambda path: path.parts)


def _is_system(name: str) -> bool:
    return name.startswith(".") or name.lower() in SYSTEM


def _is_special(path: Path) -> bool:
    """A pipe, a socket or a device, which might be read without end."""
    return path.exists() and not path.is_file()


def _suffix(name: str) -> str:
    lower = name.lower()
    return ".nii.gz" if lower.endswith(".nii.gz") else os.path.splitext(lower)[1]


def _read_file(path: Path) -> bytes:
    if _suffix(path.name) in ELSEWHERE:
        raise BadImage(f"it is a {_suffix(path.name)} file, which energan score reads")
    try:
        if not path.is_file():
            raise BadImage("it cannot be opened, or is empty")
        return path.read_bytes()
    except OSError:
        raise BadImage("it cannot be opened, or is empty") from None


def printable(value: object) -> str:
    """`value` on one line, with what no terminal or UTF-8 file can hold escaped."""
    text = str(value)
    hidden = ("Cc", "Cs", "Zl", "Zp")
    return "".join(_escaped(c) if unicodedata.category(c) in hidden else c for c in text)


def _escaped(character: str) -> str:
    code = ord(character)
    return f"\\x{code - 0xDC00:02x}" if 0xDC80 <= code <= 0xDCFF else repr(character)[1:-1]


# --- from a file's bytes to the numbers in it -----------------------------------------------------

ORIENTATION = 0x0112
GREY = ("1", "L", "LA", "La", "I", "F", "I;16", "I;16B", "I;16L", "I;16N")
PNG, PNG_COLOURS, PNG_GREY_ALPHA = b"\x89PNG\r\n\x1a\n", {2: "RGB", 6: "RGBA"}, 4
PNG_TEXTS = (b"Raw profile type", b"XML:com.adobe.xmp")
PNM = re.compile(rb"P([56])(?:\s|#[^\n]*\n)+(\d+)(?:\s|#[^\n]*\n)+(\d+)(?:\s|#[^\n]*\n)+(\d+)\s")
TURNS: dict[int, Any] = {
    2: lambda x: x[:, ::-1],
    3: lambda x: x[::-1, ::-1],
    4: lambda x: x[::-1],
    5: lambda x: x.swapaxes(0, 1),
    6: lambda x: np.rot90(x, -1),
    7: lambda x: x[::-1, ::-1].swapaxes(0, 1),
    8: lambda x: np.rot90(x),
}
"""EXIF 2.3, 4.6.4: Orientation."""


class DecodedImage(NamedTuple):
    """pixels (H, W, C) of any number type; alpha (H, W) of the same, None where all is opaque."""

    pixels: Array
    alpha: Array | None = None


@contextmanager
def _quiet_pillow() -> Iterator[None]:
    """Warnings of odd metadata are hushed; that of a decompression bomb is an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        yield


def read_picture(raw: bytes, side: int | None = None) -> DecodedImage:
    """The first image in a file's bytes, upright. side: a JPEG is decoded no finer than twice that.

    Raises BadImage for bytes that are no image, a damaged one, or one of a kind that Pillow does
    not keep whole.
    """
    try:
        return _read_picture(raw, side)
    except BadImage:
        raise
    except UnidentifiedImageError:
        raise BadImage("it is empty, or not an image that Pillow reads") from None
    except Exception as error:  # Pillow's readers raise whatever they stumble over
        text = " ".join(str(error).split()) or type(error).__name__
        plain = isinstance(error, OSError | ValueError | Image.DecompressionBombWarning)
        raise BadImage(text if plain else f"it is damaged ({text})") from None


def _read_picture(raw: bytes, side: int | None) -> DecodedImage:
    if raw[128:132] == b"DICM":
        raise BadImage("it is a DICOM file, which energan score reads")
    if (deep := _deep_pnm(raw)) is not None:
        return deep
    with Image.open(io.BytesIO(raw)) as image:
        if image.format == "TIFF":
            _check_tiff(image)
        if side is not None:
            image.draft(None, (2 * side, 2 * side))
        asks = image.format != "PNG" or _png_has_exif(raw)  # else Pillow would decode it to look
        turn = TURNS.get(image.getexif().get(ORIENTATION, 1) if asks else 1)
        kind = _deep_png(raw)
        found = _pixels_of(image) if kind is None else _deep_colours(raw, kind)
    if turn is None:
        return found
    return DecodedImage(turn(found.pixels), None if found.alpha is None else turn(found.alpha))


def _check_tiff(image: Any) -> None:
    """Go to the first page that is an image of its own. Raises BadImage for one of more bands, or
    of other types, than Pillow keeps."""
    for page in range(image.n_frames):
        image.seek(page)
        if not image.tag_v2.get(254, 0) & 5:  # a smaller copy, or a mask
            break
    else:
        image.seek(0)
    tags = image.tag_v2
    bits, form, extra = (
        _several(tags.get(tag, other)) for tag, other in ((258, 1), (339, 1), (338, ()))
    )
    kind, samples = tags.get(262, 1), tags.get(277, 1)
    deep = {(12, 1), (16, 1), (16, 2), (32, 2), (32, 3)}
    bands = {0: 1, 1: 1, 2: 3, 3: 1, 4: 1, 5: 4, 6: 3, 8: 3}  # of photometric interpretations
    if max(bits) > 8:
        whole = samples == 1 and kind == 1 and (bits[0], form[0]) in deep
    else:
        alpha = len(extra) <= 1 and all(sample in (1, 2) for sample in extra)
        whole = form[0] in (1, 4) and alpha and samples - len(extra) == bands.get(kind)
    if not whole or tags.get(259, 1) == 50001:
        raise BadImage("it is a TIFF of a kind that Pillow cannot read; energan score can")


def _several(value: Any) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, tuple | list) else (value,)


def _png_has_exif(raw: bytes) -> bool:
    at = 8
    while at + 8 <= len(raw):
        kind = raw[at + 4 : at + 8]
        if kind == b"eXIf" or (kind[1:] in (b"EXt", b"TXt") and raw.startswith(PNG_TEXTS, at + 8)):
            return True
        at += 12 + int.from_bytes(raw[at : at + 4], "big")
    return False


def _is_coloured(image: Image.Image) -> bool:
    if image.mode != "P":
        return image.mode not in GREY
    colours = np.asarray(image.getpalette("RGB"), dtype=np.int16).reshape(-1, 3)
    return bool((colours != colours[:, :1]).any())


def _pixels_of(image: Image.Image) -> DecodedImage:
    """What Pillow reads without a loss."""
    image.load()
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        return DecodedImage(_deep_grey(image)[..., None])
    bands = 3 if _is_coloured(image) else 1
    if image.has_transparency_data:
        values = np.asarray(image if image.mode == "RGBA" else image.convert("RGBA"))
        return DecodedImage(values[..., :bands], values[..., 3])
    kind = "RGB" if bands == 3 else "L"
    values = np.asarray(image if image.mode == kind else image.convert(kind))
    return DecodedImage(values.reshape(*values.shape[:2], bands))


def _deep_grey(image: Image.Image) -> Array:
    """(H, W) of the type that the file has, where Pillow widened it."""
    values = np.asarray(image)
    if image.mode == "F":
        return values
    if image.mode.startswith("I;16") or image.format in ("PNG", "PPM"):
        return values.astype(np.uint16)
    bits = getattr(image, "tag_v2", {}).get(258, (32,))
    return values.astype(np.int16 if bits[0] == 16 else np.int32)


def _deep_png(raw: bytes) -> int | None:
    """The colour type of a PNG of 16 bits with several bands, of which Pillow keeps 8 bits."""
    if not raw.startswith(PNG) or raw[24:25] != b"\x10":
        return None
    return raw[25] if raw[25] in (*PNG_COLOURS, PNG_GREY_ALPHA) else None


def _deep_colours(raw: bytes, kind: int) -> DecodedImage:
    """Of 16-bit values Pillow unpacks the high bytes; told that they stand the other way round it
    unpacks the low ones."""
    if kind == PNG_GREY_ALPHA:  # as many bytes a pixel as 8-bit RGBA has
        size = int.from_bytes(raw[20:24], "big"), int.from_bytes(raw[16:20], "big")
        high, low = np.split(_unpacked(raw, "RGBA").reshape(-1, 2), 2, 1)
        values = (high.astype(np.uint16) << 8 | low).reshape(*size, 2)
        return DecodedImage(values[..., :1], values[..., 1])
    mode = PNG_COLOURS[kind]
    high, low = (_unpacked(raw, f"{mode};16{order}") for order in "BL")
    values = high.astype(np.uint16) << 8 | low
    return DecodedImage(values[..., :3], values[..., 3]) if mode == "RGBA" else DecodedImage(values)


def _unpacked(raw: bytes, how: str) -> Array:
    with Image.open(io.BytesIO(raw)) as image:
        image.tile = [tile._replace(args=how) for tile in image.tile]
        image.load()
        return np.asarray(image)


def _deep_pnm(raw: bytes) -> DecodedImage | None:
    """A binary PGM or PPM of more than 8 bits, its greatest value brought to 65,535."""
    found = PNM.match(raw[:4096])
    if found is None or int(found[4]) <= 255:
        return None
    width, height, most = (int(found[k]) for k in (2, 3, 4))
    bands = 1 if found[1] == b"5" else 3
    if width * height > (Image.MAX_IMAGE_PIXELS or 0) or most > 65535:
        raise BadImage(f"it claims {width}x{height} pixels of values up to {most}")
    if len(raw) - found.end() < 2 * width * height * bands:
        raise BadImage("it is truncated")
    values = np.frombuffer(raw, ">u2", width * height * bands, found.end())
    scaled = np.rint(values.clip(max=most) * (65535 / most)).astype(np.uint16)
    return DecodedImage(scaled.reshape(height, width, bands))


# --- from these to what the network takes ---------------------------------------------------------


@dataclass(frozen=True)
class Preparation:
    """How an image becomes the network's input: `preparation` of verdict.json, in this order.

    crop: a box (left, top, right, bottom) in pixels that is cut out of the upright image.
    background: red, green and blue that transparent parts are laid on. intensity: the values that
    become the ends of the range; None for those of the image's own type of integers.
    channels: 1 for grey, 3 for colour. size: width and height, by Pillow's Lanczos filter with
    reducing_gap 3. fit: "crop" scales it until it covers `size` and cuts the middle, "pad" until it
    fits in and fills up with 0, "stretch" scales both sides. pad: square images get a border of 0
    up to this side. window: the middle of that side is cut out. shape: what comes out, (C, H, W).
    deep: whether images of more than 8 bits keep them; pixels are float32 from 0 to 1 then, else
    uint8.
    """

    shape: Sequence[int]
    crop: Sequence[int] | None
    background: Sequence[int]
    intensity: Sequence[float] | None
    channels: int
    size: Sequence[int] | None
    fit: str
    pad: int | None
    window: int | None
    deep: bool

    def depth_of(self, files: Sequence[Path]) -> str:
        """The type that images which are asked about together are resized in."""
        if not self.deep:
            return "uint8"
        kinds = {_kind_of(file) for file in files}
        low, high = self.intensity or (0.0, 0.0)
        if "float" in kinds or ("integer" in kinds and high - low > 65535):
            return "float32"
        return "uint16" if "integer" in kinds else "uint8"

    def prepare(self, raw: bytes, depth: str = "uint8") -> Array:
        """Pixels (C, H, W) of an image file's bytes. Raises BadImage."""
        side = None if self.size is None or self.crop is not None else max(self.size)
        picture = read_picture(raw, side)
        if self.crop is not None:
            picture = _crop(picture, self.crop)
        pixels = _lay(picture, self.background)
        if pixels.dtype != np.uint8 or depth != "uint8" or self.intensity is not None:
            pixels = _scale(pixels, depth, self.intensity)
        pixels = _with_channels(pixels, self.channels)
        if self.size is not None:
            pixels = _fit(pixels, (self.size[0], self.size[1]), self.fit)
        if pixels.shape[2] < self.channels:
            pixels = np.repeat(pixels, self.channels, 2)
        pixels = self._at_its_side(np.moveaxis(pixels, -1, 0))
        if not self.deep:
            return np.ascontiguousarray(pixels)
        if depth == "uint8":
            return pixels.astype(np.float32) / np.float32(255)
        if depth == "uint16":
            return np.rint(pixels * np.float64(65535)).astype(np.float32) / np.float32(65535)
        return np.ascontiguousarray(pixels)

    def _at_its_side(self, pixels: Array) -> Array:
        """(C, H, W) with its border, and its middle cut out."""
        height, width = pixels.shape[1:]
        if self.pad is not None and height == width < self.pad:
            before = (self.pad - height) // 2
            after = self.pad - height - before
            pixels = np.pad(pixels, ((0, 0), (before, after), (before, after)))
        height, width = pixels.shape[1:]
        if self.window is not None and min(height, width) >= self.window:
            top, left = (height - self.window) // 2, (width - self.window) // 2
            pixels = pixels[:, top : top + self.window, left : left + self.window]
        if pixels.shape != tuple(self.shape):
            made, wanted = (f"{s[2]}x{s[1]}" for s in (pixels.shape, self.shape))
            raise BadImage(
                f"after the preparation used in training it has {made} pixels, not {wanted}"
            )
        return pixels


def _kind_of(file: Path) -> str:
    """bytes, integer or float: the numbers of an image file, by its header."""
    try:
        raw = _read_file(file)
        found = PNM.match(raw[:4096])
        if _deep_png(raw) is not None or (found is not None and int(found[4]) > 255):
            return "integer"
        with Image.open(io.BytesIO(raw)) as image:
            return {"F": "float", "I": "integer"}.get(image.mode[:1], "bytes")
    except Exception:  # told when it is read
        return "bytes"


def _crop(picture: DecodedImage, box: Sequence[int]) -> DecodedImage:
    left, top, right, bottom = box
    height, width = picture.pixels.shape[:2]
    if right > width or bottom > height:
        raise BadImage(f"its {width}x{height} pixels do not contain the crop box {tuple(box)}")
    part = slice(top, bottom), slice(left, right)
    return DecodedImage(
        picture.pixels[part], None if picture.alpha is None else picture.alpha[part]
    )


def _lay(picture: DecodedImage, background: Sequence[int]) -> Array:
    """The picture on its background; in colour if either is."""
    pixels, alpha = picture
    if alpha is None:
        return pixels
    most = np.iinfo(alpha.dtype).max
    if (alpha == most).all():
        return pixels
    if pixels.shape[2] == 1 and len(set(background)) > 1:
        pixels = np.repeat(pixels, 3, 2)
    if pixels.dtype == np.uint8:
        above = Image.fromarray(np.dstack([np.broadcast_to(pixels, (*alpha.shape, 3)), alpha]))
        behind = Image.new("RGBA", above.size, (*background, 255))
        return np.asarray(Image.alpha_composite(behind, above))[..., : pixels.shape[2]]
    share = (alpha / most)[..., None]
    colour = np.array(background[: pixels.shape[2]]) * (most / 255)
    made: Array = np.rint(pixels * share + colour * (1 - share)).astype(pixels.dtype)
    return made


def _scale(pixels: Array, depth: str, intensity: Sequence[float] | None) -> Array:
    """Values as 0 to 255 where images have 8 bits, else as float32 from 0 to 1."""
    if pixels.dtype.kind == "f" and not np.isfinite(pixels).all():
        raise BadImage("it holds values that are NaN or infinite")
    if intensity is not None:
        low, high = intensity
    elif pixels.dtype.kind not in "ui" or pixels.dtype.itemsize > 2:
        raise BadImage(
            f"it holds {pixels.dtype.name} values, and training images have a fixed range: save "
            "it with 8 or 16 bits"
        )
    elif pixels.dtype.kind == "i" and pixels.min(initial=0) < 0:
        raise BadImage("it holds values below 0, which are outside the range")
    else:
        low, high = 0.0, float(np.iinfo(pixels.dtype).max)
    unit = ((pixels.astype(np.float64) - low) / (high - low)).clip(0, 1)
    return np.rint(unit * 255).astype(np.uint8) if depth == "uint8" else unit.astype(np.float32)


def _with_channels(pixels: Array, channels: int) -> Array:
    """In grey where that is wanted; grey ones stay, to be coloured once they are small."""
    bands = pixels.shape[2]
    if bands in (1, channels):
        return pixels
    if pixels.dtype == np.uint8:
        return np.asarray(Image.fromarray(pixels).convert("L"))[..., None]
    weights = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R 601-2, as Pillow's
    made: Array = (pixels @ weights)[..., None].clip(0, 1)
    return made


def _fit(pixels: Array, size: tuple[int, int], fit: str) -> Array:
    """(H, W, C) brought to a width and a height."""
    height, width, bands = pixels.shape
    if (width, height) == size:
        return pixels
    if fit == "stretch":
        return _resize(pixels, size, None)
    wide, high = size
    if fit == "crop":  # the largest box in the middle that has the proportions of `size`
        whole = width * high <= height * wide
        across, down = (width, width * high / wide) if whole else (height * wide / high, height)
        left, top = (width - across) / 2, (height - down) / 2
        return _resize(pixels, size, (left, top, left + across, top + down))
    zoom = min(wide / width, high / height)
    inner = max(1, round(width * zoom)), max(1, round(height * zoom))
    resized = _resize(pixels, inner, None)
    padded = np.zeros((high, wide, bands), resized.dtype)
    above, before = (high - inner[1]) // 2, (wide - inner[0]) // 2
    padded[above : above + inner[1], before : before + inner[0]] = resized
    return padded


def _resize(
    pixels: Array, size: tuple[int, int], box: tuple[float, float, float, float] | None
) -> Array:
    """uint8, or float32 from 0 to 1, antialiased."""
    whole = pixels.dtype == np.uint8 and pixels.shape[2] == 3
    bands = [pixels] if whole else list(np.moveaxis(pixels, -1, 0))
    made = [
        np.asarray(
            Image.fromarray(np.ascontiguousarray(band)).resize(
                size, Image.Resampling.LANCZOS, box, reducing_gap=3.0
            )
        )
        for band in bands
    ]
    resized: Array = made[0] if whole else np.stack(made, -1)
    return resized if pixels.dtype == np.uint8 else resized.clip(0, 1)  # it overshoots at edges


# --- pictures -------------------------------------------------------------------------------------

SIDE, GAP, LINE = 256, 4, (255, 75, 51)
"""Pixels that a small image is enlarged to at least, and between it and its heat map; the colour
around what lies above the map threshold."""


def file_names(images: Sequence[str]) -> list[str]:
    """Names of files for images so named, numbered in the order given."""
    digits = max(3, len(str(len(images))))
    plain = [re.sub(r"\.[A-Za-z]{2,5}$", "", Path(name).name) for name in images]
    stems = [re.sub(r"[^\w.-]+", "-", name)[-80:].strip("-.") for name in plain]
    return [f"{i:0{digits}d}-{stem}.png" for i, stem in enumerate(stems, 1)]


@dataclass(frozen=True)
class Colours:
    """How heat maps are drawn: 256 colours (256, 3), the values of the first and of the last, and
    the value that the maps of normal images stay below, where it is known."""

    colours: Array
    low: float
    high: float
    threshold: float | None

    def draw(self, judgement: Judgement) -> Image.Image:
        """An image beside its heat map; on both a line around what lies above the map threshold."""
        assert judgement.pixels is not None
        assert judgement.heatmap is not None
        pixels, heat = judgement.pixels, judgement.heatmap
        shown = pixels if pixels.dtype == np.uint8 else np.rint(pixels * 255).astype(np.uint8)
        image = np.moveaxis(np.broadcast_to(shown, (3, *shown.shape[1:])), 0, -1)
        steps = np.nan_to_num((heat - self.low) / (self.high - self.low) * 255, nan=255.0)
        found = self.colours[np.rint(steps.clip(0, 255)).astype(np.uint8)]
        zoom = max(1, -(-SIDE // max(heat.shape)))
        panels = [one.repeat(zoom, 0).repeat(zoom, 1) for one in (image, found)]
        if self.threshold is not None:
            inside = np.pad((heat > self.threshold).repeat(zoom, 0).repeat(zoom, 1), 1)
            kept = inside[:-2, 1:-1] & inside[2:, 1:-1] & inside[1:-1, :-2] & inside[1:-1, 2:]
            for panel in panels:
                panel[inside[1:-1, 1:-1] & ~kept] = LINE
        gap = np.full((panels[0].shape[0], GAP, 3), 255, np.uint8)
        return Image.fromarray(np.concatenate([panels[0], gap, panels[1]], 1))


def colours_of(about: dict[str, Any], maps: Sequence[Array]) -> Colours:
    """By `heatmap` of verdict.json, or if it has no scale by these maps: 0.2 % of all pixels lie
    above its end."""
    table = np.frombuffer(bytes.fromhex(about["colours"]), np.uint8).reshape(256, 3)
    if about["high"] is not None:
        return Colours(table, about["low"], about["high"], about["threshold"])
    values = np.concatenate([found.ravel() for found in maps])
    values = values[np.isfinite(values)]
    low = min(0.0, float(values.min(initial=0.0)))
    high = float(np.quantile(values, 0.998)) if len(values) else low
    return Colours(table, low, high if high > low else low + 1.0, None)


def write_heatmaps(judge: Judge, found: Sequence[Judgement], folder: Path) -> None:
    """A PNG for each image, in the order given, all on one scale of colours."""
    about = judge.about["heatmap"]
    colours = colours_of(about, [one.heatmap for one in found if one.heatmap is not None])
    folder.mkdir(parents=True, exist_ok=True)
    for name, one in zip(file_names([one.image for one in found]), found, strict=True):
        text = PngImagePlugin.PngInfo()
        text.add_text("Description", " ".join(f"{k} {v}" for k, v in one.record().items()))
        scale = f"{about['kind']}, {colours.low:.6g} to {colours.high:.6g}"
        if colours.threshold is not None:
            scale += f", map threshold {colours.threshold:.6g}"
        text.add_text("scale", scale)
        colours.draw(one).save(folder / name, pnginfo=text)


# --- the command ----------------------------------------------------------------------------------


def main(words: Sequence[str] | None = None) -> int:
    """The exit code: 0 if images were judged, whatever the verdicts, and 2 for a mistake."""
    parser = argparse.ArgumentParser(
        "judge.py",
        description="Anomaly score of images: energy, percentile, and whether they are anomalous.",
    )
    parser.add_argument("images", nargs="+", help="image files, or folders of them")
    parser.add_argument("--out", type=Path, help="write all scores to this .csv")
    parser.add_argument(
        "--heatmaps", type=Path, help="a folder for pictures, the highest score first"
    )
    parser.add_argument(
        "--limit-heatmaps", type=int, default=100, help="largest number of pictures (100)"
    )
    parser.add_argument("--json", action="store_true", help="print all scores as JSON")
    parser.add_argument(
        "--folder", type=Path, help="the folder of verdict.json, if it is not beside this file"
    )
    options = parser.parse_args(words)
    try:
        _run(options)
    except (JudgeError, OSError) as error:
        print(f"judge.py: {error}", file=sys.stderr)
        return 2
    return 0


def _run(options: argparse.Namespace) -> None:
    if options.out is not None and options.out.suffix.lower() != ".csv":
        raise JudgeError(f"--out {options.out}: name a .csv file")
    if options.heatmaps is not None and options.heatmaps.exists() and not options.heatmaps.is_dir():
        raise JudgeError(f"--heatmaps {options.heatmaps} is a file: name a folder")
    if options.limit_heatmaps < 1:
        raise JudgeError(f"--limit-heatmaps {options.limit_heatmaps}: give at least 1")
    judge = Judge(options.folder)
    if options.heatmaps is not None:
        judge.check_heatmaps()
    found = judge.score(options.images)
    ranked = sorted(found.images, key=lambda one: -np.nan_to_num(one.energy, nan=np.inf))
    if options.json:
        print(json.dumps(_as_json(judge, found), indent=2, ensure_ascii=False))
    else:
        _print(judge, found, ranked)
    if options.out is not None:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        with options.out.open("w", encoding="utf8", newline="") as file:
            columns = ["image", "energy", "percentile", "anomalous"]
            writer = csv.DictWriter(file, columns, lineterminator="\n")
            writer.writeheader()
            writer.writerows(one.record() for one in found.images)
    if options.heatmaps is not None:
        worst = ranked[: options.limit_heatmaps]
        shown = judge.score([one.path for one in worst], heatmaps=True).images
        write_heatmaps(judge, shown, options.heatmaps)
        if not options.json:
            print(f"heat maps: {len(worst):,} ({judge.heatmap_kind}): {options.heatmaps}")


def _print(judge: Judge, found: Judgements, ranked: Sequence[Judgement]) -> None:
    about = judge.about
    count, flagged = len(ranked), sum(one.anomalous for one in ranked)
    print(
        f"threshold: energy {judge.threshold:.5g}, which {about['calibration']['promise']} "
        f"({about['calibration']['count']:,} normal images)"
    )
    print(f"{count:,} scored, {flagged:,} anomalous ({flagged / count:.1%})")
    if found.skipped:
        print(f"  {len(found.skipped):,} could not be read and were skipped")
        for name, reason in found.skipped[:SHOWN]:
            print(f"    {name}: {reason}")
        if len(found.skipped) > SHOWN:
            print(f"    … {len(found.skipped) - SHOWN:,} more")
    print(f"highest scores ({SHOWN} of {count:,}):" if count > SHOWN else "scores:")
    for one in ranked[:SHOWN]:
        told = one.record()
        verdict = "ANOMALOUS" if one.anomalous else "normal"
        print(f"  {verdict:<9}  {told['energy']:>11}  {told['percentile']:>6} %  {one.image}")


def _as_json(judge: Judge, found: Judgements) -> dict[str, Any]:
    images = [
        {
            "image": one.image,
            "energy": one.energy if np.isfinite(one.energy) else None,
            "percentile": one.percentile,
            "anomalous": one.anomalous,
        }
        for one in found.images
    ]
    skipped = [{"image": name, "reason": reason} for name, reason in found.skipped]
    rule = {"threshold": judge.threshold, "fpr": judge.about["fpr"]}
    return {**rule, "images": images, "skipped": skipped}


if __name__ == "__main__":
    sys.exit(main())
