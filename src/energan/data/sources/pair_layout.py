"""Which folders hold pairs of images: the parts, the left and the right side, and what is left
out."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from energan.core import DataError
from energan.data.facts import Fact
from energan.data.settings import Layouts
from energan.data.sources.folders.descriptions import inside, left_out
from energan.data.sources.folders.forms import CLEARLY
from energan.data.sources.folders.kinds import only_folder
from energan.data.sources.splits import split_of, splits_among
from energan.data.sources.tree import Tree, scan
from energan.io.text import plural, printable

Sides = tuple[Tree, Tree]
Parts = dict[str, Tree | Sides]
_LETTERED = re.compile(r"([a-z]+?)[_-]?([ab])", re.I)


@dataclass(frozen=True, eq=False)
class PairLayout:
    """parts: train, val, test -> the left and the right folder, or that of files with both."""

    tree: Tree
    parts: Parts
    facts: tuple[Fact, ...]


def read_pair_layout(folder: Path, choice: Layouts = "auto") -> PairLayout:
    """What `folder` holds, found in one walk; no file is opened.

    Two folders A and B (by any names; the first of them is the left one) hold pairs in files of the
    same names, and a file elsewhere holds the two images of a pair, left and right. Parts are
    folders train, val, test around A and B, or in both of them, or called trainA, trainB; a folder
    without parts is all for training. choice: "flat" takes every file for a pair side by side.

    Raises DataError where two readings are possible, naming both and what chooses.
    """
    reader = _PairReader(scan(folder))
    parts: Parts = {"train": reader.tree} if choice == "flat" else reader.parts()
    told = [_about(split, found, reader.tree) for split, found in parts.items()]
    return PairLayout(reader.tree, parts, (*told, *reader.facts, *left_out(reader.tree)))


class _PairReader:
    """facts: what is left out, as it is noted on the way."""

    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        self.facts: list[Fact] = []

    def parts(self) -> Parts:
        tree = self.tree
        named = _by_split([(split_of(f.name), f) for f in tree.folders])
        if any(f.count for found in named.values() for f in found) or not tree.count:
            if named:
                self._leave_others(tree, [f for found in named.values() for f in found])
            pairs = {split: self._sides(only_folder(found)) for split, found in named.items()}
            return pairs or {"train": tree}
        marks = [(f, m) for f in tree.folders if (m := _LETTERED.fullmatch(f.name))]
        lettered = _by_split([(split_of(m[1]), f) for f, m in marks])
        if lettered:
            self._leave_others(tree, [f for found in lettered.values() for f in found])
            ordered = {s: sorted(found, key=lambda f: f.name[-1]) for s, found in lettered.items()}
            return {s: (found[0], found[1]) for s, found in ordered.items() if len(found) == 2}
        alike = splits_among([folder.name for folder in tree.folders if folder.count])
        if alike:
            found = _by_split([(alike.get(f.name), f) for f in tree.folders])
            self._leave_others(tree, [f for folders in found.values() for f in folders])
            return {split: self._sides(only_folder(folders)) for split, folders in found.items()}
        sides = self._sides(tree)
        return self._inner_parts(*sides) if isinstance(sides, tuple) else {"train": sides}

    def _inner_parts(self, left: Tree, right: Tree) -> Parts:
        """Parts within the two sides; both are all for training where there are none."""
        within = [
            _by_split([(split_of(f.name), f) for f in side.folders]) for side in (left, right)
        ]
        if not any(within):
            return {"train": (left, right)}
        if alone := within[0].keys() ^ within[1].keys():
            raise DataError(
                f"{printable(left.path)} and {printable(right.path)}: only one of them has a "
                f"folder {min(alone)}"
            )
        return {s: (only_folder(within[0][s]), only_folder(within[1][s])) for s in within[0]}

    def _sides(self, tree: Tree) -> Tree | Sides:
        """The left and the right folder in it, or itself if its files hold both."""
        folders = [folder for folder in tree.folders if folder.count]
        called = [folder for folder in folders if folder.name.lower() in ("a", "b")]
        two = called if len(called) == 2 else folders
        if len(two) != 2:
            return tree
        loose, within = len(tree.images), sum(folder.count for folder in two)
        if loose >= CLEARLY * within:
            return tree
        if within < CLEARLY * loose:
            names = " and ".join(printable(folder.name) for folder in two)
            raise DataError(
                f"{printable(tree.path)} holds the folders {names} and {plural(loose, 'image')} "
                "beside them: move the images elsewhere if the folders are the two sides of the "
                "pairs, or set --data.layout flat if every file is a pair side by side"
            )
        self._leave_others(tree, two)
        return two[0], two[1]

    def _leave_others(self, tree: Tree, taken: Sequence[Tree]) -> None:
        """Note the images in a folder that lie in none of its folders `taken`."""
        beside = f"beside {', '.join(inside(folder.path, self.tree) for folder in taken[:3])}"
        if tree.images:
            text = f"{plural(len(tree.images), 'image')} {beside} ({printable(tree.images[0])})"
            self.facts.append(Fact("left out", text, warning=True))
        for folder in tree.folders:
            if folder.count and folder not in taken:
                where = inside(folder.path, self.tree)
                text = f"{where}, {plural(folder.count, 'image')}, {beside}"
                self.facts.append(Fact("left out", text, warning=True))


def _by_split(folders: Sequence[tuple[str | None, Tree]]) -> dict[str, list[Tree]]:
    """The folders of each part; those of none are left alone."""
    found: dict[str, list[Tree]] = {}
    for split, folder in folders:
        if split is not None:
            found.setdefault(split, []).append(folder)
    return found


def _about(split: str, found: Tree | Sides, tree: Tree) -> Fact:
    if isinstance(found, tuple):
        left, right = (inside(side.path, tree) for side in found)
        return Fact(split, f"{plural(found[0].count, 'pair')}, left in {left}, right in {right}")
    where = "" if found is tree else f" in {inside(found.path, tree)}"
    return Fact(split, f"{plural(found.count, 'file')} of two images side by side{where}")
