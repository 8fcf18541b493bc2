"""MLflow and Weights & Biases, read back from their own local stores."""

import json
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import energan
from energan.core import SettingError
from energan.experiment.resume import resume

SMALL: dict[str, Any] = {
    "model": {"generator": [16], "encoder": [16], "latent": 4},
    "engine": {"threads": 1},
    "progress": False,
}
OUTPUT = {"log_every": 5, "sample_every": 10, "checkpoint_every": 10, "tensorboard": False}


def figures_of(run: energan.Run) -> dict[int, float]:
    return {event["step"]: event["loss_energy"] for event in run.events("step")}


@pytest.mark.filterwarnings("ignore")  # of MLflow's own
def test_mlflow_has_the_settings_the_figures_and_the_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mlflow = pytest.importorskip("mlflow", reason="mlflow-skinny is not installed")
    pytest.importorskip("sqlalchemy", reason="MLflow's local store needs sqlalchemy")
    monkeypatch.chdir(tmp_path)  # where MLflow keeps pictures
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    run = energan.train(
        "ebgan-digits", steps=20, out="run", output={**OUTPUT, "mlflow": True}, **SMALL
    )
    client = mlflow.MlflowClient()
    experiment = client.get_experiment_by_name("energan")
    (kept,) = client.search_runs([experiment.experiment_id])
    assert kept.info.run_name == "run"
    assert kept.info.status == "FINISHED"
    assert kept.data.params["training.steps"] == "20"
    assert kept.data.params["model.latent"] == "4"
    logged = client.get_metric_history(kept.info.run_id, "loss_energy")
    known = figures_of(run)
    assert {m.step for m in logged} == set(known)
    assert all(m.value == pytest.approx(known[m.step], rel=1e-5) for m in logged)
    assert "sliced_wasserstein" in kept.data.metrics
    pictures = [file.path for file in client.list_artifacts(kept.info.run_id, "images")]
    assert any("samples" in path for path in pictures)
    # a resumed run goes on in the same place
    resume([run.path], steps=25, progress=False)
    (kept,) = client.search_runs([experiment.experiment_id])
    assert max(m.step for m in client.get_metric_history(kept.info.run_id, "loss_energy")) == 25
    assert kept.info.status == "FINISHED"


BLOCK, HEADER = 32_768, 7


def records(path: Path) -> Iterator[Any]:
    """The records of a .wandb file: LevelDB's log of protobufs, after a header of seven bytes."""
    proto = pytest.importorskip("wandb.proto.wandb_internal_pb2")
    raw, at, whole = path.read_bytes(), HEADER, b""
    while at + HEADER <= len(raw):
        if BLOCK - at % BLOCK < HEADER:  # the end of a block is padding
            at += BLOCK - at % BLOCK
            continue
        _, length, kind = struct.unpack_from("<IHB", raw, at)
        whole += raw[at + HEADER : at + HEADER + length]
        at += HEADER + length
        if kind in (1, 4):  # full, or last
            record = proto.Record()
            record.ParseFromString(whole)
            whole = b""
            yield record


@pytest.mark.filterwarnings("ignore")  # of W&B's own
def test_wandb_has_the_settings_the_figures_and_the_pictures_offline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("wandb", reason="wandb is not installed")
    for name in ("WANDB_MODE", "WANDB_PROJECT"):
        monkeypatch.delenv(name, raising=False)
    run = energan.train(
        "ebgan-digits", steps=20, out=tmp_path / "run", output={**OUTPUT, "wandb": True}, **SMALL
    )
    (file,) = (run.path / "wandb").glob("offline-run-*/*.wandb")
    assert json.loads((run.path / "trackers.json").read_text())["wandb"] in file.name
    found = list(records(file))
    (begun, *_) = [r.run for r in found if r.WhichOneof("record_type") == "run"]
    assert (begun.project, begun.display_name) == ("energan", "run")
    settings = {u.key: json.loads(u.value_json) for u in begun.config.update}
    assert settings["training"]["steps"] == 20
    rows = [
        {(i.key or ".".join(i.nested_key)): json.loads(i.value_json) for i in r.history.item}
        for r in found
        if r.WhichOneof("record_type") == "history"
    ]
    losses = {row["step"]: row["loss_energy"] for row in rows if "loss_energy" in row}
    known = figures_of(run)
    assert losses.keys() == known.keys()
    assert all(losses[step] == pytest.approx(known[step], rel=1e-5) for step in known)
    assert any("sliced_wasserstein" in row for row in rows)
    assert any("samples" in row or "samples._type" in row for row in rows)
    assert list((run.path / "wandb").glob("offline-run-*/files/media/images/samples*.png"))


@pytest.mark.parametrize("name", ["mlflow", "wandb"])
def test_a_tracker_that_is_not_installed_is_told_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(SettingError, match=rf"pip install 'energan\[{name}\]'"):
        energan.train("ebgan-digits", steps=2, out=tmp_path / "run", output={name: True}, **SMALL)
    assert not (tmp_path / "run").exists()
