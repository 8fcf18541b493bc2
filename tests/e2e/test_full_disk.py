"""A disk that is full in mid-write: a sentence and exit code 2, and no torn file."""

import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import energan
from energan.cli.main import main

ROOM = 600
"""Bytes of a file after which a write fails, as on a full disk; nothing below is smaller."""


@contextmanager
def full_disk() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    kept, sys.dont_write_bytecode = sys.dont_write_bytecode, True  # it would be torn, and stay
    resource.setrlimit(resource.RLIMIT_FSIZE, (ROOM, hard))  # Python ignores the signal
    try:
        yield
    finally:
        sys.dont_write_bytecode = kept
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of images and one of points; the classifier of digits is trained once."""
    folder = tmp_path_factory.mktemp("runs")
    quiet = {"log_every": 5, "sample_every": 0, "checkpoint_every": 5, "tensorboard": False}
    for recipe, name in (("ebgan-digits", "digits"), ("ebgan-ring", "ring")):
        energan.train(
            recipe, steps=10, out=folder / name, engine={"threads": 1}, output=quiet,
            progress=False,
        )  # fmt: skip
    return folder


def files(folder: Path) -> dict[Path, bytes]:
    return {p: p.read_bytes() for p in folder.rglob("*") if p.is_file() and p.name != ".lock"}


WRITERS = {
    "a grid": ["sample", "RUN", "--out", "OUT/grid.png"],
    "an array": ["sample", "RUN", "--out", "OUT/x.npz"],
    "points": ["sample", "RING", "--out", "OUT/points.png"],
    "chains": ["sample", "RING", "--chains", "8", "--steps", "3", "--out", "OUT/c.npz"],
    "a way": ["interpolate", "RUN", "--out", "OUT/i.png"],
    "neighbours": ["neighbours", "RUN", "--out", "OUT/n.npz"],
    "a landscape": ["landscape", "RING", "--out", "OUT/l.png"],
    "an animation": ["landscape", "RING", "--animate", "--out", "OUT/l.gif"],
    "a figure": ["figures", "samples", "RUN", "--out", "OUT/f.pdf"],
    "a page": ["report", "RUN", "--no-data", "--out", "OUT/page.html"],
    "safetensors": ["export", "RUN", "--format", "safetensors", "--out", "OUT/e"],
    "TorchScript": ["export", "RUN", "--format", "torch", "--out", "OUT/e"],
    "metrics": ["evaluate", "RING", "--metrics", "frechet_distance", "--samples", "50"],
    "a calibration": ["score", "RUN", "digits", "--calibrate", "digits", "--fpr", "0.1"],
    "data": ["data", "show", "digits", "--out", "OUT/d.png"],
    "a run": ["train", "ebgan-digits", "--steps", "2", "--threads", "1", "--out", "OUT/run"],
}


@pytest.mark.parametrize("words", WRITERS.values(), ids=WRITERS)
def test_nothing_torn_is_left(
    runs: Path, tmp_path: Path, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    names = {"RUN": str(runs / "digits"), "RING": str(runs / "ring")}
    own = [names.get(word, word.replace("OUT", str(tmp_path))) for word in words]
    before = files(runs)
    with full_disk():
        code = main(own)
    told = capsys.readouterr().err.strip()
    assert code == 2, told
    assert "File too large" in told or "free some space" in told
    left = {p for p in files(tmp_path) if p.suffix not in (".jsonl", ".txt")}
    assert left <= {tmp_path / "run" / "config.json"}
    assert files(runs) == before
    assert main(own) == 0, capsys.readouterr().err  # it is the disk that was at fault
