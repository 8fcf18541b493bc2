"""Files written in one step, locks, checksums."""

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

from energan.io.files import aside, locked, sha256_of, write_atomically, write_csv


def test_a_file_is_replaced_in_one_step_and_an_error_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "a" / "x.png"
    write_atomically(path, "old")

    def torn() -> None:
        with aside(path) as made:
            assert made.suffix == ".png"
            made.write_text("half")
            assert path.read_text() == "old"
            raise OSError("no space left")

    with pytest.raises(OSError, match="no space"):
        torn()
    assert path.read_text() == "old"
    assert [p.name for p in path.parent.iterdir()] == ["x.png"]


def test_a_lock_is_held_by_one_process_and_dies_with_it(tmp_path: Path) -> None:
    path = tmp_path / ".lock"
    code = (
        "import sys, time; from pathlib import Path; from energan.io.files import locked\n"
        "with locked(Path(sys.argv[1])): print('held', flush=True); time.sleep(60)"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with locked(path, wait=0) as held:
            assert not held
    finally:
        other.kill()
        other.communicate()
    with locked(path, wait=10) as held:
        assert held


def test_the_checksum_is_of_the_contents(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"abc")
    assert sha256_of(tmp_path / "x") == hashlib.sha256(b"abc").hexdigest()


def test_a_table_has_its_columns_in_order_and_quotes_what_needs_it(tmp_path: Path) -> None:
    path = tmp_path / "new" / "table.csv"
    write_csv(path, ["file", "share"], [{"share": 0.5, "file": "a, b.png"}])
    assert path.read_bytes() == b'file,share\n"a, b.png",0.5\n'


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for target in (tmp_path / "file" / "x.png", tmp_path / ("x" * 300)):
        with pytest.raises(OSError, match=r"cannot be written \(.*\)") as raised:
            write_atomically(target, "text")
        assert raised.value.filename == str(target)
