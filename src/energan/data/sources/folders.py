"""A folder of images, with or without folders for classes and splits."""

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from energan.core import DataError
from energan.data.images.checksums import content_of
from energan.data.source import Part, Source
from energan.data.sources.label_csv import find_labels, match_labels
from energan.data.sources.splits import SPLITS, fixed_order, held_out, no_test_part
from energan.io.files import open_regular

SUFFIXES = {
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm",
    ".pgm", ".pbm", ".pnm", ".tga", ".avif",
}  # fmt: skip
NAMES = {"train": SPLITS["train"], "test": ("test", *SPLITS["val"])}
"""Of the folder that is read for a split; one that is called `testing` may be a class."""
UNLABELLED = ("unlabelled", "unlabeled")
"""Names, in any case, of the folder whose images have no class, beside the folders of classes."""
FILES_A_PART = 256


def open_image_folder(folder: Path, split: str = "train", labels: str | None = None) -> Source:
    """All images below `folder`.

    Where there is a folder train (or training) in it, that one is read, and a folder `unlabelled`
    beside it; for split "test" it is test, val, valid or validation. If every image then lies in a
    folder of the first level, and there are at least two, these are the classes, numbered in the
    order of their names; images in a folder `unlabelled` among them have label -1. A tenth is held
    out, 10,000 at most, chosen by a fixed shuffle.

    labels: a CSV of `file,label`, which alone then tells the classes; other images have label -1.
        Of a split that it names no image of, folders that are called as its classes tell them.

    Raises DataError if there is no image, and as `match_labels` does.
    """
    root = _split(folder, split)
    files = find_images(root)
    names = [file.relative_to(root) for file in files]
    beside = [] if split == "test" or root == folder else _unlabelled(folder)
    files += beside
    names += [file.relative_to(folder) for file in beside]
    if not files:
        raise DataError(
            f"{root} holds no image (looked for {' '.join(sorted(SUFFIXES))}, also in the folders "
            "below): name the folder that holds your pictures"
        )
    classes, numbers = _classes(names), None
    if labels is not None:
        told = match_labels(find_labels(labels, folder), folder, root, files)
        known, classes, numbers = classes, told.names, told.numbers
        if split == "test" and not bool((numbers >= 0).any()):
            numbers = _number(names, classes) if known else None
            classes = classes if known else None
    elif classes is not None:
        numbers = _number(names, classes)
    return replace(
        from_files(folder.resolve().name or str(folder), files, [n.as_posix() for n in names]),
        labels=numbers,
        class_names=classes,
        held_out=held_out(len(files)) if split == "train" else 0,
        order=fixed_order(len(files)),
    )


def from_files(name: str, files: Sequence[Path], names: Sequence[str]) -> Source:
    """The images in `files`, which messages, and the key of a cache, know by `names`."""
    return Source(
        name,
        parts=file_parts(files),
        where=lambda row: names[row],
        content=lambda: content_of(files, names),
    )


def read_bytes(file: Path) -> bytes | None:
    """A file's contents; None if it cannot be read."""
    try:
        with open_regular(file) as opened:
            return opened.read()
    except OSError:
        return None


def file_parts(
    files: Sequence[Path],
    read: Callable[[Path], bytes | None] = read_bytes,
    size: int = FILES_A_PART,
) -> tuple[Part, ...]:
    """Parts of `size` files each. read: file -> the bytes of its image."""

    def part(start: int) -> Part:
        chosen = files[start : start + size]
        return Part(start, len(chosen), lambda: [read(file) for file in chosen])

    return tuple(part(start) for start in range(0, len(files), size))


def find_images(root: Path) -> list[Path]:
    """Image files below `root`, sorted by their paths; hidden ones are left out."""
    os.scandir(root).close()  # os.walk finds nothing in a folder that cannot be read
    found, seen, base = [], set(), os.path.realpath(root)
    for where, folders, files in os.walk(root, followlinks=True):
        real = os.path.realpath(where)
        if real in seen or (
            where != str(root) and base.startswith(f"{real}{os.sep}")
        ):  # a link back up
            folders.clear()
            continue
        seen.add(real)
        folders[:] = [f for f in folders if not f.startswith(".")]
        found += [
            Path(where, file)
            for file in files
            if not file.startswith(".") and os.path.splitext(file)[1].lower() in SUFFIXES
        ]
    return sorted(found, key=lambda path: path.parts)


def _split(folder: Path, split: str) -> Path:
    there = {p.name.lower(): p for p in sorted(folder.iterdir()) if p.is_dir()}
    for name in NAMES[split]:
        # a class may be called so: a split stands beside another one, or alone
        others = set(there) - {n for names in NAMES.values() for n in names} - {*UNLABELLED}
        if name in there and not others:
            return there[name]
    if split == "test":
        raise no_test_part(folder)
    return folder


def _unlabelled(folder: Path) -> list[Path]:
    """Images in a folder `unlabelled` of `folder`."""
    there = sorted(p for p in folder.iterdir() if p.is_dir() and p.name.lower() in UNLABELLED)
    return [file for found in there for file in find_images(found)]


def _classes(names: Sequence[Path]) -> tuple[str, ...] | None:
    if any(len(name.parts) < 2 for name in names):
        return None
    first = {name.parts[0] for name in names}
    classes = sorted(name for name in first if name.lower() not in UNLABELLED)
    return tuple(classes) if len(classes) > 1 else None


def _number(names: Sequence[Path], classes: Sequence[str]) -> Tensor:
    """The class of each image by its first folder, int64 (N,); -1 for a folder that is none."""
    number = {name: i for i, name in enumerate(classes)}
    return torch.tensor([number.get(name.parts[0], -1) for name in names])
