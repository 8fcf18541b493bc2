"""Trainings that the studio starts, stops and resumes, as processes of their own; and what becomes
of the labels that it saves."""

import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from energan.cli.main import main as energan
from energan.data.sources.folders.label_csv import save_labelled
from energan.errors import RunError
from energan.studio.training import Training, log_of, resume, train
from energan.studio.workspace import Workspace

SMALL = (
    "--model.generator", "8", "--model.encoder", "8", "--model.latent", "4", "--model.margin", "2",
    "--training.batch-size", "16", "--threads", "1", "--output.log-every", "10",
    "--output.no-tensorboard",
)  # fmt: skip


def wait_for(workspace: Workspace, name: str, state: str, step: int = 0) -> int:
    """The run's step once it is in that state, and at least at `step`; fails after two minutes."""
    seen = ""
    for _ in range(1200):
        try:
            seen = workspace.run(name).state()
            reached = max(event["step"] for event in workspace.run(name).read())
        except (RunError, ValueError):  # the folder, or its first event, is not there yet
            reached = -1
        if seen == state and reached >= step:
            return int(reached)
        time.sleep(0.1)
    pytest.fail(f"{name} is {seen!r}, not {state}: {log_of(workspace, name)}")


@pytest.mark.slow
def test_a_training_is_started_stopped_and_resumed(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    words = ("--steps", "1000000", *SMALL)
    train(workspace, Training("ebgan-digits", "digits", "live", words))
    wait_for(workspace, "live", "running", 10)
    workspace.run("live").stop()
    first = wait_for(workspace, "live", "stopped")
    assert f"stopped at step {first}" in log_of(workspace, "live")
    resume(workspace, "live")
    wait_for(workspace, "live", "running", first + 10)
    with pytest.raises(RunError, match="live is running"):
        resume(workspace, "live")
    workspace.run("live").stop()
    assert wait_for(workspace, "live", "stopped") > first


def test_saved_labels_serve_score_and_few_labels(
    own_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    draws = np.random.default_rng(0)
    names = []
    for i in range(8):
        names.append(tmp_path / f"{i}.png")
        Image.fromarray(draws.integers(256, size=(8, 8), dtype=np.uint8)).save(names[-1])
    folder = tmp_path / "labelled"
    labels = ["normal", "anomalous"] * 3
    save_labelled(folder, names, [*labels, None, None])
    where = [str(folder), "--labels", "labels.csv"]
    assert energan(["score", str(own_run), *where, "--anomaly", "anomalous"]) == 0
    assert "AUROC" in capsys.readouterr().out
    run = tmp_path / "few"
    data = ["--data", str(folder), "--data.labels", "labels.csv", "--data.held-out", "2"]
    small = ["--steps", "2", "--model.labelled", "2", "--training.batch-size", "2"]
    assert energan(["train", "few-labels", *data, *small, "--out", str(run)]) == 0
    assert run.is_dir()
