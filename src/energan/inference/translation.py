"""Image files through a run of image to image: one file for each."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from energan.core import DataError, SettingError, describe
from energan.data.dataset import rescale
from energan.data.facts import Fact
from energan.data.images.decoding import Decoding, Notes, decode
from energan.data.images.notes import facts_of
from energan.data.images.reading import header_of, size_of
from energan.data.images.values import Unreadable
from energan.data.inference import channels_of
from energan.data.pairs import as_condition
from energan.data.source import Half, Piece
from energan.data.sources.folders.descriptions import left_out
from energan.data.sources.tree import Tree, list_images, scan
from energan.inference.run import Run
from energan.io.console import progress
from energan.io.files import aside
from energan.io.pictures import Array, resize, show_condition, to_integers, write_image
from energan.io.text import plural
from energan.samplers.translator import Translator

LANCZOS = Image.Resampling.LANCZOS
Size = int | Literal["nearest"] | None
WRITTEN = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")


@dataclass(frozen=True)
class Translation:
    """written: the files; skipped: (file, why) of those that could not be read; facts: what was
    done to the others."""

    written: list[Path]
    skipped: list[tuple[Path, str]]
    facts: tuple[Fact, ...]


def translate(
    run: Run,
    source: Path,
    out: Path,
    *,
    size: Size = None,
    pairs: bool | None = None,
    strip: bool = False,
    seed: int = 0,
) -> Translation:
    """Write what `run` makes of an image file, or of all images of a folder, under their names.

    size: a number brings images to a square of that side, as training does; "nearest" each side to
        the nearest that the network takes, and the result back; None leaves them as they are.
    pairs: whether each file holds a pair side by side, of which the half that the run translates
        from is taken; None if all images are as wide as the pairs that the run was trained on.
    strip: write source, target (of pairs) and result side by side.
    seed: of the network's noise, which is the same for each image.

    All sides are looked at before the first image is made. Raises SettingError if the run makes no
    images of images or an image's sides do not fit its network, DataError for what cannot be read
    or written.
    """
    if not run.domain.paired or not isinstance(run.sampler, Translator):
        raise SettingError(
            f"{run.path}: the model {run.job.model} does not translate images; train one that "
            "does (energan train pix2pix-facades --data FOLDER)"
        )
    tree = scan(source) if source.is_dir() else None
    targets = _targets(source, out, tree)
    guessed = pairs is None and _all_pairs(run, list(targets))
    pairs = pairs or guessed
    for file in targets:
        _check(run.sampler, file, size, pairs)
    written: list[Path] = []
    skipped: list[tuple[Path, str]] = []
    notes = Notes()
    with progress("translating", len(targets)) as advance:
        for file, target in targets.items():
            try:
                sides = _open(run, file, size, pairs, notes)
            except Unreadable as error:
                skipped.append((file, str(error)))
            else:
                picture = _picture(run, sides, seed, strip, whole=size == "nearest")
                with aside(target) as made:
                    write_image(made, picture, {})
                written.append(target)
            advance()
    if not written:
        more = f", nor any of {len(skipped) - 1} more" if len(skipped) > 1 else ""
        raise DataError(f"{skipped[0][0]} cannot be read ({skipped[0][1]}){more}")
    how = _decoding(run, size)
    facts = facts_of(notes, how, how, len(written)) + tuple(left_out(tree) if tree else ())
    if guessed:
        facts = (_about_halves(run, len(written)), *facts)
    return Translation(written, skipped, facts)


def _all_pairs(run: Run, files: Sequence[Path]) -> bool:
    """Whether all files are as wide as the pairs side by side that the run was trained on."""
    if run.config["resolved"]["data"].get("side_by_side") is False:
        return False
    assert run.domain.condition_shape is not None
    rows, columns = run.domain.condition_shape[1:]
    sizes = [size for file in files if (size := _sides_of(file, pairs=False)) is not None]
    return bool(sizes) and all(w == 2 * h or w * rows == 2 * h * columns for w, h in sizes)


def _about_halves(run: Run, count: int) -> Fact:
    half = str(run.job.settings.data.direction).partition("-")[0]
    text = (
        f"only the {half} half of {plural(count, 'image')} was translated, because all are as "
        "wide as pairs side by side; to translate whole images: --whole"
    )
    return Fact("pairs", text, warning=True)


# --- files ----------------------------------------------------------------------------------------


def _targets(source: Path, out: Path, tree: Tree | None) -> dict[Path, Path]:
    """Image file -> where its translation goes."""
    if not source.exists():
        raise DataError(f"{source} does not exist: name an image file or a folder of them")
    if source.is_file():
        out = out / f"{source.stem}.png" if out.is_dir() else out
        if out.suffix.lower() not in WRITTEN:
            raise DataError(
                f"{out}: name a file ending in {' '.join(WRITTEN)}, or an existing folder"
            )
        if out.exists() and out.samefile(source):
            raise DataError(f"{out} is the image itself: name another file")
        return {source: out}
    if out.suffix.lower() in WRITTEN:
        raise DataError(
            f"{source} is a folder and {out} is an image file: name a folder for the results"
        )
    files = [] if tree is None else list_images(tree)
    if not files:
        raise DataError(f"{source} holds no image: name an image file or a folder of them")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DataError(f"{out} exists already: name a new or an empty folder")
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
        raise SettingError(f"{file}: {error}; to resize each image: --size nearest") from None


# --- one image ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Sides:
    """Images (1, C, H, W) in the run's range: the source, and the target that a pair holds too."""

    source: torch.Tensor
    target: torch.Tensor | None


def _sides_of(file: Path, pairs: bool) -> tuple[int, int] | None:
    """Width and height of the source in a file; None if it cannot be read."""
    try:
        return size_of(Piece(file.read_bytes(), half=0 if pairs else None))
    except OSError:
        return None


def _decoding(run: Run, size: Size) -> Decoding:
    how = run.job.settings.data.decoding
    return replace(how, crop=None, size=size if isinstance(size, int) else None)


def _open(run: Run, file: Path, size: Size, pairs: bool, notes: Notes) -> _Sides:
    """notes: counts what was done to the source. Raises Unreadable."""
    how, known = _decoding(run, size), run.config["resolved"]["data"]
    source_how, target_how = (
        replace(how, intensity=window and (window[0], window[1]))
        for window in (known.get("source_intensity"), known.get("intensity"))
    )
    try:
        raw = file.read_bytes()
    except OSError as error:
        raise Unreadable(describe(error)) from None
    if not pairs:
        return _Sides(_decode_source(run, Piece(raw), source_how, notes), None)
    left: tuple[Half, Half] = (0, 1)
    first, second = left if run.job.settings.data.direction == "left-to-right" else left[::-1]
    target = _decode(run, Piece(raw, half=second), target_how, run.domain.shape, Notes())
    return _Sides(_decode_source(run, Piece(raw, half=first), source_how, notes), target)


def _decode_source(run: Run, piece: Piece, how: Decoding, notes: Notes) -> torch.Tensor:
    labels, shape = run.domain.label_map, run.domain.condition_shape
    assert shape is not None
    if labels is None:
        return _decode(run, piece, how, shape, notes)
    pixels = torch.from_numpy(decode(piece, replace(how, label_map=labels), notes))
    return as_condition(pixels.unsqueeze(0), run.domain)


def _decode(
    run: Run, piece: Piece, how: Decoding, shape: Sequence[int], notes: Notes
) -> torch.Tensor:
    header = header_of(piece)
    deep = header is not None and header.deep
    how = replace(
        how,
        channels=channels_of(shape),
        depth="float32" if deep else "uint8",
    )
    # a copy, since Pillow's own memory may be read-only
    pixels = torch.from_numpy(decode(piece, how, notes).copy())
    return rescale(pixels.unsqueeze(0), run.domain, torch.float32)


def _picture(run: Run, sides: _Sides, seed: int, strip: bool, *, whole: bool) -> Array:
    """What is made of the source, beside it (and its target) for a strip: integers (H, W, C).

    whole: the source is brought to sides that the network takes, and the result back.
    """
    assert isinstance(run.sampler, Translator)
    height, width = sides.source.shape[2:]
    given = sides.source
    if whole and run.domain.label_map is not None:
        given = F.interpolate(given, run.sampler.nearest(height, width), mode="nearest-exact")
    elif whole:
        across, down = run.sampler.nearest(height, width)[::-1]
        resized = resize(_integers(run, given), (across, down), LANCZOS)
        given = rescale(torch.from_numpy(resized.copy()).permute(2, 0, 1)[None], run.domain,
                        torch.float32)  # fmt: skip
    made = _integers(run, run.sample(1, seed, given))
    if made.shape[:2] != (height, width):
        made = resize(made, (width, height), LANCZOS)
    beside = [show_condition(sides.source, run.domain), sides.target] if strip else []
    parts = [*(_integers(run, part) for part in beside if part is not None), made]
    channels = max(part.shape[2] for part in parts)
    return np.concatenate([np.broadcast_to(p, (*p.shape[:2], channels)) for p in parts], 1)


def _integers(run: Run, x: torch.Tensor) -> Array:
    pixels: Array = to_integers(x, run.domain, run.domain.depth)[0]
    return pixels
