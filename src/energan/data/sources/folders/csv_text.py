"""CSV files as Excel and others save them: separators, encodings and line ends of every kind."""

import csv
import io
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from energan.core import DataError, describe
from energan.data.facts import Fact
from energan.io.text import plural

SEPARATORS = ",;\t"
_SEP = re.compile(r'"?sep=(.)"?[ ,;\t]*', re.I)
"""First line in which Excel gives the separator."""


@dataclass(frozen=True)
class Cells:
    """number: the line that it ends in, from 1. cells: stripped, é one letter however written."""

    number: int
    cells: list[str]


@dataclass(frozen=True)
class CsvText:
    """head: the line of columns as it stands in the file, names: its cells; columns: these in lower
    case. facts: how the file was read, where that had to be guessed."""

    path: Path
    head: str
    names: list[str]
    columns: list[str]
    rows: list[Cells]
    facts: tuple[Fact, ...]


def read_csv(path: Path, *, ragged: bool = False) -> CsvText:
    """The rows below the line of columns; empty rows, and empty cells behind a row, are left out.

    ragged: rows may have more or fewer cells than there are columns. Raises DataError, naming the
    file and the line.
    """
    text, facts = _decode(path)
    first, _, rest = text.partition("\n") if "\n" in text else text.partition("\r")
    told = _SEP.fullmatch(first.strip("\r"))
    skipped = 1 if told else 0
    body = rest if told else text
    head = next((line for line in re.split(r"[\r\n]", body) if line.strip()), "")
    separator = told[1] if told else max(SEPARATORS, key=head.count)
    rows = list(_rows(path, body, separator, skipped))
    names = _trimmed(rows[0].cells) if rows else []
    columns = [name.lower() for name in names]
    found = [
        Cells(row.number, _trimmed(row.cells, 0 if ragged else len(columns))) for row in rows[1:]
    ]
    for row in found:
        if len(row.cells) != len(columns) and not ragged:
            raise DataError(
                f"{path}, line {row.number}: {plural(len(row.cells), 'field')} for "
                f"{plural(len(columns), 'column')}; put values that contain a comma in quotes"
            )
    return CsvText(path, head.strip(), names, columns, found, facts)


def _trimmed(cells: list[str], least: int = 0) -> list[str]:
    """Without the empty cells at the end that spreadsheets add, but so many at least."""
    count = len(cells)
    while count > least and not cells[count - 1]:
        count -= 1
    return cells[:count]


def _decode(path: Path) -> tuple[str, tuple[Fact, ...]]:
    facts: tuple[Fact, ...] = ()
    try:
        raw = path.read_bytes()
        utf16 = raw[:2] in (b"\xff\xfe", b"\xfe\xff")
        try:
            text = raw.decode("utf-16" if utf16 else "utf-8-sig")
        except UnicodeDecodeError:
            if utf16 or b"\0" in raw:
                raise
            text = raw.decode("cp1252")
            facts = (
                Fact(
                    "CSV",
                    f"{path.name} is not UTF-8 and was read as Windows-1252 (Latin-1); save it "
                    "as UTF-8 if letters are wrong",
                    warning=True,
                ),
            )
    except OSError as error:
        raise DataError(f"{path} cannot be read: {describe(error)}") from None
    except UnicodeDecodeError:
        raise DataError(f"{path} is not a text file: save the table as CSV, in UTF-8") from None
    if "\0" in text:
        raise DataError(
            f"{path} holds zero bytes, so it is not a text file: save it as CSV, in UTF-8"
        )
    return unicodedata.normalize("NFC", text), facts


def _rows(path: Path, text: str, separator: str, skipped: int) -> Iterator[Cells]:
    lines = io.StringIO(text, newline="")
    rows = csv.reader(lines, delimiter=separator, skipinitialspace=True, strict=True)
    begun = 0
    try:
        for row in rows:
            begun = rows.line_num
            cells = [cell.strip() for cell in row]
            if any(cells):
                yield Cells(rows.line_num + skipped, cells)
    except csv.Error as error:
        why = "a quote is not closed" if "end of data" in str(error) else str(error)
        raise DataError(
            f"{path}, line {begun + 1 + skipped}: {why}; double any quote within quotes"
        ) from None
