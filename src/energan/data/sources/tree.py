"""What lies below a folder, found in one walk: images, other files, and what is never read."""

import os
import stat
from collections import deque
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from energan.data.images.formats.table import SUFFIXES as FORMATS
from energan.io.console import ProgressDisplay
from energan.io.text import printable

SUFFIXES = {
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm",
    ".pgm", ".pbm", ".pnm", ".tga", ".avif", *FORMATS,
}  # fmt: skip
"""Suffixes of images that are read, in lower case."""
SYSTEM = {
    "__macosx", "@eadir", "thumbs.db", "ehthumbs.db", "desktop.ini", "$recycle.bin", "#recycle",
    "system volume information", "lost+found", "__pycache__",
}  # fmt: skip
"""Names, in lower case, of files that systems and viewers leave behind. Names that begin with a dot
are ignored too."""
QUICK = 1.0
"""Seconds before the search reports its progress."""
LINK = "looping or repeated link"
SPECIAL = ("named pipe", "socket", "device")
"""Kinds of ignored files, apart from hidden and system files."""


@dataclass
class LeftOut:
    """How many of one kind are left out, and where the first of them lies."""

    count: int = 0
    example: str = ""

    def add(self, example: str, count: int = 1) -> None:
        self.count, self.example = self.count + count, self.example or example


@dataclass(eq=False)
class Tree:
    """A folder. images, others: names of its regular files, sorted; folders: sorted by name.

    count: of images in it and below. left_out: kind -> what is never read, of the whole walk.
    error: why this folder cannot be read. noun: what its images are called.
    """

    path: Path
    images: list[str] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    folders: list["Tree"] = field(default_factory=list)
    left_out: dict[str, LeftOut] = field(default_factory=dict)
    error: OSError | None = None
    count: int = 0
    noun: str = "image"

    @property
    def name(self) -> str:
        return self.path.name

    def below(self, without: Collection["Tree"] = ()) -> Iterator["Tree"]:
        """This folder, and all below it but those in the folders `without`."""
        waiting = [self]
        while waiting:
            folder = waiting.pop()
            yield folder
            waiting += [below for below in folder.folders if below not in without]

    def files(self, suffix: str) -> list[Path]:
        """Other files of a suffix in it and below, sorted by their paths."""
        found = (
            folder.path / name
            for folder in self.below()
            for name in folder.others
            if suffix_of(name) == suffix
        )
        return sorted(found, key=lambda path: path.parts)


def suffix_of(name: str) -> str:
    lower = name.lower()
    return ".nii.gz" if lower.endswith(".nii.gz") else os.path.splitext(lower)[1]


def scan(root: Path) -> Tree:
    """All that lies below `root`. Nothing is opened, and each folder is walked once, whichever
    links lead to it.

    Raises OSError if `root` itself cannot be read; a folder below keeps its error.
    """
    top = Tree(root)
    seen: set[tuple[int, int]] = set()
    waiting, links = deque([top]), deque[tuple[Tree, str]]()
    order: list[Tree] = []
    display, files = ProgressDisplay(f"reading {printable(root)}", 0), 0
    while waiting or links:
        if waiting:
            tree = waiting.popleft()
            if not _is_new(tree.path, seen):
                continue
            _read(tree, top, links)
        else:  # after all real folders, so that these are known by their own names
            parent, name = links.popleft()
            tree = Tree(parent.path / name)
            if not _is_new(tree.path, seen):
                top.left_out.setdefault(LINK, LeftOut()).add(_relative(tree.path, top))
                continue
            parent.folders.append(tree)
            _read(tree, top, links)
        order.append(tree)
        waiting.extend(tree.folders)
        files += len(tree.images) + len(tree.others)
        if display.seconds > QUICK:
            display.line(f"{display.what}: {files:,} files in {len(order):,} folders so far")
    if top.error is not None:
        raise top.error
    for tree in reversed(order):
        tree.folders.sort(key=lambda folder: folder.name)
        tree.count = len(tree.images) + sum(folder.count for folder in tree.folders)
    return top


def _is_new(path: Path, seen: set[tuple[int, int]]) -> bool:
    """Whether a folder was not walked yet; one that is gone counts as new, and keeps its error."""
    try:
        found = os.stat(path)
    except OSError:
        return True
    key = (found.st_dev, found.st_ino)
    new = key not in seen
    seen.add(key)
    return new


def _read(tree: Tree, top: Tree, links: deque[tuple[Tree, str]]) -> None:
    """Sort the entries of one folder."""
    try:
        with os.scandir(tree.path) as entries:
            for entry in sorted(entries, key=lambda entry: entry.name):
                _sort_in(entry, tree, top, links)
    except OSError as error:
        tree.error = error


def _sort_in(
    entry: "os.DirEntry[str]", tree: Tree, top: Tree, links: deque[tuple[Tree, str]]
) -> None:
    name = entry.name
    if is_system(name):
        top.left_out.setdefault("hidden or system entry", LeftOut()).add(
            _relative(tree.path / name, top)
        )
    elif entry.is_dir(follow_symlinks=False):
        tree.folders.append(Tree(tree.path / name))
    elif os.path.isdir(entry):
        links.append((tree, name))
    elif kind := _special(entry):
        top.left_out.setdefault(kind, LeftOut()).add(_relative(tree.path / name, top))
    else:
        (tree.images if suffix_of(name) in SUFFIXES else tree.others).append(name)


def is_system(name: str) -> bool:
    """Whether a file or folder is hidden, or left behind by a system."""
    return name.startswith(".") or name.lower() in SYSTEM


def _special(entry: "os.DirEntry[str]") -> str | None:
    """What an entry is that must not be opened, since reading might never end; a link to nothing
    may be: whoever opens it says what is wrong."""
    try:
        if entry.is_file():
            return None
        mode = entry.stat().st_mode
    except OSError:
        return None
    pipe, socket, device = SPECIAL
    return pipe if stat.S_ISFIFO(mode) else socket if stat.S_ISSOCK(mode) else device


def _relative(path: Path, top: Tree) -> str:
    return printable(path.relative_to(top.path))


def find_images(root: Path) -> list[Path]:
    """Image files below `root`, sorted by their paths."""
    return list_images(scan(root))


def list_images(tree: Tree, without: Collection[Tree] = ()) -> list[Path]:
    """Images in a folder and below, sorted by their paths, but those in the folders `without`.

    Raises OSError if one of these folders cannot be read.
    """
    found: list[Path] = []
    for folder in tree.below(without):
        if folder.error is not None:
            raise folder.error
        found += [folder.path / name for name in folder.images]
    return sorted(found, key=lambda path: path.parts)
