"""`energan train inspect-features` as a user types it, and what its runs are good for."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from PIL import Image

import energan
from energan.cli.outcome import report_run
from energan.experiment.resume import resume
from energan.io.run_folder import RunFolder
from support.commands import refused, run
from support.feature_networks import tiny_onnx
from support.helpers import weight_files

pytestmark = pytest.mark.usefixtures("onnx_operators_listed_once")

RECIPES = ["inspect-features", "inspect-features-gaussian", "inspect-features-contrast"]
WORDS = [
    "--model.mean", "0.5", "--model.std", "0.25", "--model.memory", "64", "--data.size", "16",
    "--threads", "1", "--data.held-out", "20", "--output.no-tensorboard",
]  # fmt: skip


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Stripes with little noise; the defective ones have a bright square."""
    root, draw = tmp_path_factory.mktemp("data") / "parts", np.random.default_rng(0)
    for name, count in {"train/good": 50, "test/good": 20, "test/spot": 20}.items():
        (root / name).mkdir(parents=True)
        for i in range(count):
            image = 90 + 60 * np.sin(np.arange(16) / 2)[None] + draw.normal(0, 4, (16, 16))
            if "spot" in name:
                image[5:9, 6:10] += 70
            Image.fromarray(image.clip(0, 255).astype(np.uint8)).save(root / name / f"{i}.png")
    return root


@pytest.fixture(scope="module", params=RECIPES)
def trained(
    request: pytest.FixtureRequest, parts: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    out = tmp_path_factory.mktemp("runs") / request.param
    words = ["train", request.param, "--data", parts, "--model.features", tiny_onnx(), *WORDS]
    assert run(*words, "--out", out) == 0
    return out


def test_the_epochs_of_a_recipe_set_the_steps(
    trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = RunFolder(trained)
    assert report_run(folder) == 0
    assert f"energan score {trained} IMAGES" in capsys.readouterr().out
    epochs = 40 if "contrast" in trained.name else 1
    training = folder.read_config()["settings"]["training"]
    assert training["steps"] == -(-30 * epochs // 8)  # 50 images, 20 of them held out
    assert folder.read("finished")[-1]["step"] == training["steps"]
    assert "6 of" in folder.read_config()["resolved"]["chosen"]["features"]


def test_defects_are_found_and_stand_in_the_map(trained: Path, parts: Path, tmp_path: Path) -> None:
    own = Path(shutil.copytree(trained, tmp_path / "run"))
    table = tmp_path / "scores.csv"
    words = ["score", own, parts, "--fpr", "0.1", "--out", table, "--heatmaps", tmp_path / "maps"]
    assert run(*words, "--limit-heatmaps", "4") == 0
    with table.open() as file:
        rows = list(csv.DictReader(file))
    found = {
        kind: [float(r["energy"]) for r in rows if r["label"] == kind] for kind in ("good", "spot")
    }
    pairs = [spot > good for spot in found["spot"] for good in found["good"]]
    assert sum(pairs) / len(pairs) > (0.9 if "contrast" in trained.name else 0.99)
    assert len(list((tmp_path / "maps").iterdir())) == 4
    images = sorted((parts / "test" / "spot").iterdir())[:5]
    maps = energan.load(own).heatmap(images)
    for one in maps:
        row, column = divmod(int(one.argmax()), one.shape[1])
        assert 4 <= row <= 10
        assert 5 <= column <= 11


def test_the_onnx_file_gives_the_energies(trained: Path, tmp_path: Path) -> None:
    assert run("export", trained, "--format", "onnx", "--out", tmp_path) == 0
    session = onnxruntime.InferenceSession(str(tmp_path / "energy.onnx"))
    x = torch.rand(7, 1, 16, 16) * 2 - 1
    found = session.run(["energy"], {"x": x.numpy()})[0]
    np.testing.assert_allclose(found, energan.load(trained).energy(x), rtol=1e-4, atol=1e-5)
    assert str(tiny_onnx().parent) not in (tmp_path / "export.json").read_text()


def test_a_run_that_was_stopped_goes_on_to_the_same_weights(
    trained: Path, parts: Path, tmp_path: Path
) -> None:
    steps = RunFolder(trained).read("finished")[-1]["step"]
    recipe, out = trained.name, tmp_path / "run"
    words = ["train", recipe, "--data", parts, "--model.features", tiny_onnx(), *WORDS]
    assert run(*words, "--training.steps", "2", "--out", out) == 0
    resume([out], steps=steps, progress=False)
    assert weight_files(out, steps)[0] == weight_files(trained, steps)[0]


def test_mistakes_are_told_in_a_sentence(
    trained: Path, parts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = refused(capsys, "train", trained.name, "--data", parts, "--out", tmp_path / "a")
    assert "model.features is not set" in said
    own = Path(shutil.copytree(trained, tmp_path / "run"))
    config = json.loads((own / "config.json").read_text())
    moved, model = tmp_path / "net.onnx", onnx.load(tiny_onnx())
    model.producer_name = "another"
    onnx.save(model, moved)
    config["settings"]["model"]["features"] = str(moved)
    (own / "config.json").write_text(json.dumps(config))
    said = refused(capsys, "score", own, parts)
    assert "net.onnx has changed since the run was trained" in said
    moved.unlink()
    assert "no such file or run" in refused(capsys, "score", own, parts)
