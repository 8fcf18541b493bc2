"""Where the two images of each pair lie: side by side in one file, or in two parallel folders."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from energan.core import DataError
from energan.data.images.checksums import content_of
from energan.data.images.reading import size_of
from energan.data.source import Half, Part, Piece, Source
from energan.data.sources.folders import file_parts, read_bytes
from energan.data.sources.splits import SPLITS, fixed_order, held_out
from energan.data.sources.tree import SUFFIXES, find_images
from energan.io.text import agree, plural

PairSplit = Literal["train", "val", "test"]
ANY_SPLIT = tuple(name for names in SPLITS.values() for name in names)
FILES_A_PART = 32
"""A half-built cache counts what is done by these."""
NAMES_TOLD, LOOKED_AT = 3, 16


@dataclass(frozen=True, eq=False)
class Pairs:
    """All left and all right images: row i of the one belongs to row i of the other.

    joint: whether each pair lies in one file, so that its two images are of one size.
    """

    left: Source
    right: Source
    joint: bool


def find_pairs(folder: Path, split: PairSplit, name: str | None = None) -> Pairs | None:
    """The pairs of a split below `folder`; None if it has no such split.

    Two folders A and B (by any names; the first of them is the left one) hold pairs that are
    matched by the names of their files, and a file elsewhere holds the two images of a pair, left
    and right. Splits are folders train, val, test around A and B, or in both of them, or called
    trainA, trainB; a folder without splits is all for training.

    Raises DataError if there is no image, or if one of two folders has images without a partner.
    """
    name = name or folder.resolve().name or str(folder)
    where = _where(folder, split)
    if where is None:
        return None
    if isinstance(where, tuple):
        return _parallel(name, *where)
    return _side_by_side(name, where)


def _where(folder: Path, split: PairSplit) -> Path | tuple[Path, Path] | None:
    """The folder of files with pairs in them, or the left and the right folder."""
    folders = _folders(folder)
    if splits := {n: p for n, p in folders.items() if n in ANY_SPLIT}:
        there = next((splits[n] for n in SPLITS[split] if n in splits), None)
        return there if there is None else _two(there) or there
    lettered = {n: m for n in folders if (m := re.fullmatch(r"([a-z]+?)[_-]?([ab])", n))}
    if any(m[1] in ANY_SPLIT for m in lettered.values()):
        sides = {m[2]: folders[n] for n, m in lettered.items() if m[1] in SPLITS[split]}
        return (sides["a"], sides["b"]) if len(sides) == 2 else None
    two = _two(folder)
    if two is None:
        return folder if split == "train" else None
    within = [{n: p for n, p in _folders(side).items() if n in ANY_SPLIT} for side in two]
    if not any(within):
        return two if split == "train" else None
    left, right = (next((w[n] for n in SPLITS[split] if n in w), None) for w in within)
    if left is None and right is None:
        return None
    if left is None or right is None:
        raise DataError(f"{two[0]} and {two[1]}: only one of them has a folder {SPLITS[split][0]}")
    return left, right


def _folders(folder: Path) -> dict[str, Path]:
    """Folders in it by their names in lower case; none where there are images beside them."""
    inside = sorted(p for p in folder.iterdir() if not p.name.startswith("."))
    if any(p.suffix.lower() in SUFFIXES and p.is_file() for p in inside):
        return {}
    return {p.name.lower(): p for p in inside if p.is_dir()}


def _two(folder: Path) -> tuple[Path, Path] | None:
    found = list(_folders(folder).values())
    return (found[0], found[1]) if len(found) == 2 else None


# --- two folders ----------------------------------------------------------------------------------


def _parallel(name: str, left: Path, right: Path) -> Pairs:
    sides = [_by_stem(left), _by_stem(right)]
    alone = [sorted(a.keys() - b.keys()) for a, b in (sides, sides[::-1])]
    if any(alone):
        told = [f"{side} {_some(names)}" for side, names in zip((left, right), alone, strict=True)
                if names]  # fmt: skip
        count, have = sum(map(len, alone)), agree(sum(map(len, alone)), "have")
        raise DataError(
            f"pairs are two files of the same name, and {count} of "
            f"{plural(sum(map(len, sides)), 'file')} {have} no partner: only in "
            f"{'; only in '.join(told)}. Remove them or rename them (images without partners are "
            "not for this model)"
        )
    stems = sorted(sides[0])

    def encoded(side: dict[str, Path]) -> Source:
        files = [side[stem] for stem in stems]
        return _encoded(name, files, stems, file_parts(files), "whole")

    return Pairs(encoded(sides[0]), encoded(sides[1]), joint=False)


def _by_stem(folder: Path) -> dict[str, Path]:
    """Images below a folder by their paths in it without their suffixes."""
    found: dict[str, Path] = {}
    for file in _some_images(folder):
        stem = file.relative_to(folder).with_suffix("").as_posix()
        if stem in found:
            raise DataError(
                f"{file} and {found[stem].name} have one name: it cannot be told which of them is "
                "of a pair; remove one"
            )
        found[stem] = file
    return found


def _some(names: Sequence[str]) -> str:
    more = len(names) - NAMES_TOLD
    return ", ".join(names[:NAMES_TOLD]) + (f" and {more} more" if more > 0 else "")


# --- side by side ---------------------------------------------------------------------------------


def _side_by_side(name: str, folder: Path) -> Pairs:
    files = _some_images(folder)
    sizes = [size for file in files[:LOOKED_AT] if (size := size_of(file.read_bytes()))]
    if sizes and all(width <= height for width, height in sizes):
        width, height = sizes[0]
        raise DataError(
            f"{folder} holds images that are not wider than high ({files[0].name} is "
            f"{width}x{height}), so no pairs side by side: put the two images of each pair in two "
            "folders, under the same name (images without partners are not for this model)"
        )
    names = [file.relative_to(folder).as_posix() for file in files]

    def encoded(side: Half) -> Source:
        parts = file_parts(files, lambda file: half_of(file, side), FILES_A_PART)
        return _encoded(name, files, names, parts, ("left", "right")[side])

    return Pairs(encoded(0), encoded(1), joint=True)


def half_of(file: Path, side: Half) -> Piece | None:
    """The left (0) or right (1) half of an image; None if its file cannot be read."""
    raw = read_bytes(file)
    return None if raw is None else Piece(raw, half=side)


# --- both -----------------------------------------------------------------------------------------


def _some_images(folder: Path) -> list[Path]:
    files = find_images(folder)
    if not files:
        raise DataError(
            f"{folder} holds no image (looked for {' '.join(sorted(SUFFIXES))}, also in folders "
            "below): name the folder that holds the pairs"
        )
    return files


def _encoded(
    name: str, files: Sequence[Path], names: Sequence[str], parts: tuple[Part, ...], what: str
) -> Source:
    return Source(
        name, parts=parts,
        where=lambda row: names[row],
        content=lambda: hashlib.sha256(f"{content_of(files, names)} {what}".encode()).hexdigest(),
        held_out=held_out(len(files)),
        order=fixed_order(len(files)),
    )  # fmt: skip
