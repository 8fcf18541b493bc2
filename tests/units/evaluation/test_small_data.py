"""Data too small to be scored by most metrics."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import energan
from energan.core import SettingError
from energan.evaluation.evaluate import evaluate
from energan.inference.run import Run


@pytest.mark.parametrize("count", [1, 2])
def test_a_run_on_one_image_is_scored_by_what_applies(tmp_path: Path, count: int) -> None:
    """Also two that are the same: neither has a variance."""
    (tmp_path / "images").mkdir()
    pixels = np.random.default_rng(0).integers(0, 255, (8, 8), dtype=np.uint8)
    for i in range(count):
        Image.fromarray(pixels).save(tmp_path / "images" / f"{i}.png")
    energan.train(
        "ebgan-digits", steps=1, out=tmp_path / "r", progress=False, engine={"threads": 1},
        data={"source": str(tmp_path / "images"), "held_out": 0},
        output={"tensorboard": False, "sample_every": 0},
    )  # fmt: skip
    run = Run(tmp_path / "r")
    found = evaluate(run, samples=10, resamples=5)
    assert "sliced_wasserstein" in {r.name for r in found.results}
    why = "at least two samples" if count == 1 else "examples that differ"
    assert why in found.left_out["variance_ratio"]
    with pytest.raises(SettingError, match="variance_ratio does not apply: it needs"):
        evaluate(run, metrics=["variance_ratio"], samples=10)
