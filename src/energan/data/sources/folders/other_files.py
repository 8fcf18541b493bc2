"""Folders without images: of arrays, videos or HDF5 files, each of which stands for images."""

from energan.core import DataError
from energan.data.facts import Fact
from energan.data.sources.containers import hdf5, video
from energan.data.sources.folders.forms import CLEARLY
from energan.data.sources.tree import Tree, suffix_of
from energan.io.text import plural, printable

KINDS = {
    ".npy file": (".npy",),
    "video": video.SUFFIXES,
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
    for folder in reversed(list(tree.below())):  # those below come first
        folder.images = [name for name in folder.others if suffix_of(name) in KINDS[first]]
        folder.others = [name for name in folder.others if suffix_of(name) not in KINDS[first]]
        folder.count = len(folder.images) + sum(below.count for below in folder.folders)
    tree.noun = first
    return (Fact("source", f"{plural(counts[first], first)}, {MEANING[first]}"),)
