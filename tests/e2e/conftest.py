"""What the tests of commands share: runs that are trained once, and that tests only read."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from energan.experiment import run_records
from energan.report.sweep import page
from support.commands import SMALL, run


def contents(folder: Path) -> dict[str, tuple[int, int]]:
    """Of each file its size and when it was changed."""
    return {
        str(path.relative_to(folder)): (path.stat().st_size, path.stat().st_mtime_ns)
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.fixture(scope="session")
def small_run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An EBGAN of 30 steps on the digits, to be read alone; `own_run` is a copy to write into."""
    out = tmp_path_factory.mktemp("runs") / "small"
    assert run("train", "ebgan-digits", "--steps", "30", "--out", out, *SMALL) == 0
    before = contents(out)
    yield out
    assert contents(out) == before, "a test wrote into the run that all tests share"


@pytest.fixture(scope="module")
def own_run(small_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of `small_run` for the tests of one file, which may write into it."""
    return Path(shutil.copytree(small_run, tmp_path_factory.mktemp("runs") / "own"))


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sweep's page and its trials' curves are not drawn, which takes as long as the trials."""
    monkeypatch.setattr(page, "write", lambda folders: folders[0] / "report.html")
    monkeypatch.setattr(run_records, "draw", lambda folder, loop: None)
