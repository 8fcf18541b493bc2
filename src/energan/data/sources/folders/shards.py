"""Folders of archives as webdataset writes them, which are one set in many files."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from energan.data.facts import Fact
from energan.data.sources.archives import Archive, is_archive, open_archive
from energan.data.sources.folders.archive_labels import with_labels
from energan.data.sources.folders.descriptions import ImagePart, left_out
from energan.data.sources.splits import split_of
from energan.data.sources.tree import LeftOut, Tree, list_images
from energan.io.text import plural, printable


class Shards(NamedTuple):
    """They as one archive, and its parts."""

    archive: Archive
    train: ImagePart | None
    test: ImagePart | None
    facts: tuple[Fact, ...]


def read_shards(tree: Tree) -> Shards | None:
    """A folder of archives as webdataset writes them; None of others. Those whose names have a word
    for a part are of that part; those without classes are left out."""
    paths = (folder.path / name for folder in tree.below() for name in folder.others)
    opened = [with_labels(open_archive(path)) for path in sorted(paths) if is_archive(path)]
    shards = [archive for archive in opened if archive.labels]
    if not shards:
        return None
    files = [shard.path for shard in shards]
    words = {file: re.split("[^A-Za-z]+", file.name.partition(".")[0]) for file in files}
    split = {file: next(filter(None, map(split_of, words[file])), "train") for file in files}
    held = "test" if "test" in split.values() else "val"
    archive = _join(tree.path, shards)
    parts: dict[str, ImagePart] = {}
    facts = [*archive.facts]
    for part in ("train", held):
        pairs = zip(archive.tree.folders, files, strict=True)
        trees = [below for below, file in pairs if split[file] == part]
        images = [image for below in trees for image in list_images(below)]
        names = [image.relative_to(tree.path).as_posix() for image in images]
        if images:
            parts[part] = ImagePart(tree.path, images, names)
            text = f"{plural(len(images), 'image')} in {plural(len(trees), 'archive')}"
            facts.append(Fact("train" if part == "train" else "test", text))
    if other := [printable(one.path.name) for one in opened if not one.labels]:
        text = f"{plural(len(other), 'archive')} without classes ({other[0]})"
        facts.append(Fact("left out", text, warning=True))
    facts += left_out(archive.tree)
    return Shards(archive, parts.get("train"), parts.get(held), tuple(facts))


def _join(folder: Path, archives: Sequence[Archive]) -> Archive:
    """Several archives in a folder as one."""
    reads = {archive.path: archive.read for archive in archives}
    top = Tree(folder, folders=[archive.tree for archive in archives])
    top.count = sum(below.count for below in top.folders)
    for archive in archives:
        for kind, what in archive.tree.left_out.items():
            top.left_out.setdefault(kind, LeftOut()).add(what.example, what.count)
    entries = sum(archive.entries for archive in archives)
    labels = {file: label for archive in archives for file, label in archive.labels.items()}
    facts = (
        Fact(
            "source",
            f"{plural(len(archives), 'archive')} of {plural(entries, 'file')}, read in place",
        ),
        Fact("labels", f"of {plural(len(labels), 'image')}, from the files of the same names"),
    )

    def read(file: Path) -> bytes | None:
        return next(reads[path] for path in file.parents if path in reads)(file)

    files = tuple(file for archive in archives for file in archive.files)
    return Archive(folder, files, top, read, entries, facts, labels)
