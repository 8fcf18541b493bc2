"""Image files through a run of image to image: one file for each."""

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import torch
from PIL import Image

from energan.core import DataError, SettingError, describe
from energan.data.dataset import rescale
from energan.data.images.decoding import (
    Channels,
    Decoding,
    Unreadable,
    decode,
    prepare,
    size_of,
)
from energan.data.sources.pair_files import cut_half
from energan.data.sources.tree import find_images
from energan.inference.run import Run
from energan.io.console import progress
from energan.io.files import aside
from energan.io.pictures import to_uint8
from energan.samplers.translator import Translator

Size = int | Literal["nearest"] | None
WRITTEN = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")


@dataclass(frozen=True)
class Translation:
    """written: the files; skipped: (file, why) of those that could not be read."""

    written: list[Path]
    skipped: list[tuple[Path, str]]


def translate(
    run: Run,
    source: Path,
    out: Path,
    *,
    size: Size = None,
    pairs: bool = False,
    strip: bool = False,
    seed: int = 0,
) -> Translation:
    """Write what `run` makes of an image file, or of all images of a folder, under their names.

    size: a number brings images to a square of that side, as training does; "nearest" each side to
        the nearest that the network takes, and the result back; None leaves them as they are.
    pairs: each file holds a pair side by side: the side that the run starts from is taken.
    strip: write source, target (of pairs) and result side by side.
    seed: of the network's noise, which is the same for each image.

    All sides are looked at before the first image is made. Raises SettingError if the run makes no
    images of images or an image's sides do not fit its network, DataError for what cannot be read
    or written.
    """
    if not run.domain.paired or not isinstance(run.sampler, Translator):
        raise SettingError(
            f"{run.path}: the model {run.job.model} makes no images of images; train one that does "
            "(energan train pix2pix-facades --data FOLDER)"
        )
    targets = _targets(source, out)
    for file in targets:
        _check(run.sampler, file, size, pairs)
    written: list[Path] = []
    skipped: list[tuple[Path, str]] = []
    with progress("translating", len(targets)) as advance:
        for file, target in targets.items():
            try:
                sides = _open(run, file, size, pairs)
            except Unreadable as error:
                skipped.append((file, str(error)))
            else:
                picture = _picture(run, sides, seed, strip, whole=size == "nearest")
                with aside(target) as made:
                    picture.save(made)
                written.append(target)
            advance()
    if not written:
        more = f", nor any of {len(skipped) - 1} more" if len(skipped) > 1 else ""
        raise DataError(f"{skipped[0][0]} cannot be read ({skipped[0][1]}){more}")
    return Translation(written, skipped)


# --- files ----------------------------------------------------------------------------------------


def _targets(source: Path, out: Path) -> dict[Path, Path]:
    """Image file -> where its translation goes."""
    if not source.exists():
        raise DataError(f"{source} does not exist: name an image file or a folder of them")
    if source.is_file():
        out = out / f"{source.stem}.png" if out.is_dir() else out
        if out.suffix.lower() not in WRITTEN:
            raise DataError(
                f"{out}: name a file ending in {' '.join(WRITTEN)}, or a folder that is there"
            )
        if out.exists() and out.samefile(source):
            raise DataError(f"{out} is the image itself: name another file")
        return {source: out}
    if out.suffix.lower() in WRITTEN:
        raise DataError(f"{source} is a folder and {out} the name of an image: name a folder")
    files = find_images(source)
    if not files:
        raise DataError(f"{source} holds no image: name an image file or a folder of them")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DataError(f"{out} is there already: name a new or an empty folder")
    stems = [file.with_suffix("") for file in files]
    found = {}
    for file, stem in zip(files, stems, strict=True):
        alone = stems.count(stem) == 1  # else their suffixes tell a.jpg from a.png
        found[file] = out / os.path.relpath(f"{stem if alone else file}.png", source)
    return found


def _check(sampler: Translator, file: Path, size: Size, pairs: bool) -> None:
    """Raise SettingError if the network does not take an image of this file's sides.

    The file's header tells them; one that cannot be read is left to be told of when it is opened.
    """
    if size == "nearest":
        return
    sides = (size, size) if size is not None else _sides_of(file, pairs)
    if sides is None:
        return
    width, height = sides
    try:
        sampler.check(height, width)
    except SettingError as error:
        if size is not None:
            raise SettingError(f"--size {size}: {error}") from None
        raise SettingError(f"{file}: {error}; --size nearest does that for each image") from None


# --- one image ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Sides:
    """Images (1, C, H, W), uint8: the source, and the target that a pair holds too."""

    source: torch.Tensor
    target: torch.Tensor | None


def _sides_of(file: Path, pairs: bool) -> tuple[int, int] | None:
    """Width and height of the source in a file; None if it cannot be read."""
    try:
        width, height = size_of(file.read_bytes()) or (0, 0)
    except OSError:
        return None
    if not width:
        return None
    return (width // 2 if pairs else width), height


def _open(run: Run, file: Path, size: Size, pairs: bool) -> _Sides:
    """Raises Unreadable."""
    shape = run.domain.condition_shape
    assert shape is not None
    how = Decoding(size=size if isinstance(size, int) else None, fit=run.job.settings.data.fit)
    if not pairs:
        return _Sides(_decode(file, how, shape[0], None), None)
    first = 0 if run.job.settings.data.direction == "left-to-right" else 1
    target = _decode(file, how, run.domain.shape[0], 1 - first)
    return _Sides(_decode(file, how, shape[0], first), target)


def _decode(file: Path, how: Decoding, channels: int, side: int | None) -> torch.Tensor:
    try:
        raw = file.read_bytes() if side is None else cut_half(file, side)
    except OSError as error:
        raise Unreadable(describe(error)) from None
    if raw is None:
        raise Unreadable("it holds no pair")
    kind: Channels = "grey" if channels == 1 else "colour"
    pixels = decode(raw, replace(how, channels=kind))
    return torch.from_numpy(pixels.copy()).unsqueeze(0)  # Pillow's own memory may be read-only


def _picture(run: Run, sides: _Sides, seed: int, strip: bool, *, whole: bool) -> Image.Image:
    """What is made of the source, beside it (and its target) for a strip.

    whole: the source is brought to sides that the network takes, and the result back.
    """
    assert isinstance(run.sampler, Translator)
    height, width = sides.source.shape[2:]
    given = sides.source
    if whole:
        given = _resize(given, *run.sampler.nearest(height, width))
    made = run.sample(1, seed, rescale(given, run.domain, torch.float32))
    pixels = torch.from_numpy(to_uint8(made, run.domain)).permute(0, 3, 1, 2)
    if pixels.shape[2:] != sides.source.shape[2:]:
        pixels = _resize(pixels, height, width)
    parts = [part for part in (sides.source, sides.target) if part is not None] if strip else []
    channels = max(part.shape[1] for part in (*parts, pixels))
    row = torch.cat([part.expand(-1, channels, -1, -1) for part in (*parts, pixels)], 3)
    return _image(row)


def _resize(x: torch.Tensor, height: int, width: int) -> torch.Tensor:
    image = _image(x).resize((width, height), Image.Resampling.LANCZOS)
    return torch.from_numpy(prepare(image, Decoding()).copy()).unsqueeze(0)


def _image(x: torch.Tensor) -> Image.Image:
    pixels = x[0].permute(1, 2, 0).numpy()
    return Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
