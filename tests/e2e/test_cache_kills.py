"""A cache whose build is killed at any moment ends as one whose build never was."""

import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from energan.cli import main as cli
from support.forks import Process

FILES = ("images.npy", "rows.npy", "index.json")
COUNT, A_PART = 2560, 256  # files of a folder are decoded in parts of 256
posix = pytest.mark.skipif(sys.platform == "win32", reason="fork and signals of POSIX")


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng = np.random.default_rng(0)
    folder = tmp_path_factory.mktemp("photos")
    for i in range(COUNT):
        pixels = rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{i:05d}.png", compress_level=1)
        if i % 300 == 7:
            os.truncate(folder / f"{i:05d}.png", 50)
    return folder


def prepare(photos: Path, cache: Path) -> Process:
    """Start `energan data prepare` with that cache."""

    def command() -> int:
        os.environ["ENERGAN_CACHE"] = str(cache)
        return cli.main(["data", "prepare", str(photos), "--size", "64"])

    return Process(command)


@pytest.fixture(scope="module")
def whole(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What a build holds that nothing stopped."""
    cache = tmp_path_factory.mktemp("whole")
    assert prepare(photos, cache).wait() == 0
    return held(cache)


def held(cache: Path) -> dict[str, bytes]:
    (folder,) = (cache / "decoded").iterdir()
    return {name: (folder / name).read_bytes() for name in FILES}


def finished_parts(cache: Path) -> int:
    """Parts whose images a journal says are written."""
    journals = list((cache / "decoded").glob("*/done.jsonl"))
    return journals[0].read_text().count("\n") if journals else 0


def until(reached: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not reached() and time.monotonic() < end:
        time.sleep(0.001)


@posix
@pytest.mark.slow
def test_fifteen_kills_cost_no_part_that_was_written(
    photos: Path, whole: dict[str, bytes], tmp_path: Path
) -> None:
    cache = tmp_path / "killed"
    assert json.loads(whole["index.json"])["skipped"]
    chance, kills, parts = random.Random(0), 0, 0
    for i in range(15):
        child = prepare(photos, cache)
        # by turns before the first part, after one more, and while the last things are written
        wanted = (0, min(parts + 1, COUNT // A_PART), COUNT // A_PART)[i % 3 if i > 8 else i % 2]
        until(
            lambda wanted=wanted: (
                finished_parts(cache) >= wanted or any(cache.glob("decoded/*/index.json"))
            )
        )
        time.sleep(chance.uniform(0, 0.03))
        child.kill()
        kills += child.wait() == -signal.SIGKILL
        if any(cache.glob("decoded/*/index.json")):
            # it was finished before the kill: whole at once, and then built anew
            assert held(cache) == whole
            next(cache.glob("decoded/*/index.json")).unlink()
            parts = 0
        else:
            assert finished_parts(cache) >= parts  # it went on, and began nothing again
            parts = finished_parts(cache)
    assert kills >= 8
    assert prepare(photos, cache).wait() == 0
    assert held(cache) == whole


@posix
@pytest.mark.slow
def test_the_one_who_waits_goes_on_when_the_builder_is_killed(
    photos: Path, whole: dict[str, bytes], tmp_path: Path
) -> None:
    cache = tmp_path / "shared"
    builder = prepare(photos, cache)
    until(lambda: finished_parts(cache) >= 2)
    waiting = prepare(photos, cache)
    until(lambda: finished_parts(cache) >= 4)
    builder.kill()
    assert builder.wait() == -signal.SIGKILL
    assert waiting.wait() == 0
    assert held(cache) == whole
