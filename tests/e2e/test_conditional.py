"""A conditional run as a user works with it: classes in rows, one label, energies, scores."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import energan
from energan.core import SettingError
from energan.data import DataSettings, open_data
from energan.evaluation.classifier import classifier_for
from energan.evaluation.reference import reference_for
from energan.io.pictures import cells
from support.commands import refused, run

SMALL = [
    "--model.generator", "32", "--model.encoder", "32", "--model.latent", "4",
    "--output.log-every", "50", "--output.sample-every", "200", "--output.checkpoint-every", "200",
    "--threads", "1",
]  # fmt: skip


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "cebgan"
    assert run("train", "cebgan-digits", "--steps", "400", "--out", out, *SMALL) == 0
    return out


def test_samples_are_of_the_class_that_is_asked_for(digits: Path) -> None:
    """Nearer to the mean digit of their own class than to that of another, most of them."""
    data = open_data(DataSettings())
    x = data.gather(torch.arange(len(data))).x
    assert data.labels is not None
    means = torch.stack([x[data.labels == k].mean(0) for k in range(10)]).flatten(1)
    loaded = energan.load(digits)
    labels = torch.arange(10).repeat(20)
    made = loaded.sample(200, condition=labels).flatten(1)
    right = (torch.cdist(made, means).argmin(1) == labels).float().mean()
    assert right > 0.6


def test_without_labels_the_classes_come_in_turn(digits: Path) -> None:
    loaded = energan.load(digits)
    assert torch.equal(loaded.sample(23), loaded.sample(23, condition=torch.arange(23) % 10))


def test_the_energy_knows_the_label(digits: Path) -> None:
    """An image has a lower energy under its own label than under the next, mostly."""
    data = open_data(DataSettings()).held_out
    assert data is not None
    batch = data.gather(torch.arange(180), conditions=True)
    assert batch.condition is not None
    loaded = energan.load(digits)
    own = loaded.energy(batch.x, batch.condition)
    other = loaded.energy(batch.x, (batch.condition + 1) % 10)
    assert (own < other).float().mean() > 0.8
    assert bool((loaded.energy(batch.x) <= own + 1e-5).all())


def test_a_grid_has_a_class_in_each_row_and_one_label_fills_it(
    digits: Path, tmp_path: Path
) -> None:
    assert run("sample", digits, "--out", tmp_path / "rows.png") == 0
    assert run("sample", digits, "--label", "7", "-n", "9", "--out", tmp_path / "seven.png") == 0
    with Image.open(tmp_path / "rows.png") as rows, Image.open(tmp_path / "seven.png") as seven:
        assert rows.height > rows.width  # 10 rows of 8
        assert seven.height == seven.width
        assert seven.info["label"] == "7"
    grids = sorted((digits / "samples").iterdir())
    with Image.open(grids[-1]) as grid:
        assert grid.height > grid.width


@pytest.mark.parametrize(
    ("count", "told"),
    [
        (100, "100 samples (10 of each of 10 classes)"),
        (64, "64 samples (6 or 7 of each of 10 classes)"),
        (4, "4 samples (1 of each of 4 of 10 classes)"),
    ],
)
def test_as_many_samples_as_are_asked_for_with_their_labels(
    digits: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], count: int, told: str
) -> None:
    """In a picture, an array and a folder; the first of many are those of few."""
    outs = [tmp_path / name for name in ("grid.png", "x.npz", "each")]
    for out in outs:
        assert run("sample", digits, "-n", str(count), "--out", out) == 0
        assert told in capsys.readouterr().out
    with np.load(outs[1]) as stored:
        assert stored["labels"].tolist() == [i % 10 for i in range(count)]
        assert stored["class_names"].tolist() == [*"0123456789"]
        x = stored["x"]
    made = energan.load(digits).sample(100).numpy()
    assert np.allclose(x, made[:count], atol=1e-5)
    for i, path in enumerate(sorted(outs[2].iterdir())):
        with Image.open(path) as picture:
            assert picture.info["label"] == str(i % 10)
            whole = (made[i, 0] + 1) / 2 * 255
            assert np.abs(np.asarray(picture).astype(float) - whole).max() <= 1
    with Image.open(outs[0]) as sheet:
        found = cells(sheet, (1, 8, 8))
        assert len(found) >= count
        columns = min(count, 10)
        assert sheet.width // (64 + 2) == columns


def test_it_is_scored_judged_and_reported_like_any_run(
    digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shared_cache: Path
) -> None:
    monkeypatch.setenv("ENERGAN_CACHE", str(shared_cache))
    few = ["--samples", "100", "--resamples", "10", "--threads", "1"]
    assert run("evaluate", digits, "--metrics", "is", "swd", *few) == 0
    assert run("score", digits, "digits", "--out", tmp_path / "scores.csv") == 0
    assert run("report", digits, "--out", tmp_path / "page.html") == 0
    page = (tmp_path / "page.html").read_text()
    assert "Interpolation, linear" in page
    assert "Nearest training images" in page


def test_the_share_of_samples_that_obey_their_label_is_the_classifiers_word(
    digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shared_cache: Path
) -> None:
    monkeypatch.setenv("ENERGAN_CACHE", str(shared_cache))
    out = tmp_path / "scores.json"
    words = ["--metrics", "label_agreement", "--samples", "200", "--threads", "1", "--out", out]
    assert run("evaluate", digits, *words) == 0
    ((score,),) = (r["metrics"] for r in json.loads(out.read_text())["runs"])
    loaded = energan.load(digits)
    reference = reference_for(loaded.job.settings.data, loaded.domain)
    judge = classifier_for(reference.training, reference.judged, reference.split)
    labels = torch.arange(200) % 10
    made = (loaded.sample(200, condition=labels) + 1) / 2
    right = judge(made.clamp(0, 1))[1].argmax(1) == labels
    assert score["value"] == pytest.approx(float(right.float().mean()), abs=1e-6)
    assert score["details"]["by_class"]["3"] == pytest.approx(float(right[3::10].float().mean()))
    assert score["low"] <= score["value"] <= score["high"]
    assert score["real"] == pytest.approx(judge.accuracy, abs=1e-4)


def test_labels_that_are_none_are_refused(digits: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "--label 10: the model has 10 classes" in refused(
        capsys, "sample", digits, "--label", "10"
    )
    loaded = energan.load(digits)
    for labels in (torch.tensor([11, 0]), torch.tensor([0.5, 1]), torch.tensor([1])):
        with pytest.raises(SettingError, match="labels must be"):
            loaded.sample(2, condition=labels)


def test_data_without_labels_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--data", "moons", "--model.output", "linear", "--out", tmp_path / "x"]
    assert "conditional on labels" in refused(capsys, "train", "cebgan-digits", *words)
