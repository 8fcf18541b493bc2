"""Which images of a folder belong together, as those of a patient, of a video or of a batch."""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from torch import Tensor

from energan.core import DataError, describe
from energan.data.facts import Fact
from energan.data.sources.folders.descriptions import ImagePart
from energan.data.sources.folders.label_csv import find_csv, match_values, read_lines
from energan.data.sources.folders.layout import Layout
from energan.data.sources.splits import Split, about_both_parts, number_groups
from energan.io.text import plural, printable


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
    if all(name is None for name in names):
        if split == "test":
            return None
        if path is None:
            raise no_match(word, _paths(layout, part))
        raise DataError(
            f"{path} gives no group for any training image: write a line for each image of "
            f"{printable(part.root)}"
        )
    numbers, fact = number_groups(names, printable(path.name if path else word))
    other = layout.train if split == "test" else layout.test
    both: tuple[Fact, ...] = ()
    if other is not None and other.files:
        both = about_both_parts(names, _names(word, path, layout, other)[0])
    return Groups(numbers, (fact, *both, *facts))


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
    return match_paths(word, _paths(layout, part)), ()


def match_paths(word: str, paths: Sequence[str]) -> list[str | None]:
    """The group that a regular expression names in each path; None where it does not match. Raises
    DataError for an expression that is none."""
    try:
        pattern = re.compile(unicodedata.normalize("NFC", word))
    except re.error as error:
        raise DataError(
            f"data.groups {describe(word)} is not the word folder, a CSV or a valid regular "
            f"expression ({error}): write an expression such as '(patient\\d+)'"
        ) from None
    return [_found(pattern, unicodedata.normalize("NFC", path)) for path in paths]


def no_match(word: str, paths: Sequence[str]) -> DataError:
    """To be raised where it matches none."""
    return DataError(
        f"data.groups {describe(word)} matches none of {plural(len(paths), 'path')}, for "
        f"example {describe(paths[0])}: correct the regular expression"
    )


def _paths(layout: Layout, part: ImagePart) -> Sequence[str]:
    """From the source."""
    base = layout.tree.path
    inside = all(file.is_relative_to(base) for file in part.files)
    return [f.relative_to(base).as_posix() for f in part.files] if inside else part.names


def _found(pattern: re.Pattern[str], path: str) -> str | None:
    match = pattern.search(path)
    return (match[1 if pattern.groups else 0] or None) if match else None
