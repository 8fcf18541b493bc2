"""What files hold: told by names and bytes alone, whatever becomes of the memo."""

import os
import sqlite3
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from energan.core import DataError
from energan.data.images import checksums as content
from energan.data.images.checksums import cache_folder, content_of

NAMES = st.text(st.characters(blacklist_characters="\0", blacklist_categories=["Cs"]), max_size=5)
FILES = st.lists(st.tuples(NAMES, st.binary(max_size=3)), max_size=4)


def written(folder: Path, held: list[tuple[str, bytes]]) -> str:
    files = [folder / str(i) for i in range(len(held))]
    for file, (_, raw) in zip(files, held, strict=True):
        file.write_bytes(raw)
    return content_of(files, [name for name, _ in held])


def memo() -> Path:
    return cache_folder() / "checksums.sqlite"


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files that were read, in order."""
    found: list[Path] = []
    sha256 = content._sha256

    def count(file: Path) -> str:
        found.append(file)
        return sha256(file)

    monkeypatch.setattr(content, "_sha256", count)
    return found


@settings(max_examples=60, deadline=None)
@given(FILES, FILES)
def test_two_sets_of_files_tell_the_same_only_if_names_and_bytes_are(
    a: list[tuple[str, bytes]], b: list[tuple[str, bytes]]
) -> None:
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as two:
        told = written(Path(one), a)
        assert (written(Path(two), b) == told) == (a == b)
        assert written(Path(two), a) == told  # elsewhere, and over what was there


def test_an_unchanged_file_is_read_once_and_a_touched_one_again(
    tmp_path: Path, read: list[Path]
) -> None:
    files = [tmp_path / name for name in "abc"]
    for file in files:
        file.write_bytes(file.name.encode())
    before = content_of(files, ["a", "b", "c"])
    assert sorted(read) == files
    read.clear()
    assert content_of(files, ["a", "b", "c"]) == before
    assert not read
    os.utime(files[1], (1, 1))
    assert content_of(files, ["a", "b", "c"]) == before
    assert read == [files[1]]


@pytest.mark.parametrize("damage", ["no database", "torn", "a folder", "of another form"])
def test_a_memo_that_cannot_be_used_costs_time_only(
    tmp_path: Path, damage: str, read: list[Path]
) -> None:
    files = [tmp_path / f"{i:03d}" for i in range(200)]
    for file in files:
        file.write_bytes(file.name.encode())
    names = [file.name for file in files]
    before, raw = content_of(files, names), memo().read_bytes()
    memo().unlink()
    if damage == "no database":
        memo().write_bytes(b"hello" * 1000)
    elif damage == "torn":
        memo().write_bytes(raw[:4096] + bytes(b ^ 255 for b in raw[4096:]))
    elif damage == "a folder":
        memo().mkdir()
    else:
        with sqlite3.connect(memo()) as other:
            other.execute("CREATE TABLE files (something INT)")
        other.close()
    for _ in range(3):
        assert content_of(files, names) == before
    if damage in ("no database", "torn"):  # it was thrown away, and the next one remembers
        read.clear()
        assert content_of(files, names) == before
        assert not read


def test_many_ask_at_once_and_all_is_remembered(tmp_path: Path, read: list[Path]) -> None:
    files = [tmp_path / str(i) for i in range(80)]
    for file in files:
        file.write_bytes(file.name.encode())
    groups = [files[i : i + 20] for i in range(0, 80, 10)]  # each file but the outermost twice
    with ThreadPoolExecutor(8) as pool:
        told = list(pool.map(lambda g: content_of(g, [f.name for f in g]), groups))
    read.clear()
    assert [content_of(g, [f.name for f in g]) for g in groups] == told
    assert not read


def test_a_file_that_is_gone_is_part_of_the_content(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    before = content_of([tmp_path / "link"], ["a"])
    (tmp_path / "nowhere").write_bytes(b"")
    assert content_of([tmp_path / "link"], ["a"]) != before


def test_the_cache_lies_where_the_environment_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setenv("ENERGAN_CACHE", str(tmp_path / "own"))
    assert cache_folder() == tmp_path / "own"
    monkeypatch.delenv("ENERGAN_CACHE")
    assert cache_folder() == tmp_path / "xdg" / "energan"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == tmp_path / "home" / ".cache" / "energan"
    assert cache_folder().is_dir()


def test_a_cache_that_cannot_be_made_names_the_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("ENERGAN_CACHE", str(tmp_path / "file" / "below"))
    with pytest.raises(DataError, match="set ENERGAN_CACHE"):
        cache_folder()
