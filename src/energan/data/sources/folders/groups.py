"""Which images of a folder belong together, as those of a patient, of a video or of a batch."""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import torch
from torch import Tensor

from energan.core import DataError, describe
from energan.data.facts import Fact
from energan.data.sources.folders.descriptions import ImagePart
from energan.data.sources.folders.label_csv import find_csv, match_values, read_lines
from energan.data.sources.folders.layout import Layout
from energan.data.sources.splits import Split
from energan.io.text import agree, plural, printable

NAMED = 3
"""Number of groups named in a line."""


@dataclass(frozen=True)
class Groups:
    """numbers: int64 (N,) of the images; one of which nothing is told is a group of its own."""

    numbers: Tensor
    facts: tuple[Fact, ...]


def match_groups(word: str, layout: Layout, split: Split, csv: bool) -> Groups | None:
    """The groups of the images of a part, by `word`: "folder", the folder that each lies in; a
    regular expression, of which the first group, or else all that it matches, names the group of a
    path from the source; or, if it is a `csv`, one of `file,group`. None of a test part of which it
    tells nothing.

    Raises DataError for an expression that is none, one that matches no path of a training part, or
    a CSV that does not fit, as `match_labels` does.
    """
    part = layout.part(split)
    path = find_csv(word, layout.path, "data.groups") if csv else None
    names, facts = _names(word, path, layout, part)
    known = sum(name is not None for name in names)
    if not known:
        if split == "test":
            return None
        raise DataError(_no_match(word, path, layout, part))
    numbers = torch.empty(len(names), dtype=torch.int64)
    number: dict[object, int] = {}
    for row, name in enumerate(names):
        numbers[row] = number.setdefault(row if name is None else name, len(number))
    groups = len(number) - (len(names) - known)
    by = printable(path.name if path else word)
    text = f"{groups:,} of {plural(known, 'image')}, by {by}"
    if alone := len(names) - known:
        text += f"; {plural(alone, 'image')} without one, each a group of its own"
    told = Fact("groups", text, warning=alone > 0)
    return Groups(numbers, (told, *_about_both_parts(word, path, layout, split, names), *facts))


def _names(
    word: str, csv: Path | None, layout: Layout, part: ImagePart
) -> tuple[list[str | None], tuple[Fact, ...]]:
    """The group of each image; None where it has none."""
    if csv is not None:
        lines, facts = read_lines(csv, "group", "scan1.png,patient1")
        said, _ = match_values(csv, layout, part, lines)
        return [said.get(row) for row in range(len(part.files))], facts
    if word == "folder":
        return [str(PurePosixPath(name).parent) for name in part.names], ()
    try:
        pattern = re.compile(unicodedata.normalize("NFC", word))
    except re.error as error:
        raise DataError(
            f"data.groups {describe(word)} is not the word folder, a CSV or a valid regular "
            f"expression ({error}): write an expression such as '(patient\\d+)'"
        ) from None
    return [_found(pattern, path) for path in _paths(layout, part)], ()


def _paths(layout: Layout, part: ImagePart) -> Sequence[str]:
    """From the source."""
    base = layout.tree.path
    inside = all(file.is_relative_to(base) for file in part.files)
    paths = [f.relative_to(base).as_posix() for f in part.files] if inside else part.names
    return [unicodedata.normalize("NFC", path) for path in paths]


def _found(pattern: re.Pattern[str], path: str) -> str | None:
    match = pattern.search(path)
    return (match[1 if pattern.groups else 0] or None) if match else None


def _no_match(word: str, csv: Path | None, layout: Layout, part: ImagePart) -> str:
    if csv is not None:
        return (
            f"{csv} gives no group for any training image: write a line for each image of "
            f"{printable(part.root)}"
        )
    return (
        f"data.groups {describe(word)} matches none of {plural(len(part.files), 'path')}, for "
        f"example {describe(_paths(layout, part)[0])}: correct the regular expression"
    )


def _about_both_parts(
    word: str, csv: Path | None, layout: Layout, split: Split, names: Sequence[str | None]
) -> tuple[Fact, ...]:
    """Groups that have images in the training part and in the test part."""
    other = layout.train if split == "test" else layout.test
    if other is None or not other.files:
        return ()
    both = sorted({*filter(None, names)} & {*filter(None, _names(word, csv, layout, other)[0])})
    if not both:
        return ()
    first = ", ".join(map(printable, both[:NAMED])) + (", …" if len(both) > NAMED else "")
    text = (
        f"{len(both):,} ({first}) {agree(len(both), 'have')} images in both the training and the "
        "test part, so scores on the test part look better than they are; move each group to "
        "one part"
    )
    return (Fact("groups", text, warning=True),)
