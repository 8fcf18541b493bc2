"""Judging a run on what it learnt from is noticed."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from energan.data import DataSettings, open_data
from energan.evaluation.classification import count_trained_on, may_overlap


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    draws = np.random.default_rng(0)
    for split, count in (("train", 40), ("test", 6)):
        for i in range(count):
            path = tmp_path / "data" / split / f"c{i % 2}" / f"{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(draws.integers(256, size=(8, 8), dtype=np.uint8)).save(path)
    return tmp_path / "data"


def test_a_folder_within_or_around_may_overlap(folder: Path) -> None:
    assert may_overlap(f"{folder}/train", str(folder))
    assert may_overlap(str(folder.parent), str(folder))
    assert not may_overlap(f"{folder}-other", str(folder))
    assert not may_overlap("mnist", str(folder))


def test_common_events_are_counted(folder: Path) -> None:
    settings = DataSettings(source=str(folder), held_out=10)
    run = SimpleNamespace(job=SimpleNamespace(settings=SimpleNamespace(data=settings)))
    whole = open_data(DataSettings(source=str(folder / "train"), held_out=0))
    assert len(whole) == 40
    assert count_trained_on(run, whole) == 30  # type: ignore[arg-type]
    assert count_trained_on(run, open_data(settings, "test")) == 0  # type: ignore[arg-type]
