"""A user's own labels of some images of a folder: a CSV of `file,label`."""

import os
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor

from energan.core import DataError, describe
from energan.data.facts import Fact
from energan.data.sources.folders.class_names import order_classes
from energan.data.sources.folders.csv_text import read_csv
from energan.data.sources.folders.descriptions import ImagePart
from energan.data.sources.folders.layout import Layout
from energan.io.files import copy_files, write_csv
from energan.io.text import agree, plural, printable


@dataclass(frozen=True)
class Line:
    """What a line says; number: where in the file, from 1."""

    number: int
    file: str
    label: str


AnyLine = TypeVar("AnyLine", bound=Line)


@dataclass(frozen=True)
class Labels:
    """numbers: int64 (N,) of the images, -1 where none is told; names of all the file's classes."""

    numbers: Tensor
    names: tuple[str, ...]
    facts: tuple[Fact, ...]


def find_csv(word: str, folder: Path, setting: str = "data.labels") -> Path:
    """The CSV as it is named, or in the images' folder. Raises DataError if there is none."""
    try:
        path = Path(word).expanduser()
    except RuntimeError:  # a ~user that does not exist
        path = Path(word)
    for found in (path, folder / path):
        if found.is_file():
            return found
    raise DataError(
        f"{setting}: there is no file {describe(word)}, neither here nor in {printable(folder)}"
    )


def read_labels(path: Path) -> tuple[list[Line], tuple[Fact, ...]]:
    """The lines that tell a label, as `read_lines` gives them; DataError for one label alone."""
    lines, facts = read_lines(path, "label", "cat1.jpg,cat")
    names = {line.label for line in lines}
    if len(names) == 1:
        raise DataError(f"{path}: every label is {describe(*names)}: give at least two classes")
    return lines, facts


def read_lines(path: Path, column: str, example: str) -> tuple[list[Line], tuple[Fact, ...]]:
    """The lines that tell a `column` of a file: the first names the columns, `file` among them.

    Columns stand in any order between commas, semicolons or tabs, others beside them are left
    alone, and a line with an empty cell says nothing. Raises DataError, naming the file and the
    line, and with an `example` if no line tells anything.
    """
    text, columns = read_csv(path), ("file", column)
    if any(text.columns.count(name) != 1 for name in columns):
        raise DataError(
            f"{path}: the first line is {describe(text.head) or 'empty'}, and must name the "
            f"columns: write, for example, file,{column}"
        )
    lines: list[Line] = []
    for row in text.rows:
        file, label = (row.cells[text.columns.index(name)] for name in columns)
        if "\n" in file + label or "\r" in file + label:
            raise DataError(
                f"{path}, line {row.number}: a quote opened in an earlier line is not closed: "
                "close it"
            )
        if label and not file:
            raise DataError(f"{path}, line {row.number}: a {column} without a file")
        if label:
            lines.append(Line(row.number, file, label))
    if not lines:
        raise DataError(
            f"{path} holds no {column}: write lines such as {example} below file,{column}"
        )
    return lines, text.facts


def match_labels(path: Path, layout: Layout, part: ImagePart) -> Labels:
    """The labels that the CSV `path` tells of the images of a part.

    A line of an image of another part is left alone. A file is named by its path from the source,
    from the part or from the CSV's own folder, whichever fits first, or by its name alone where no
    other image is called so. Classes are numbered in the order of their names, or as numbers if all
    are whole numbers.

    Raises DataError, naming the line, for a file that is not there, whose name is that of several,
    or that has another label in another line.
    """
    lines, facts = read_labels(path)
    said, others = match_values(path, layout, part, lines)
    classes = order_classes(line.label for line in lines)
    number = {name: i for i, name in enumerate(classes)}
    numbers = torch.full((len(part.files),), -1, dtype=torch.int64)
    for row, label in said.items():
        numbers[row] = number[label]
    text = (
        f"{len(said):,} of {plural(len(part.files), 'image')} have one, of {len(classes)} "
        f"classes, from {printable(path.name)}"
    )
    if others:
        text += f"; {plural(others, 'line')} of it {agree(others, 'are')} about other files"
    return Labels(numbers, classes, (Fact("labels", text), *facts))


def match_values(
    path: Path, layout: Layout, part: ImagePart, lines: Sequence[Line]
) -> tuple[dict[int, str], int]:
    """What the lines tell of images of the part, by their rows, and how many are about other files
    there. Raises DataError as `match_labels` does."""
    said: dict[int, Line] = {}
    found, others = match_lines(path, layout, part, lines)
    for row, line in found:
        before = said.setdefault(row, line)
        if before.label != line.label:
            raise DataError(
                f"{path}: {describe(line.file)} is {describe(before.label)} in line "
                f"{before.number} and {describe(line.label)} in line {line.number}: keep one"
            )
    return {row: line.label for row, line in said.items()}, others


def match_lines(
    path: Path, layout: Layout, part: ImagePart, lines: Sequence[AnyLine]
) -> tuple[list[tuple[int, AnyLine]], int]:
    """Which image of the part each line is about, and how many are about other files there.

    Raises DataError as `match_labels` does.
    """
    places = _Places(path, layout, part)
    found: list[tuple[int, AnyLine]] = []
    lost: list[AnyLine] = []
    others = 0
    for line in lines:
        row = places.row(line)
        if row is not None:
            found.append((row, line))
        elif places.elsewhere(line):
            others += 1
        else:
            lost.append(line)
    if lost:
        more = f" (nor that of {len(lost) - 1} more lines)" if len(lost) > 1 else ""
        raise DataError(
            f"{path}, line {lost[0].number}: {printable(layout.tree.path)} holds no image "
            f"{describe(lost[0].file)}{more}; write paths relative to that folder, or to the "
            "CSV's"
        )
    return found, others


class _Places:
    """Where the files that lines name are among the images. Names are compared with é as one
    letter, however it is written."""

    def __init__(self, path: Path, layout: Layout, part: ImagePart) -> None:
        self.path, self.layout, self.files = path, layout, part.files
        self._bases = list(dict.fromkeys([layout.path, layout.tree.path, part.root, path.parent]))
        self._real = lru_cache(maxsize=None)(os.path.realpath)  # of folders, of which there are few
        self._row = {self._at(str(file)): row for row, file in enumerate(part.files)}
        names = [_nfc(file.name) for file in part.files]
        self._called = Counter(names)
        self._alone = {name: row for row, name in enumerate(names)}

    def _at(self, file: str) -> str:
        """One path for each file, whichever links lead to it."""
        folder, name = os.path.split(file)
        return _nfc(os.path.join(self._real(folder), name))

    def row(self, line: Line) -> int | None:
        """Which of the files; None for one that is not among them."""
        for file in (line.file, line.file.replace("\\", "/")):
            for base in self._bases:
                found = self._row.get(self._at(os.path.join(base, file)))
                if found is not None:
                    return found
        if self._called[line.file] > 1:
            first = next(file for file in self.files if _nfc(file.name) == line.file)
            raise DataError(
                f"{self.path}, line {line.number}: {self._called[line.file]} images have the "
                f"name {describe(line.file)}, one of them {printable(first)}: write its path"
            )
        return self._alone.get(line.file)

    def elsewhere(self, line: Line) -> bool:
        """Whether the line names another file of the source, as one of another part."""
        file = line.file.replace("\\", "/")
        return any(
            path == file or path.endswith(f"/{file}") for path in self._below.get(_last(file), ())
        ) or any(self._at(os.path.join(base, file)) in self._every for base in self._bases)

    @cached_property
    def _below(self) -> dict[str, list[str]]:
        """All files of the source that are not of this part, by their names."""
        rows, found = self._row, dict[str, list[str]]()
        for path in self._all_files():
            if path not in rows:
                found.setdefault(_last(path), []).append(path)
        return found

    @cached_property
    def _every(self) -> set[str]:
        return {path for paths in self._below.values() for path in paths}

    def _all_files(self) -> Iterable[str]:
        for folder in self.layout.tree.below():
            where = self._real(str(folder.path))
            for name in (*folder.images, *folder.others):
                yield _nfc(os.path.join(where, name))


def _last(path: str) -> str:
    return path.rpartition("/")[2]


def _nfc(text: str) -> str:
    return unicodedata.normalize("NFC", text)


def save_labelled(folder: Path, files: Sequence[Path], labels: Sequence[str | None]) -> Path:
    """Copy images into a folder, and write the labels of some beside them, as `data.labels` takes
    them; the CSV's path. labels: of each image; None for those without one."""
    copies = copy_files(files, folder)
    rows = [
        {"file": copy.name, "label": label}
        for copy, label in zip(copies, labels, strict=True)
        if label is not None
    ]
    write_csv(folder / "labels.csv", ("file", "label"), rows)
    return folder / "labels.csv"
