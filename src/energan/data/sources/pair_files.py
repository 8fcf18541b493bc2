"""Where the two images of each pair lie: side by side in one file, or in two parallel folders."""

import hashlib
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Literal

from energan.core import DataError
from energan.data.facts import Fact
from energan.data.images.checksums import content_of
from energan.data.images.reading import size_of
from energan.data.source import Half, Part, Piece, Source
from energan.data.sources.folders.groups import match_paths, no_match
from energan.data.sources.folders.images import file_parts, read_bytes
from energan.data.sources.pair_layout import PairLayout, read_pair_layout
from energan.data.sources.splits import (
    about_both_parts,
    fixed_order,
    group_order,
    held_out,
    number_groups,
)
from energan.data.sources.tree import SUFFIXES, Tree, list_images
from energan.io.text import agree, plural, printable

PairSplit = Literal["train", "val", "test"]
FILES_A_PART = 32
"""A partly built cache counts its progress in units of this."""
NAMES_TOLD, LOOKED_AT = 3, 16


@dataclass(frozen=True, eq=False)
class Pairs:
    """All left and all right images: row i of the one belongs to row i of the other.

    joint: whether each pair lies in one file, so that its two images are of one size.
    facts: what the folder was taken for.
    """

    left: Source
    right: Source
    joint: bool
    facts: tuple[Fact, ...] = ()


def find_pairs(layout: PairLayout, split: PairSplit, name: str | None = None) -> Pairs | None:
    """The pairs of a part of a folder; None if it has no such part.

    Raises DataError if there is no image, or if one of two folders has images without a partner.
    """
    folder = layout.tree.path
    name = name or printable(folder.resolve().name) or printable(folder)
    where = layout.parts.get(split)
    if where is None:
        return None
    found = _parallel(name, *where) if isinstance(where, tuple) else _side_by_side(name, where)
    return replace(found, facts=layout.facts)


def group_pairs(pairs: Pairs, word: str, others: Pairs | None = None) -> Pairs:
    """With the groups that `word` tells, as `data.groups`: "folder", or a regular expression on
    their paths. others: held-out ones, which should be of other groups.

    Raises DataError for an expression that is none, or that matches no path.
    """
    names = _group_names(pairs, word)
    if all(name is None for name in names):
        raise no_match(word, _paths(pairs))
    numbers, fact = number_groups(names, printable(word))
    both = () if others is None else about_both_parts(names, _group_names(others, word))
    left = replace(pairs.left, groups=numbers, order=group_order(numbers))
    return replace(pairs, left=left, facts=(*pairs.facts, fact, *both))


def _group_names(pairs: Pairs, word: str) -> list[str | None]:
    paths = _paths(pairs)
    if word == "folder":
        return [str(PurePosixPath(path).parent) for path in paths]
    return match_paths(word, paths)


def _paths(pairs: Pairs) -> list[str]:
    return [pairs.left.where(row) for row in range(pairs.left.count)]


# --- two folders ----------------------------------------------------------------------------------


def _parallel(name: str, left: Tree, right: Tree) -> Pairs:
    sides = [_by_stem(left), _by_stem(right)]
    alone = [sorted(a.keys() - b.keys()) for a, b in (sides, sides[::-1])]
    if any(alone):
        both = zip((left, right), alone, strict=True)
        told = [f"{printable(side.path)} {_some(names)}" for side, names in both if names]
        count, have = sum(map(len, alone)), agree(sum(map(len, alone)), "have")
        raise DataError(
            f"pairs are two files of the same name, and {count} of "
            f"{plural(sum(map(len, sides)), 'file')} {have} no partner: only in "
            f"{'; only in '.join(told)}. Remove or rename them (this model cannot use images "
            "without partners)"
        )
    stems = sorted(sides[0])

    def encoded(side: dict[str, Path]) -> Source:
        files = [side[stem] for stem in stems]
        return _encoded(name, files, stems, file_parts(files), "whole")

    return Pairs(encoded(sides[0]), encoded(sides[1]), joint=False)


def _by_stem(folder: Tree) -> dict[str, Path]:
    """Images below a folder by their paths in it without their suffixes, é as one letter."""
    found: dict[str, Path] = {}
    for file in _some_images(folder):
        stem = file.relative_to(folder.path).with_suffix("").as_posix()
        stem = unicodedata.normalize("NFC", stem)
        if stem in found:
            raise DataError(
                f"{printable(file)} and {printable(found[stem].name)} have the same name, so it "
                "is unclear which of them belongs to a pair: remove one"
            )
        found[stem] = file
    return found


def _some(names: Sequence[str]) -> str:
    more = len(names) - NAMES_TOLD
    return ", ".join(map(printable, names[:NAMES_TOLD])) + (f" and {more} more" if more > 0 else "")


# --- side by side ---------------------------------------------------------------------------------


def _side_by_side(name: str, folder: Tree) -> Pairs:
    files = _some_images(folder)
    sizes = [size for file in files[:LOOKED_AT] if (size := size_of(read_bytes(file) or b""))]
    if sizes and all(width <= height for width, height in sizes):
        (width, height), first = sizes[0], printable(files[0].name)
        raise DataError(
            f"{printable(folder.path)} holds images that are not wider than high ({first} is "
            f"{width}x{height}), so they are not pairs side by side: put the two images of each "
            "pair in two folders, under the same name (this model cannot use images without "
            "partners)"
        )
    names = [file.relative_to(folder.path).as_posix() for file in files]

    def encoded(side: Half) -> Source:
        parts = file_parts(files, lambda file: half_of(file, side), FILES_A_PART)
        return _encoded(name, files, names, parts, ("left", "right")[side])

    return Pairs(encoded(0), encoded(1), joint=True)


def half_of(file: Path, side: Half) -> Piece | None:
    """The left (0) or right (1) half of an image; None if its file cannot be read."""
    raw = read_bytes(file)
    return None if raw is None else Piece(raw, half=side)


# --- both -----------------------------------------------------------------------------------------


def _some_images(folder: Tree) -> list[Path]:
    files = list_images(folder)
    if not files:
        raise DataError(
            f"{printable(folder.path)} holds no image (searched for "
            f"{' '.join(sorted(SUFFIXES))}, also in subfolders): name the folder that holds the "
            "pairs"
        )
    return files


def likely_pairs(folder: Path) -> str:
    """Why the images of a folder are probably pairs, as a clause; "" if nothing suggests it.

    The headers of a few files are read. Raises OSError if the folder cannot be read.
    """
    try:
        where = next(iter(read_pair_layout(folder).parts.values()), None)
    except DataError:  # two readings are possible
        return ""
    if isinstance(where, tuple):
        stems = [{file.with_suffix("").name for file in list_images(side)} for side in where]
        names = " and ".join(printable(side.path.name) for side in where)
        same = stems[0] == stems[1] != set()
        return f"the folders {names} hold images of the same names" if same else ""
    files = [] if where is None else list_images(where)[:LOOKED_AT]
    sizes = [size_of(raw) for file in files if (raw := read_bytes(file)) is not None]
    wide = sizes and all(size and size[0] == 2 * size[1] for size in sizes)
    return "the images are twice as wide as high, like two images side by side" if wide else ""


def _encoded(
    name: str, files: Sequence[Path], names: Sequence[str], parts: tuple[Part, ...], what: str
) -> Source:
    return Source(
        name, parts=parts,
        where=lambda row: printable(names[row]),
        content=lambda: hashlib.sha256(f"{content_of(files, names)} {what}".encode()).hexdigest(),
        held_out=held_out(len(files)),
        order=fixed_order(len(files)),
    )  # fmt: skip
