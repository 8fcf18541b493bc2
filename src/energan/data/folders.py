"""A folder of images, with or without folders for classes and splits."""

import os
from collections.abc import Sequence
from pathlib import Path

import torch

from energan.core import DataError
from energan.data.content import content_of
from energan.data.digits import fixed_order
from energan.data.encoded import Encoded, Part

SUFFIXES = {
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm",
    ".pgm", ".pbm", ".pnm", ".tga", ".avif",
}  # fmt: skip
SPLITS = {"train": ("train", "training"), "test": ("test", "val", "valid", "validation")}
FILES_A_PART = 256
MOST_HELD_OUT = 10_000


def image_folder(folder: Path, split: str = "train", name: str | None = None) -> Encoded:
    """All images below `folder`.

    Where there is a folder train (or training) in it, that one is read; for split "test" it is
    test, val, valid or validation. If every image then lies in a folder of the first level, and
    there are at least two, these are the classes, numbered in the order of their names. A tenth is
    held out, 10,000 at most, chosen by a fixed shuffle.

    Raises DataError if there is no image.
    """
    root = _split(folder, split)
    files = listed(root)
    if not files:
        raise DataError(
            f"{root} holds no image (looked for {' '.join(sorted(SUFFIXES))}, also in the folders "
            "below): name the folder that holds your pictures"
        )
    names = [file.relative_to(root) for file in files]
    classes = _classes(names)
    labels = None
    if classes is not None:
        number = {name: i for i, name in enumerate(classes)}
        labels = torch.tensor([number[n.parts[0]] for n in names])
    return Encoded(
        name or folder.resolve().name or str(folder),
        len(files),
        file_parts(files),
        lambda row: str(names[row]),
        lambda: content_of(files, [n.as_posix() for n in names]),
        labels,
        classes,
        held_out=held_out(len(files)) if split == "train" else 0,
        order=fixed_order(len(files)),
    )


def held_out(count: int) -> int:
    return min(count // 10, MOST_HELD_OUT)


def file_parts(files: Sequence[Path]) -> tuple[Part, ...]:
    """Parts of a few hundred files each."""

    def part(start: int) -> Part:
        chosen = files[start : start + FILES_A_PART]
        return Part(start, len(chosen), lambda: [_bytes(file) for file in chosen])

    return tuple(part(start) for start in range(0, len(files), FILES_A_PART))


def listed(root: Path) -> list[Path]:
    """Image files below `root`, sorted by their paths; hidden ones are left out."""
    found, seen, base = [], set(), os.path.realpath(root)
    for where, folders, files in os.walk(root, followlinks=True):
        real = os.path.realpath(where)
        if real in seen or (where != str(root) and base.startswith(f"{real}/")):  # a link back up
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
    for name in SPLITS[split]:
        # a class may be called so: a split stands beside another one, or alone
        others = set(there) - {n for names in SPLITS.values() for n in names}
        if name in there and not others:
            return there[name]
    if split == "test":
        raise DataError(f"{folder} has no test set of its own: use the held-out part")
    return folder


def _classes(names: Sequence[Path]) -> tuple[str, ...] | None:
    if any(len(name.parts) < 2 for name in names):
        return None
    first = sorted({name.parts[0] for name in names})
    return tuple(first) if len(first) > 1 else None


def _bytes(file: Path) -> bytes | None:
    try:
        return file.read_bytes()
    except OSError:
        return None
