"""Documents: what is no document, or does not fit, is one sentence with the file and the field."""

import os
from pathlib import Path
from typing import Annotated

import pytest
from pydantic import Field

from energan.errors import CheckpointError, RunError
from energan.io import documents
from energan.io.documents import Document, read_bytes, read_document, read_json


class Part(Document):
    count: Annotated[int, Field(ge=1, le=10)]


class Whole(Document):
    name: str
    part: Part


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_a_document_is_read_with_the_keys_that_it_does_not_name(tmp_path: Path) -> None:
    path = write(tmp_path / "a.json", '{"name": "ä", "part": {"count": 3, "new": [1]}, "x": null}')
    whole = read_document(path, Whole)
    assert (whole.name, whole.part.count) == ("ä", 3)
    assert whole.part.model_extra == {"new": [1]}


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ('{"name": "a"}', "part is missing"),
        ('{"name": 1, "part": {"count": 1}}', r"name: must be text \(given: 1\)"),
        (
            '{"name": "a", "part": {"count": true}}',
            r"part\.count: must be a whole .*\(given: True\)",
        ),
        ('{"name": "a", "part": {"count": "3"}}', r"part\.count: must be a whole number"),
        ('{"name": "a", "part": {"count": 11}}', r"part\.count: must be at most 10"),
        ('{"name": "a", "part": {"count": 1e999}}', r"part\.count"),
        ("[]", "must be "),
    ],
)
def test_what_does_not_fit_is_named(tmp_path: Path, content: str, says: str) -> None:
    path = write(tmp_path / "a.json", content)
    with pytest.raises(CheckpointError, match=rf"a\.json.*{says}.*; mend it") as raised:
        read_document(path, Whole, error=CheckpointError, remedy="mend it")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"\xff\xfe", "expected value"),
        (b"", "EOF"),
        (b'{"a": 1', "EOF"),
        (b"[" * 100_000, "recursion limit"),
        (b'{"a": ' * 300 + b"1" + b"}" * 300, "recursion limit"),
        (b"9" * 10_000, "number out of range"),
        (rb'"\ud800"', "hex escape"),
    ],
)
def test_what_is_no_json_is_refused(tmp_path: Path, content: bytes, says: str) -> None:
    with pytest.raises(RunError, match=rf"a\.json cannot be read \(.*{says}.*; restore it"):
        read_json(write(tmp_path / "a.json", content))


@pytest.mark.timeout(20)
def test_only_regular_files_are_read(tmp_path: Path) -> None:
    """Opening a pipe without a writer would wait for ever."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("/dev/zero")
    for name, says in (
        ("pipe", "not a regular file"),
        ("link", "not a regular file"),
        (".", "Is a directory"),
        ("gone", "No such file"),
        ("a\0b", "null byte"),
    ):
        with pytest.raises(RunError, match=says):
            read_bytes(tmp_path / name)


def test_a_huge_file_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "MOST_BYTES", 2**20)
    path = tmp_path / "a.json"
    with path.open("wb") as file:
        file.truncate(2**20 + 1)
    with pytest.raises(RunError, match=r"a\.json is larger than 1 MiB"):
        read_bytes(path)
