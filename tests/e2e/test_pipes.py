"""Commands whose output goes to a reader that leaves, to a closed stream, or to a full disk."""

import csv
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from support.commands import SMALL

ENERGAN = f"{shlex.quote(sys.executable)} -m energan"


def shell(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """What a shell makes of it; `set -o pipefail` lets the exit code of the command through."""
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", command.replace("energan", ENERGAN, 1)],
        cwd=folder, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def rows(path: Path) -> int:
    with path.open() as file:
        return len(list(csv.DictReader(file)))


@pytest.mark.parametrize(
    ("end", "lines"), [("2>&1 | head -1", 1), (">&- 2>&-", 0), ("2>/dev/full", 3)]
)
def test_training_goes_on_and_keeps_its_checkpoints(end: str, lines: int, tmp_path: Path) -> None:
    options = shlex.join(SMALL)
    done = shell(f"energan train ebgan-digits --steps 30 --out run {options} {end}", tmp_path)
    assert done.returncode == 0
    assert done.stdout.count("\n") == lines
    assert sorted(p.name for p in (tmp_path / "run/checkpoints").iterdir())[-1] == "step-000030"
    assert '"event": "finished"' in (tmp_path / "run/events.jsonl").read_text().splitlines()[-1]


@pytest.mark.parametrize("end", ["| head -1", ">&- 2>&-"])
def test_a_table_is_written_without_a_reader(end: str, small_run: Path, tmp_path: Path) -> None:
    shutil.copytree(small_run, tmp_path / "run")
    done = shell(f"energan score run digits --out found.csv {end}", tmp_path)
    assert done.returncode == 0
    assert "Traceback" not in done.stderr
    assert rows(tmp_path / "found.csv") == 180


def test_samples_are_written_without_a_reader(small_run: Path, tmp_path: Path) -> None:
    done = shell(f"energan sample {small_run} -n 4 --out x.npz | true", tmp_path)
    assert done.returncode == 0
    assert (tmp_path / "x.npz").is_file()


def test_a_full_disk_is_told_after_the_work(small_run: Path, tmp_path: Path) -> None:
    """What is printed is lost, and the exit code says so; the file is written."""
    done = shell(f"energan sample {small_run} -n 4 --out x.npz > /dev/full", tmp_path)
    assert done.returncode == 2
    assert done.stderr == "energan: what it prints cannot be written: No space left on device\n"
    assert (tmp_path / "x.npz").is_file()


def test_what_an_encoding_lacks_ends_no_command(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "energan", "arithmetic", "--help"],
        env={**os.environ, "PYTHONIOENCODING": "latin-1"},
        capture_output=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0
    assert b"a \\u2212 b + c" in done.stdout
