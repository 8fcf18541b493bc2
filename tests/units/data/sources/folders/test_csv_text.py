"""CSVs as Excel and others save them are read, or refused with the line."""

import unicodedata
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from energan.core import DataError
from energan.data.sources.folders.csv_text import read_csv

ROWS = [["a.png", "cat"], ["ü 1.png", "Bär"], ["c.png", "dog; or, not"]]
PLAIN = 'file;label\na.png;cat\nü 1.png;Bär\nc.png;"dog; or, not"\n'


def read(path: Path, content: bytes) -> list[list[str]]:
    path.write_bytes(content)
    found = read_csv(path)
    assert found.columns == ["file", "label"]
    return [row.cells for row in found.rows]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
@pytest.mark.parametrize("first", ["", "sep=;\n", '"sep=;"\n', "SEP=;;;\n", "\n\n"])
@pytest.mark.parametrize("behind", ["", ";;;", ";"])
def test_what_excel_writes(
    tmp_path: Path, end: str, encoding: str, first: str, behind: str
) -> None:
    lines = first + PLAIN.replace("\n", behind + "\n")
    assert read(tmp_path / "l.csv", lines.replace("\n", end).encode(encoding)) == ROWS


def test_a_separator_that_the_first_line_tells_goes_before_the_likeliest(tmp_path: Path) -> None:
    text = b"sep=|\nfile|label\na,b,c.png|cat\n"
    assert read(tmp_path / "l.csv", text) == [["a,b,c.png", "cat"]]
    assert read_csv(tmp_path / "l.csv").rows[0].number == 3


def test_another_encoding_is_told(tmp_path: Path) -> None:
    path = tmp_path / "l.csv"
    path.write_bytes(PLAIN.encode("cp1252"))
    (fact,) = read_csv(path).facts
    assert fact.warning
    assert "not UTF-8 and was read as Windows-1252" in fact.text
    path.write_bytes(PLAIN.encode("utf-16"))
    assert read_csv(path).facts == ()


def test_letters_are_the_same_however_they_are_written(tmp_path: Path) -> None:
    text = unicodedata.normalize("NFD", PLAIN)
    assert text != PLAIN
    assert read(tmp_path / "l.csv", text.encode()) == ROWS


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("file,label\na.png,cat\nb.png,cat,dog\n", "line 3: 3 fields for 2 columns"),
        ("sep=,\nfile,label\na.png\n", "line 3: 1 field for 2 columns"),
        ('file,label\n\na.png,"cat\nb.png,dog\n', "line 3: a quote is not closed"),
        ('file,label\ra.png,cat\rb.png,"do"g\r', "line 3: ',' expected after '\"'"),
        ("file,label\na.png,\0\n", "zero bytes"),
        ("file,label\na.png," + "x" * 200_000, "line 2: field larger"),
    ],
)
def test_what_cannot_be_read_is_told_with_its_line(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "l.csv").write_text(text, newline="")
    with pytest.raises(DataError, match=said) as raised:
        read_csv(tmp_path / "l.csv")
    assert "l.csv" in str(raised.value)


@pytest.mark.parametrize("content", [b"\xff\xfea", b"file\xff,\0", b"\x81\x8d"])
def test_what_is_no_text_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "l.csv").write_bytes(content)
    with pytest.raises(DataError, match=r"not a text file: save .* as CSV, in UTF-8$"):
        read_csv(tmp_path / "l.csv")


def test_ragged_rows_keep_their_cells(tmp_path: Path) -> None:
    (tmp_path / "l.csv").write_text("file,tag,tag\na.png,sea,sky,sun\nb.png\nc.png,sea,,\n")
    found = read_csv(tmp_path / "l.csv", ragged=True)
    assert [row.cells for row in found.rows] == [
        ["a.png", "sea", "sky", "sun"], ["b.png"], ["c.png", "sea"],
    ]  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=80) | st.text(max_size=60).map(str.encode), st.booleans())
def test_any_bytes_are_rows_or_one_sentence(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, ragged: bool
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.csv"
    path.write_bytes(content)
    try:
        found = read_csv(path, ragged=ragged)
    except DataError:
        return
    assert ragged or all(len(row.cells) == len(found.columns) for row in found.rows)
