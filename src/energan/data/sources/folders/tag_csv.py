"""A user's own tags of some images of a folder: a CSV of `file,tag,tag,…`, or of yes and no."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from energan.core import DataError, describe
from energan.data.facts import Fact
from energan.data.sources.folders.class_names import check_alike
from energan.data.sources.folders.csv_text import CsvText, read_csv
from energan.data.sources.folders.descriptions import ImagePart
from energan.data.sources.folders.label_csv import Line, match_lines
from energan.data.sources.folders.layout import Layout
from energan.io.text import agree, plural, printable

TRUE, FALSE = {"1", "yes", "true"}, {"0", "-1", "no", "false", ""}


@dataclass(frozen=True)
class TagLine(Line):
    """The tags that a line tells of a file."""

    tags: tuple[str, ...] = ()


@dataclass(frozen=True)
class ImageTags:
    """marks: uint8 (N, T) of 0 and 1; names of the T tags."""

    marks: Tensor
    names: tuple[str, ...]
    facts: tuple[Fact, ...]


def read_tags(path: Path) -> tuple[list[TagLine], tuple[Fact, ...]]:
    """The lines that tell tags. The first line begins with `file`.

    Below it stand tags, as many as a file has, or, where the first line names the tags, a yes or no
    for each (1 or 0, true or false, 1 or -1). Raises DataError, naming the file and the line.
    """
    text = read_csv(path, ragged=True)
    if not text.columns or text.columns[0] != "file":
        raise DataError(
            f"{path}: the first line is {describe(text.head) or 'empty'}, and must begin with "
            "file: write, for example, file,tag,tag"
        )
    cells = [cell.lower() for row in text.rows for cell in row.cells[1:]]
    marks = sum(cell in TRUE | FALSE for cell in cells)
    if len(set(text.columns)) == len(text.columns) > 2:  # one odd mark makes no tags of the others
        marked = 2 * marks > len(cells)
    else:
        marked = 0 < marks == len(cells)
    lines = list(_marked(text) if marked else _listed(text))
    if not any(line.tags for line in lines):
        raise DataError(
            f"{path} holds no tags: write lines such as beach.jpg,sea,sky below file,tag,tag"
        )
    return lines, text.facts


def _listed(text: CsvText) -> Iterator[TagLine]:
    """Of a file of tags."""
    for row in text.rows:
        file, *tags = row.cells
        if not file:
            raise DataError(f"{text.path}, line {row.number}: tags without a file: add its name")
        if any("\n" in cell or "\r" in cell for cell in row.cells):
            raise DataError(
                f"{text.path}, line {row.number}: a quote opened in an earlier line is not "
                "closed: close it"
            )
        yield TagLine(row.number, file, "", tuple(filter(None, tags)))


def _marked(text: CsvText) -> Iterator[TagLine]:
    """Of a file of yes and no."""
    names = [name.strip() for name in text.names[1:]]
    if len(set(names)) < len(names) or not all(names):
        raise DataError(
            f"{text.path}: the first line names a tag more than once: {describe(text.head)}"
        )
    for row in text.rows:
        if len(row.cells) > len(names) + 1:
            raise DataError(
                f"{text.path}, line {row.number}: {len(row.cells)} fields for {len(names) + 1} "
                "columns"
            )
        pairs = list(zip(names, row.cells[1:], strict=False))
        for name, cell in pairs:
            if cell.lower() not in TRUE | FALSE:
                raise DataError(
                    f"{text.path}, line {row.number}: {describe(cell)} is not a yes or no for "
                    f"{describe(name)}: write 1 or 0"
                )
        yield TagLine(
            row.number, row.cells[0], "", tuple(n for n, cell in pairs if cell.lower() in TRUE)
        )


def match_tags(path: Path, layout: Layout, part: ImagePart) -> ImageTags | None:
    """The tags that the CSV `path` tells of the images of a part; None if it tells of none of them.

    Several lines of a file add up; an image without a line has no tags. Files are found as
    `match_labels` finds them. Raises DataError, naming the line, for a file that is not there.
    """
    lines, facts = read_tags(path)
    names = sorted({tag for line in lines for tag in line.tags})
    check_alike(names, (), str(path), "write it the same in all lines", noun="tag")
    found, others = match_lines(path, layout, part, lines)
    if not found:
        return None
    column = {name: i for i, name in enumerate(names)}
    marks = torch.zeros(len(part.files), len(names), dtype=torch.uint8)
    for row, line in found:
        for tag in line.tags:
            marks[row, column[tag]] = 1
    tagged = int(marks.any(1).sum())
    text = (
        f"{tagged:,} of {plural(len(part.files), 'image')} {agree(tagged, 'have')} some, of "
        f"{len(names):,}, from {printable(path.name)}"
    )
    if others:
        text += f"; {plural(others, 'line')} of it {agree(others, 'are')} about other files"
    return ImageTags(marks, tuple(names), (Fact("tags", text), *facts))
