"""A user's own labels of some images of a folder: a CSV of `file,label`."""

import csv
import os
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import torch
from torch import Tensor

from energan.core import DataError, describe

SEPARATORS = ",;\t"
COLUMNS = ("file", "label")


@dataclass(frozen=True)
class Line:
    """What a line says; number: where in the file, from 1."""

    number: int
    file: str
    label: str


@dataclass(frozen=True)
class Labels:
    """numbers: int64 (N,) of the images, -1 where none is told; names of all the file's classes."""

    numbers: Tensor
    names: tuple[str, ...]


def find_labels(labels: str, folder: Path) -> Path:
    """The CSV as it is named, or in the images' folder. Raises DataError if there is none."""
    try:
        path = Path(labels).expanduser()
    except RuntimeError:  # a ~user that does not exist
        path = Path(labels)
    for found in (path, folder / path):
        if found.is_file():
            return found
    raise DataError(f"data.labels: there is no file {describe(labels)}, here or in {folder}")


def read_labels(path: Path) -> list[Line]:
    """The lines that tell a label. The first line names the columns, `file` and `label` among them.

    Columns stand in any order between commas, semicolons or tabs, others beside them are left
    alone, and a line without a label says nothing. Raises DataError, naming the file and the line.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read as UTF-8 text: {describe(error)}") from None
    head = text.partition("\n")[0]
    separator = max(SEPARATORS, key=head.count)
    rows = csv.reader(text.splitlines(keepends=True), delimiter=separator, skipinitialspace=True)
    lines: list[Line] = []
    try:
        header = [name.strip().lower() for name in next(rows, [])]
        if any(header.count(name) != 1 for name in COLUMNS):
            raise DataError(
                f"{path}: its first line must name the columns, as file,label does, and is "
                f"{describe(head.strip()) or 'empty'}"
            )
        for row in rows:
            cells = [cell.strip() for cell in row]
            if not any(cells):
                continue
            if len(cells) != len(header):
                raise DataError(
                    f"{path}, line {rows.line_num}: {len(cells)} fields for {len(header)} columns; "
                    "put what holds a comma into quotes"
                )
            file, label = (cells[header.index(name)] for name in COLUMNS)
            if label and not file:
                raise DataError(f"{path}, line {rows.line_num}: a label without a file")
            if label:
                lines.append(Line(rows.line_num, file, label))
    except csv.Error as error:
        raise DataError(f"{path}, line {rows.line_num}: {error}") from None
    names = {line.label for line in lines}
    if not names:
        raise DataError(f"{path} tells no label: write lines as cat1.jpg,cat below file,label")
    if len(names) == 1:
        raise DataError(f"{path}: every label is {describe(*names)}: name two classes")
    return lines


def match_labels(path: Path, folder: Path, root: Path, files: Sequence[Path]) -> Labels:
    """The labels that the CSV `path` tells of the images `files`.

    folder: the source; root: the folder of its split, or the same. A line of an image of another
    split is left alone. A file is named by its path from the source, from the split or from the
    CSV's own folder, whichever fits first, or by its name alone where no other image is called so.
    Classes are numbered in the order of their names, or as numbers if all are whole numbers.

    Raises DataError, naming the line, for a file that is not there, whose name is that of several,
    or that has another label in another line.
    """
    lines = read_labels(path)
    places = _Places(path, folder, root, files)
    said: dict[int, Line] = {}
    lost: list[Line] = []
    for line in lines:
        row = places.row(line)
        if row is None:
            if not places.elsewhere(line):
                lost.append(line)
            continue
        before = said.setdefault(row, line)
        if before.label != line.label:
            raise DataError(
                f"{path}: {describe(line.file)} is {describe(before.label)} in line "
                f"{before.number} and {describe(line.label)} in line {line.number}: keep one"
            )
    if lost:
        more = f" (nor that of {len(lost) - 1} more lines)" if len(lost) > 1 else ""
        raise DataError(
            f"{path}, line {lost[0].number}: {folder} holds no image {describe(lost[0].file)}"
            f"{more}; write paths from that folder, or from the CSV's"
        )
    names = {line.label for line in lines}
    whole = all(re.fullmatch(r"-?\d{1,18}", name, re.ASCII) for name in names)
    classes = sorted(names, key=lambda name: (int(name) if whole else 0, name))
    number = {name: i for i, name in enumerate(classes)}
    numbers = torch.full((len(files),), -1, dtype=torch.int64)
    for row, line in said.items():
        numbers[row] = number[line.label]
    return Labels(numbers, tuple(classes))


class _Places:
    """Where the files that lines name are among the images."""

    def __init__(self, path: Path, folder: Path, root: Path, files: Sequence[Path]) -> None:
        self.path, self.folder, self.split, self.files = path, folder, root != folder, files
        self._bases = list(dict.fromkeys([folder, root, path.parent]))
        self._real = lru_cache(maxsize=None)(os.path.realpath)  # of folders, of which there are few
        self._row = {self._at(str(file)): row for row, file in enumerate(files)}
        self._called = Counter(file.name for file in files)
        self._alone = {file.name: row for row, file in enumerate(files)}

    def _at(self, file: str) -> str:
        """One path for each file, whichever links lead to it."""
        folder, name = os.path.split(file)
        return os.path.join(self._real(folder), name)

    def row(self, line: Line) -> int | None:
        """Which of the files; None for one that is not among them."""
        for file in (line.file, line.file.replace("\\", "/")):
            for base in self._bases:
                found = self._row.get(self._at(os.path.join(base, file)))
                if found is not None:
                    return found
        if self._called[line.file] > 1:
            first = next(file for file in self.files if file.name == line.file)
            raise DataError(
                f"{self.path}, line {line.number}: {self._called[line.file]} images are called "
                f"{describe(line.file)}, one of them {first}: write its path"
            )
        return self._alone.get(line.file)

    def elsewhere(self, line: Line) -> bool:
        """Whether the line names a file of another split."""
        if not self.split:
            return False
        file = line.file.replace("\\", "/")
        below = self._below.get(os.path.basename(file), ())
        return any((base / file).is_file() for base in self._bases) or any(
            path.as_posix().endswith(f"/{file}") for path in below
        )

    @cached_property
    def _below(self) -> dict[str, list[Path]]:
        """All files of the source, by their names."""
        found: dict[str, list[Path]] = {}
        for path in self.folder.rglob("*"):
            found.setdefault(path.name, []).append(path)
        return found
