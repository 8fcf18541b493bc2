"""A folder of images, with or without folders for classes and splits."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from energan.data.images.checksums import content_of
from energan.data.images.formats.table import files_at_once
from energan.data.settings import DataSettings
from energan.data.source import Encoded, Part, Source
from energan.data.sources.archives import Archive
from energan.data.sources.containers.frames import CONTAINERS, with_their_images
from energan.data.sources.folders.class_names import check_alike, order_classes
from energan.data.sources.folders.groups import match_groups
from energan.data.sources.folders.label_csv import find_csv, match_labels
from energan.data.sources.folders.layout import Layout, read_layout
from energan.data.sources.folders.tag_csv import match_tags
from energan.data.sources.splits import Split, fixed_order, group_order, held_out
from energan.data.sources.tree import suffix_of
from energan.io.files import open_regular
from energan.io.text import printable

FILES_A_PART = 256


def open_image_folder(folder: Path, split: Split = "train") -> Source:
    """All images of a part of `folder`, as `open_layout` gives them."""
    return open_layout(read_layout(folder), split, DataSettings())


def open_layout(layout: Layout, split: Split, settings: DataSettings) -> Source:
    """The images of a part of a folder.

    Where every image lies in a folder of the first level, and there are at least two, these are the
    classes, numbered in the order of their names; images in a folder `unlabelled` among them have
    label -1. A tenth is held out, 10,000 at most, chosen by a fixed shuffle.

    `settings.labels` names a CSV of `file,label`, which alone then tells the classes; other images
    have label -1. Of a split that it names no image of, folders that are called as its classes tell
    them. `settings.tags` names one of `file,tag,tag,…`, and these are the attributes.
    `settings.groups` tells which images are held out together.

    Raises DataError if there is no image, and as `match_labels` does.
    """
    part = layout.part(split)
    folder, facts = layout.path, layout.facts
    classes, numbers = part.classes, None
    where = printable(folder)
    if settings.labels is not None:
        csv = find_csv(settings.labels, folder)
        told = match_labels(csv, layout, part)
        check_alike(told.names, settings.classes, str(csv), "write it the same in all lines")
        classes, numbers, facts = told.names, told.numbers, facts + told.facts
        if split == "test" and not bool((numbers >= 0).any()):
            numbers = None if part.folders is None else _number(part.folders, classes)
            classes = None if part.folders is None else classes
    elif layout.archive is not None and layout.archive.labels:
        told_by = layout.archive.labels
        classes = order_classes(told_by.values())
        check_alike(classes, settings.classes, where, "write it the same everywhere")
        numbers = _number([told_by.get(file, "") for file in part.files], classes)
    elif classes is not None and part.folders is not None:
        check_alike(classes, settings.classes, where, "put the images into one folder")
        numbers = _number(part.folders, classes)
    groups = None
    if settings.groups is not None:
        groups = match_groups(settings.groups, layout, split, "groups" in settings.csvs)
        facts += () if groups is None else groups.facts
    tags = None
    if settings.tags is not None:
        tags = match_tags(find_csv(settings.tags, folder, "data.tags"), layout, part)
        facts += () if tags is None else tags.facts
    name = printable(folder.resolve().name) or where
    found = replace(
        from_files(name, part.files, part.names, layout.archive),
        base=part.root,
        labels=numbers,
        class_names=classes,
        attributes=None if tags is None else tags.marks,
        attribute_names=None if tags is None else tags.names,
        masks=part.masks,
        held_out=held_out(len(part.files)) if split == "train" else 0,
        order=fixed_order(len(part.files)) if groups is None else group_order(groups.numbers),
        groups=None if groups is None else groups.numbers,
        facts=facts,
    )
    if layout.archive is None and suffix_of(part.files[0].name) in CONTAINERS:
        return with_their_images(found, part.files, settings)
    return found


def from_files(
    name: str, files: Sequence[Path], names: Sequence[str], archive: Archive | None = None
) -> Source:
    """The images in `files`, which messages, and the key of a cache, know by `names`. archive: that
    they lie in, if they are no files."""

    def content() -> str:
        if archive is None:
            return content_of(files, names)
        told = "\n".join(names).encode("utf8", "surrogateescape")
        inside = hashlib.sha256(told).hexdigest()
        return f"{content_of(archive.files, [''] * len(archive.files))} {inside}"

    return Source(
        name,
        parts=file_parts(files, read_bytes if archive is None else archive.read),
        where=lambda row: printable(names[row]),
        content=content,
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
    read: Callable[[Path], Encoded | None] = read_bytes,
    size: int = FILES_A_PART,
) -> tuple[Part, ...]:
    """Parts of `size` files each, or fewer of large ones. read: file -> its encoded image."""
    size = min(size, files_at_once(frozenset(suffix_of(file.name) for file in files)))

    def part(start: int) -> Part:
        chosen = files[start : start + size]
        return Part(start, len(chosen), lambda: [read(file) for file in chosen])

    return tuple(part(start) for start in range(0, len(files), size))


def _number(folders: Sequence[str], classes: Sequence[str]) -> Tensor:
    """The class of each image by its folder, int64 (N,); -1 for a folder that is none."""
    number = {name: i for i, name in enumerate(classes)}
    return torch.tensor([number.get(folder, -1) for folder in folders])
