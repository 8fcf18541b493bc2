"""Commands whose output goes to a reader that leaves, to a closed stream, or to a full disk."""

import csv
import os
import shlex
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from support.commands import SMALL
from support.forks import Process, run_module, start

ENERGAN = f"{shlex.quote(sys.executable)} -m energan"
FULL = Path("/dev/full")
TABLE = ["score", "run", "digits", "--out", "found.csv"]


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def piped(*words: str | Path, to: str, errors: Path | None = None) -> tuple[int, str]:
    """As `energan WORDS | TO` in a shell: the exit code of the first, and what the second prints.

    errors: the file of stderr, which goes to the pipe if none is given.
    """
    reader = subprocess.Popen(
        shlex.split(to), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert reader.stdin is not None
    process = start(words, Path(f"/dev/fd/{reader.stdin.fileno()}"), errors)
    said, _ = reader.communicate()
    return process.wait(120), said


def run_closed(words: list[str]) -> None:
    """As a shell starts it with `>&- 2>&-`."""
    for number in (1, 2):
        os.close(number)
    sys.stdout = sys.__stdout__ = sys.stderr = sys.__stderr__ = None  # type: ignore[assignment, misc]
    run_module(["energan", *words])


def rows(path: Path) -> int:
    with path.open() as file:
        return len(list(csv.DictReader(file)))


@pytest.mark.parametrize("end", ["leaves", "is closed", "is full"])
def test_training_goes_on_and_keeps_its_checkpoints(end: str, tmp_path: Path) -> None:
    words = ["train", "ebgan-digits", "--steps", "30", "--out", "run", *SMALL]
    if end == "leaves":
        code, said = piped(*words, to="head -1")
        assert said.count("\n") == 1
    elif end == "is closed":
        code = Process(partial(run_closed, words)).wait()
    else:
        code = start(words, tmp_path / "said.txt", FULL).wait(120)
        assert (tmp_path / "said.txt").read_text().count("\n") == 3
    assert code == 0
    assert sorted(p.name for p in (tmp_path / "run/checkpoints").iterdir())[-1] == "step-000030"
    assert '"event": "finished"' in (tmp_path / "run/events.jsonl").read_text().splitlines()[-1]


@pytest.fixture
def run_here(small_run: Path) -> None:
    shutil.copytree(small_run, "run")


def test_a_table_is_written_without_a_reader(run_here: None) -> None:
    errors = Path("errors.txt")
    assert piped(*TABLE, to="head -1", errors=errors)[0] == 0
    assert "Traceback" not in errors.read_text()
    assert rows(Path("found.csv")) == 180


def test_a_table_is_written_where_all_is_closed(run_here: None) -> None:
    command = f"{ENERGAN} {shlex.join(TABLE)} >&- 2>&-"
    assert subprocess.run(["bash", "-c", command], timeout=120, check=False).returncode == 0
    assert rows(Path("found.csv")) == 180


def test_samples_are_written_without_a_reader(small_run: Path) -> None:
    words = ["sample", small_run, "-n", "4", "--out", "x.npz"]
    assert piped(*words, to="true", errors=Path("errors.txt"))[0] == 0
    assert Path("x.npz").is_file()


def test_a_full_disk_is_told_after_the_work(small_run: Path) -> None:
    """What is printed is lost, and the exit code says so; the file is written."""
    errors = Path("errors.txt")
    assert start(["sample", small_run, "-n", "4", "--out", "x.npz"], FULL, errors).wait(120) == 2
    told = "energan: output cannot be written: No space left on device\n"
    assert errors.read_text() == told
    assert Path("x.npz").is_file()


def test_what_an_encoding_lacks_ends_no_command(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "energan", "arithmetic", "--help"],
        env={**os.environ, "PYTHONIOENCODING": "latin-1"},
        capture_output=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0
    assert b"a \\u2212 b + c" in done.stdout
