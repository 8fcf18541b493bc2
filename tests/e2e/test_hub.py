"""`energan push` and `energan.load("hub:OWNER/NAME")`, on a local folder of the hub's form."""

import json
import shutil
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import torch
from huggingface_hub import ModelCard, constants
from huggingface_hub.errors import LocalEntryNotFoundError

import energan
from energan.core import DataError
from energan.report.hub import write_hub_folder
from support.commands import refused, run

NAME = "someone/digits"


@pytest.fixture(scope="module")
def scored(own_run: Path) -> Path:
    energan.evaluate(own_run, metrics=["sliced_wasserstein"], samples=40, resamples=10, seed=3)
    return own_run


@pytest.fixture
def pushed(scored: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "made"
    assert run("push", scored, NAME, "--folder", folder, "--license", "apache-2.0") == 0
    return folder


def hub_cache(folder: Path, cache: Path) -> None:
    """The folder as the hub's client keeps a repository that it downloaded."""
    home = cache / f"models--{NAME.replace('/', '--')}"
    revision = "0" * 40
    shutil.copytree(folder, home / "snapshots" / revision)
    (home / "refs").mkdir()
    (home / "refs" / "main").write_text(revision)


@pytest.fixture
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    cache = tmp_path / "cache"
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    whole = huggingface_hub.snapshot_download

    def download(name: str, **asked: Any) -> Any:
        return whole(name, cache_dir=cache, local_files_only=True, **asked)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    return cache


def test_a_run_from_the_hub_is_the_run(pushed: Path, scored: Path, offline: Path) -> None:
    hub_cache(pushed, offline)
    found, own = energan.load(f"hub:{NAME}"), energan.load(scored)
    assert torch.equal(found.sample(5, seed=1), own.sample(5, seed=1))
    x = own.sample(4)
    assert torch.equal(found.energy(x), own.energy(x))
    assert found.history().equals(own.history())
    with pytest.raises(DataError, match="cannot be downloaded"):
        energan.load("hub:someone/else")


def test_the_folder_holds_nothing_that_could_run_and_no_path_of_the_users(
    pushed: Path, scored: Path
) -> None:
    files = {str(path.relative_to(pushed)) for path in pushed.rglob("*") if path.is_file()}
    assert {Path(name).suffix for name in files} <= {
        ".json",
        ".jsonl",
        ".safetensors",
        ".md",
        ".png",
    }
    assert "checkpoints/step-000030/weights.safetensors" in files
    assert "samples.png" in files
    text = "".join((pushed / name).read_text() for name in files if name.endswith(("json", "md")))
    assert str(scored.parent) not in text


def test_paths_of_data_and_of_first_weights_are_cut_down(small_run: Path, tmp_path: Path) -> None:
    path = shutil.copytree(small_run, tmp_path / "run")
    config = json.loads((path / "config.json").read_text())
    config["settings"]["data"]["source"] = "/home/someone/photos"
    config["asked"]["data"] = {"source": "/home/someone/photos", "labels": "labels.csv"}
    first = {"path": "/home/someone/runs/first", "step": 3, "sha256": "0" * 64}
    config["resolved"]["from"] = first
    (path / "config.json").write_text(json.dumps(config))
    source = {"source": "/home/someone/test", "split": "test"}
    entry = {
        "weights_sha256": energan.load(path).network.sha256,
        "metrics": [],
        "reference": source,
    }
    (path / "metrics.json").write_text(json.dumps({"format": 2, "evaluations": [entry]}))
    write_hub_folder(energan.load(path), tmp_path / "made", NAME)
    scores = json.loads((tmp_path / "made" / "metrics.json").read_text())
    assert scores["evaluations"][0]["reference"]["source"] == "test"
    kept = json.loads((tmp_path / "made" / "config.json").read_text())
    assert kept["settings"]["data"]["source"] == "photos"
    assert kept["asked"]["data"] == {"source": "photos", "labels": "labels.csv"}
    assert kept["resolved"]["from"]["path"] == "first"
    assert "someone/photos" not in (tmp_path / "made" / "README.md").read_text()


def test_the_card_has_settings_and_scores_with_what_they_were_made_with(pushed: Path) -> None:
    card = ModelCard.load(pushed / "README.md")
    assert card.data.library_name == "energan"
    assert card.data.license == "apache-2.0"
    assert card.data.pipeline_tag == "unconditional-image-generation"
    (result,) = [r for r in card.data.eval_results if r.metric_type == "sliced_wasserstein"]
    stored = json.loads((pushed / "metrics.json").read_text())["evaluations"][0]["metrics"][0]
    assert result.metric_value == stored["value"]
    assert "40 samples, seed 3" in card.text
    assert f'energan.load("hub:{NAME}")' in card.text
    assert '"steps": 30' in card.text
    assert "![samples](samples.png)" in card.text


def test_a_card_without_scores_says_so(small_run: Path, tmp_path: Path) -> None:
    write_hub_folder(energan.load(small_run), tmp_path / "made", NAME)
    text = (tmp_path / "made" / "README.md").read_text()
    assert "was not evaluated" in text
    assert "eval_results" not in text


class Hub:
    """What `push` asks of the hub's client."""

    def __init__(self) -> None:
        self.asked: list[Any] = []

    def __call__(self, library_name: str) -> "Hub":
        return self

    def create_repo(self, name: str, **asked: Any) -> str:
        self.asked.append((name, asked))
        return f"hub/{name}"

    def upload_folder(self, repo_id: str, folder_path: str, commit_message: str) -> None:
        self.asked.append((repo_id, sorted(p.name for p in Path(folder_path).iterdir())))


def test_push_makes_the_repository_and_uploads_the_folder(
    small_run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    hub = Hub()
    monkeypatch.setattr(huggingface_hub, "HfApi", hub)
    assert run("push", small_run, NAME, "--private") == 0
    made, (repo, files) = hub.asked
    assert made == (NAME, {"private": True, "exist_ok": True})
    assert repo == NAME
    assert {"README.md", "config.json", "checkpoints"} <= set(files)
    assert f"hub/{NAME}" in capsys.readouterr().out


def test_what_cannot_be_pushed_is_told(
    small_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    assert "write OWNER/NAME" in refused(capsys, "push", small_run, "digits")
    (tmp_path / "file").write_text("")
    assert "name a new folder" in refused(capsys, "push", small_run, NAME, "--folder", tmp_path)

    class Refusing(Hub):
        def create_repo(self, name: str, **asked: Any) -> str:
            raise LocalEntryNotFoundError("no network")

    monkeypatch.setattr(huggingface_hub, "HfApi", Refusing())
    said = refused(capsys, "push", small_run, NAME)
    assert "the hub refused it (no network)" in said
    assert "hf auth login" in said
