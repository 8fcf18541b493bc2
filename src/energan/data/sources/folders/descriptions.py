"""What a folder was taken for, and what of it is not read, in words and numbers."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from energan.data.facts import Fact
from energan.data.sources.containers.frames import CONTAINERS
from energan.data.sources.tree import SPECIAL, LeftOut, Tree, suffix_of
from energan.io.text import plural, printable

PICTURES = {
    ".jxl", ".jp2", ".j2k", ".jpx", ".psd", ".svg", ".exr", ".hdr",
    ".raw", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".rw2", ".raf", ".ico",
}  # fmt: skip
"""Suffixes of pictures that cannot be read, which are reported."""
SOURCES = {".parquet", ".arrow", ".mat", ".npy", ".npz", ".zip", ".tar", ".tgz", *CONTAINERS}
"""Suffixes of other kinds of source, which are not read together with a folder of images."""
NAMED = 8
"""Number of folders named in a line."""


@dataclass(frozen=True, eq=False)
class ImagePart:
    """The images of a part, sorted by their paths.

    root: what their names start from. folders: the first folder of each, as a class is called,
    where these are classes; classes: in the order of their numbers. masks: of each image, where
    there are any.
    """

    root: Path
    files: list[Path]
    names: list[str]
    folders: list[str] | None = None
    classes: tuple[str, ...] | None = None
    masks: tuple[Path | None, ...] | None = None


def about_part(subject: str, part: ImagePart, tree: Tree) -> Fact:
    """How many images a part of the folder `tree` has, and in which of its folders."""
    text = plural(len(part.files), tree.noun)
    text += "" if part.root == tree.path else f" in {inside(part.root, tree)}"
    if part.folders is not None:
        known = part.classes or ()
        counts = Counter(folder for folder in part.folders if folder in known)
        text += f", of {plural(len(counts), 'class')} ({_counted(counts)})"
        if others := len(part.folders) - counts.total():
            text += f", {others:,} unlabelled"
    elif firsts := Counter(name.partition("/")[0] for name in part.names if "/" in name):
        text += f" ({_counted(firsts)})"
    return Fact(subject, text)


def about_masks(
    parts: Sequence[ImagePart], trees: Sequence[Tree], beside: Mapping[Path, Path], tree: Tree
) -> Fact:
    """How many masks there are and of how many images; a warning where others in their folders
    lack theirs. trees: folders of masks; beside: image -> its mask in the same folder."""
    used, lacking = 0, 0
    for part in parts:
        masked = list(zip(part.files, part.masks or (None,) * len(part.files), strict=True))
        of = Counter(file.parent for file, mask in masked if mask is not None)
        lacking += sum(mask is None and file.parent in of for file, mask in masked)
        used += of.total()
    total = len(beside) + sum(folder.count for folder in trees)
    where = ", ".join(dict.fromkeys(inside(folder.path, tree) for folder in trees))
    text = f"{total:,}{f' in {where}' if where else ''}, for {plural(used, 'image')}"
    if lacking:
        text += f"; {plural(lacking, 'image')} without one"
    if total > used:
        text += f"; {total - used:,} without an image that is read"
    return Fact("masks", text, warning=bool(lacking) or not used)


def left_out(tree: Tree, used: Sequence[Path] = ()) -> list[Fact]:
    """A line for each kind of file below a folder that is neither an image nor among `used`."""
    others: dict[str, LeftOut] = {}
    taken = set(used)
    for folder in tree.below():
        for name in folder.others:
            if folder.path / name not in taken:
                example = printable((folder.path / name).relative_to(tree.path))
                others.setdefault(suffix_of(name), LeftOut()).add(example)
    found = [
        _line(suffix, what, tree)
        for suffix, what in sorted(others.items(), key=lambda item: -item[1].count)
    ]
    for kind, what in tree.left_out.items():
        found.append(_fact(what, kind, warning=kind in SPECIAL))
    for folder in tree.below():
        if folder.error is not None:
            where = inside(folder.path, tree)
            found.append(Fact("left out", f"{where} cannot be read: {folder.error.strerror}", True))
    return found


def _line(suffix: str, what: LeftOut, tree: Tree) -> Fact:
    remedy, alone = "", tree.path.is_dir()  # nothing in an archive can be named
    it = "it" if what.count == 1 else "that"
    if alone and suffix in SOURCES:
        remedy = f"; --data {printable(tree.path)}/{what.example} reads it"
    elif alone and suffix == ".csv":
        remedy = f"; --data.labels {what.example} takes labels from {it}"
    many = what.count > tree.count and suffix not in (".txt", ".xml", ".json")
    kind = f"{printable(suffix)} file" if suffix else "suffixless file"
    return _fact(what, kind, remedy, warning=many or suffix in PICTURES | SOURCES)


def _fact(what: LeftOut, kind: str, remedy: str = "", *, warning: bool) -> Fact:
    first = "as " * (what.count > 1) + what.example
    return Fact("left out", f"{plural(what.count, kind)} ({first}){remedy}", warning)


def inside(path: Path, tree: Tree) -> str:
    """A folder below `tree`, as it is told."""
    return f"{printable(path.relative_to(tree.path).as_posix())}/"


def listed(trees: Sequence[Tree]) -> str:
    """The names of the first of them."""
    more = f" and {len(trees) - NAMED:,} more" if len(trees) > NAMED else ""
    return ", ".join(printable(tree.name) for tree in trees[:NAMED]) + more


def _counted(counts: Counter[str]) -> str:
    """The first of them, each with its number."""
    names = sorted(counts)
    more = f", … {len(names) - NAMED:,} more" if len(names) > NAMED else ""
    return ", ".join(f"{printable(n)} {counts[n]:,}" for n in names[:NAMED]) + more
