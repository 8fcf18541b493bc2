"""The replay buffer that a run's checkpoint keeps, and the sampler that reads it."""

import json
import shutil
from pathlib import Path

import pytest

import energan
from energan.core import CheckpointError
from energan.inference.run import Run


@pytest.mark.parametrize("buffer", [32, 128])
def test_a_replay_buffer_of_another_size_is_refused(
    runs: dict[str, Run], tmp_path: Path, buffer: int
) -> None:
    shutil.copytree(runs["igebm-ring"].path, tmp_path / "run")
    file = tmp_path / "run" / "config.json"
    config = json.loads(file.read_text())
    config["settings"]["model"]["buffer"] = buffer
    file.write_text(json.dumps(config))
    says = (
        rf"state\.safetensors: chains is float32 \(64, 2\) there and float32 \({buffer}, 2\) here"
    )
    with pytest.raises(CheckpointError, match=says):
        Run(tmp_path / "run")


def test_a_run_of_double_precision_gives_samples(tmp_path: Path) -> None:
    run = energan.train(
        "igebm-ring", steps=2, out=tmp_path / "run", progress=False,
        model={"hidden": [8], "steps": 3, "buffer": 256},
        engine={"precision": "64", "threads": 1}, output={"sample_every": 0},
    )  # fmt: skip
    assert run.sample(5).isfinite().all()
