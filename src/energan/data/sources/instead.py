"""Folders without images: of arrays, videos or HDF5 files, each of which stands for images."""

from energan.core import DataError
from energan.data.facts import Fact
from energan.data.sources import films, hdf5
from energan.data.sources.forms import CLEARLY
from energan.data.sources.tree import Tree, suffix_of
from energan.io.text import plural, printable

KINDS = {
    ".npy file": (".npy",),
    "video": films.SUFFIXES,
    "HDF5 file": hdf5.SUFFIXES,
}
MEANING = {".npy file": "each one image", "video": "each frame an image", "HDF5 file": "of images"}


def take_instead(tree: Tree) -> tuple[Fact, ...]:
    """Files of the commonest of these kinds count as images of the folder from here on.

    Raises DataError where there are nearly as many of another kind.
    """
    counts = {
        kind: sum(suffix_of(name) in suffixes for f in tree.below() for name in f.others)
        for kind, suffixes in KINDS.items()
    }
    first, second = sorted(counts, key=lambda kind: -counts[kind])[:2]
    if not counts[first]:
        return ()
    if counts[first] < CLEARLY * counts[second]:
        raise DataError(
            f"{printable(tree.path)} holds {plural(counts[first], first)} and "
            f"{plural(counts[second], second)}: name a folder that holds one kind, or one file"
        )
    _take(tree, KINDS[first])
    tree.noun = first
    return (Fact("source", f"{plural(counts[first], first)}, {MEANING[first]}"),)


def _take(tree: Tree, suffixes: tuple[str, ...]) -> None:
    for folder in tree.folders:
        _take(folder, suffixes)
    tree.images = [name for name in tree.others if suffix_of(name) in suffixes]
    tree.others = [name for name in tree.others if suffix_of(name) not in suffixes]
    tree.count = len(tree.images) + sum(folder.count for folder in tree.folders)
