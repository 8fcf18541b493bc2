"""`energan train inspect-folder` as a user runs it: parts with scratches, which it never saw."""

import json
import math
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import energan
from energan.anomaly.normal_data import normal_events
from support.commands import refused, run

SIDE, GOOD = 48, 40
SMALL = [
    "--data.size", str(SIDE), "--model.width", "8", "--model.scales", "3", "--steps", "120",
    "--model.energy-optimiser.lr", "linear(0.0003, 0.004, 30)", "--training.ema", "0",
    "--output.checkpoint-every", "0", "--output.sample-every", "0", "--threads", "1",
    "--data.held-out", "12",
]  # fmt: skip


def part(seed: int) -> np.ndarray:
    """Brushed metal: stripes, noise, and a brightness of its own."""
    g = np.random.default_rng(seed)
    stripes = 20 * np.sin(np.arange(SIDE) * 0.7 + g.uniform(0, 6))
    pixels = g.uniform(90, 150) + stripes[None] + g.normal(0, 6, (SIDE, SIDE))
    return pixels.clip(1, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The layout of inspection data sets."""
    root = tmp_path_factory.mktemp("parts")
    for folder in ("train/good", "test/good", "test/scratch", "ground_truth/scratch"):
        (root / folder).mkdir(parents=True)
    for i in range(GOOD):
        Image.fromarray(part(i)).save(root / "train" / "good" / f"{i:02d}.png")
    for i in range(15):
        Image.fromarray(part(100 + i)).save(root / "test" / "good" / f"{i:02d}.png")
        pixels, mask = part(200 + i), np.zeros((SIDE, SIDE), np.uint8)
        g = np.random.default_rng(i)
        y, x, slope = g.integers(8, 20), g.integers(6, 18), g.uniform(0, 0.8)
        for step in range(int(g.integers(12, 25))):
            mask[y + int(slope * step) : y + int(slope * step) + 2, x + step] = 255
        pixels[mask > 0] = (pixels[mask > 0] * 0.45).astype(np.uint8)
        Image.fromarray(pixels).save(root / "test" / "scratch" / f"{i:02d}.png")
        Image.fromarray(mask).save(root / "ground_truth" / "scratch" / f"{i:02d}_mask.png")
    return root


@pytest.fixture(scope="module")
def trained(parts: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "parts"
    assert run("train", "inspect-folder", "--data", parts, "--out", out, *SMALL) == 0
    return out


@pytest.mark.slow
def test_scratches_that_were_never_seen_are_found_and_shown(
    trained: Path, parts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    maps = tmp_path / "maps"
    assert run("score", trained, parts, "--fpr", "0.1", "--heatmaps", maps) == 0
    said = capsys.readouterr().out
    assert "(energy map)" in said
    assert "gradient" not in said
    with Image.open(sorted(maps.iterdir())[0]) as image:
        assert image.text["map"] == "energy map"  # type: ignore[attr-defined]
    assert run("evaluate", trained, "--defects", parts) == 0
    kept = json.loads((trained / "metrics.json").read_text())["defects"]
    (kept,) = kept
    (found,) = [kind for kind in kept["kinds"] if kind["kind"] == "all"]
    assert kept["map"] == "energy map"
    assert found["auroc"] > 0.9
    assert found["pixels"]["auroc"] > 0.85


@pytest.mark.slow
def test_normal_images_that_were_trained_on_are_told(
    trained: Path, parts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    again = tmp_path / "parts"
    shutil.copytree(parts, again)
    for path in (parts / "train" / "good").iterdir():
        darker = np.asarray(Image.open(path)) * 0.8
        Image.fromarray(darker.astype(np.uint8)).save(again / "test" / "good" / f"dark-{path.name}")
    assert run("evaluate", trained, "--defects", again) == 0
    kept = json.loads((trained / "metrics.json").read_text())["defects"][-1]
    # 12 of the 40 were held out
    expected = "28 of 55 normal images are almost identical to training images"
    assert expected in capsys.readouterr().out
    assert expected in kept["notes"][-1]


@pytest.mark.slow
def test_held_out_images_that_are_nearly_training_images_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each part was photographed twice, and some of both were held out."""
    photos = tmp_path / "photos"
    photos.mkdir()
    for i in range(24):
        for name, light in (("bright", 1.0), ("dark", 0.8)):
            pixels = (part(i) * light).astype(np.uint8)
            Image.fromarray(pixels).save(photos / f"{i:02d}-{name}.png")
    out, words = tmp_path / "run", [*SMALL, "--steps", "1"]
    assert run("train", "inspect-folder", "--data", photos, "--out", out, *words) == 0
    capsys.readouterr()
    assert run("score", out, photos / "00-dark.png", "--fpr", "0.1") == 0
    warned = capsys.readouterr().err
    said = re.search(r"(\d+) of 12 held-out images are almost identical to training", warned)
    assert said is not None
    assert "use --calibrate with other images, or train with --data.groups" in warned
    assert 4 <= int(said[1]) <= 12
    copies = shutil.copytree(photos, tmp_path / "copies")
    score = ("score", out, copies / "00-dark.png", "--calibrate", copies)
    assert run(*score) == 0
    told = capsys.readouterr().err
    said = re.search(r"(\d+) of 48 normal images are almost identical to training", told)
    assert said is not None
    assert int(said[1]) >= 36  # those that were trained on
    assert "calibrate on images that were not trained on" in told
    shutil.rmtree(photos)
    assert run(*score) == 0
    assert "not compared with the training images" in capsys.readouterr().err


@pytest.mark.slow
def test_maps_have_a_threshold_of_their_own_that_few_normal_images_reach(
    trained: Path, parts: Path
) -> None:
    loaded = energan.load(trained)
    made = loaded.calibrate(fpr=0.1)
    x = loaded.prepare(parts / "test" / "scratch")
    scored = loaded._score(x)
    assert scored.map is not None
    assert scored.map.shape == (15, 24, 24)
    assert loaded.heatmap(x).shape == (15, 48, 48)
    normal = normal_events(None, loaded.job.settings.data, loaded.domain.whole)
    maxima = loaded.heatmap(normal.gather(torch.arange(len(normal))).x).amax((1, 2)).sort().values
    assert made.map_threshold == float(maxima[math.ceil((len(maxima) + 1) * 0.9) - 1])


@pytest.mark.slow
def test_a_picture_shows_the_defects_and_there_are_no_samples(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (shown,) = (trained / "samples").iterdir()
    with Image.open(shown) as image:
        assert image.width > 3 * image.height  # twelve images, each above its mask and its map
    assert "makes no samples" in refused(capsys, "sample", trained, "--out", tmp_path / "x.png")
