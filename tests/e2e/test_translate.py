"""Image to image as a user works with it: training on pairs, strips, scores, files."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import energan
from energan.core import SettingError
from energan.data import open_data
from energan.io.run_folder import RunFolder
from energan.metrics import l1, psnr, ssim
from support.commands import refused, run

SIDE = 16
SMALL = [
    "--data.direction", "left-to-right", "--data.held-out", "12", "--model.generator-width", "16",
    "--model.discriminator", "8", "16", "--training.batch-size", "4", "--model.norm", "image",
    "--threads", "1", "--output.sample-every", "150", "--output.checkpoint-every", "150",
    "--output.no-tensorboard", "--training.ema", "0",
]  # fmt: skip


def pair(generator: np.random.Generator, height: int = SIDE, width: int = SIDE) -> np.ndarray:
    """A picture of four coloured fields, and on its right its negative."""
    fields = generator.integers(0, 256, (2, 2, 3))
    left = fields.repeat(height // 2, 0).repeat(width // 2, 1)
    return np.concatenate([left, 255 - left], 1).astype(np.uint8)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, generator = tmp_path_factory.mktemp("pairs"), np.random.default_rng(0)
    for i in range(60):
        Image.fromarray(pair(generator)).save(folder / f"{i:03}.png")
    return folder


@pytest.fixture(scope="module")
def negative(pairs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "negative"
    words = ("train", "--model", "pix2pix", "--data", pairs, "--steps", "300", *SMALL)
    assert run(*words, "--out", out) == 0
    return out


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path)).astype(float)


def test_strips_show_source_target_and_result(negative: Path) -> None:
    """Of the first strip the target is the negative of the source, as the data have it."""
    assert len(list((negative / "samples").glob("*.png"))) == 2
    sheet = pixels(negative / "samples" / "step-000300.png")
    zoom, gap = 4, 2  # of images of 16 pixels
    side = zoom * SIDE
    first, second = (sheet[gap + 20, gap + k * (side + gap) + 20] for k in (0, 1))
    np.testing.assert_allclose(first + second, 255, atol=2)


def test_scores_are_the_definitions_and_beat_what_needs_no_network(
    negative: Path, pairs: Path, tmp_path: Path
) -> None:
    out = tmp_path / "scores.json"
    assert run("evaluate", negative, "--out", out) == 0
    (entry,) = json.loads(out.read_text())["runs"]
    found = {m["name"]: m for m in entry["metrics"]}
    assert set(found) == {"l1", "psnr", "ssim"}
    loaded = energan.load(negative)
    data = open_data(loaded.job.settings.data)
    assert data.held_out is not None
    batch = data.held_out.gather(torch.arange(12))
    real, source = (batch.x + 1) / 2, (batch.condition + 1) / 2
    made = (loaded.sample(12, 0, batch.condition) + 1) / 2
    mean = torch.stack([data.gather(torch.tensor([i])).x[0] for i in range(48)]).mean(0)
    for name, measure in (
        ("l1", l1),
        ("psnr", lambda a, b: psnr(a, b, 1)),
        ("ssim", lambda a, b: ssim(a, b, 1)),
    ):
        assert found[name]["value"] == pytest.approx(measure(made, real).mean(), rel=1e-4)
        details = found[name]["details"]
        assert details["identity"] == pytest.approx(measure(source, real).mean(), rel=1e-4)
        expected = measure(((mean + 1) / 2).expand_as(real), real).mean()
        assert details["mean_image"] == pytest.approx(expected, rel=1e-4)
    assert found["l1"]["value"] < 0.7 * found["l1"]["details"]["mean_image"]
    assert found["l1"]["low"] < found["l1"]["value"] < found["l1"]["high"]


def test_other_pairs_are_judged_whole(negative: Path, tmp_path: Path) -> None:
    generator = np.random.default_rng(2)
    folder = tmp_path / "others"
    folder.mkdir()
    for i in range(7):
        Image.fromarray(pair(generator)).save(folder / f"{i}.png")
    out = tmp_path / "scores.json"
    words = ["--reference", folder, "--metrics", "l1", "--out", out]
    assert run("evaluate", negative, *words) == 0
    (entry,) = json.loads(out.read_text())["runs"]
    assert (entry["reference"]["events"], entry["reference"]["split"]) == (7, "test")
    (score,) = entry["metrics"]
    assert score["details"]["pairs"] == 7
    assert score["value"] < score["details"]["mean_image"]


def test_held_out_l1_is_logged_and_may_choose_the_checkpoint(negative: Path) -> None:
    told = {e["step"]: e["l1"] for e in RunFolder(negative).read("score")}
    assert set(told) == {0, 150, 300}
    assert told[300] < told[0]


def test_a_folder_is_translated_under_its_names_and_one_file_is_too(
    negative: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    generator = np.random.default_rng(1)
    source = tmp_path / "in"
    (source / "deep").mkdir(parents=True)
    both = pair(generator, 32, 16)  # higher than wide: not what it was trained on
    Image.fromarray(both[:, :16]).save(source / "a.png")
    Image.fromarray(both[:, :16]).save(source / "a.jpg", quality=95)
    Image.fromarray(both[:, :16]).save(source / "deep" / "b.png")
    (source / "broken.png").write_bytes(b"no image")
    out = tmp_path / "out"
    assert run("translate", negative, source, out) == 0
    told = capsys.readouterr()
    assert "3 images" in told.out
    assert "broken.png cannot be read" in told.err
    names = sorted(p.relative_to(out).as_posix() for p in out.rglob("*.png"))
    assert names == ["a.jpg.png", "a.png.png", "deep/b.png"]
    made = pixels(out / "deep" / "b.png")
    assert made.shape == (32, 16, 3)
    assert np.abs(made - both[:, 16:]).mean() < np.abs(127.5 - both[:, 16:]).mean()
    alone = tmp_path / "b.png"
    assert run("translate", negative, source / "deep" / "b.png", alone) == 0
    assert np.array_equal(pixels(alone), made)  # whatever else is translated beside it
    assert run("translate", negative, source / "deep" / "b.png", alone, "--seed", "1") == 0
    assert not np.array_equal(pixels(alone), made)  # dropout is the noise


def test_pairs_are_translated_from_the_side_of_the_run(
    negative: Path, pairs: Path, tmp_path: Path
) -> None:
    out = tmp_path / "strip.png"
    assert run("translate", negative, pairs / "000.png", out, "--pairs", "--strip") == 0
    made, both = pixels(out), pixels(pairs / "000.png")
    assert made.shape == (SIDE, 3 * SIDE, 3)
    np.testing.assert_array_equal(made[:, : 2 * SIDE], both)


def test_files_as_wide_as_the_pairs_of_the_run_are_taken_for_pairs(
    negative: Path, pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, words = pairs / "000.png", ("translate", negative)
    asked, guessed, whole = (tmp_path / f"{name}.png" for name in ("asked", "guessed", "whole"))
    assert run(*words, file, asked, "--pairs") == 0
    assert "half" not in capsys.readouterr().out
    assert run(*words, file, guessed) == 0
    said = capsys.readouterr().out
    assert "pairs: only the left half of 1 image was translated" in said
    assert "--whole" in said
    assert np.array_equal(pixels(guessed), pixels(asked))
    assert run(*words, file, whole, "--whole") == 0
    assert "half" not in capsys.readouterr().out
    assert pixels(whole).shape == (SIDE, 2 * SIDE, 3)
    assert "give one" in refused(capsys, *words, file, whole, "--whole", "--pairs")
    mixed = tmp_path / "mixed"
    mixed.mkdir()
    shutil.copy(file, mixed / "pair.png")
    Image.new("RGB", (SIDE, SIDE)).save(mixed / "square.png")
    assert run(*words, mixed, tmp_path / "out") == 0
    assert "half" not in capsys.readouterr().out
    assert pixels(tmp_path / "out" / "pair.png").shape == (SIDE, 2 * SIDE, 3)


def test_data_show_suggests_pairs(
    pairs: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run("data", "show", pairs) == 0
    said = capsys.readouterr().out
    assert "pairs?: the images are twice as wide as high" in said
    assert f"energan train pix2pix-folder --data {pairs}" in said
    assert run("data", "show", pairs, "--direction", "left-to-right") == 0
    assert "pairs?" not in capsys.readouterr().out
    two, classes = tmp_path / "two", tmp_path / "classes"
    for i, file in enumerate(sorted(pairs.glob("*.png"))[:6]):
        both = Image.open(file)
        for k, side in enumerate("ab"):
            half = both.crop((k * SIDE, 0, (k + 1) * SIDE, SIDE))
            for folder, name in ((two, f"{i}.png"), (classes, f"{side}{i}.png")):
                (folder / side).mkdir(parents=True, exist_ok=True)
                half.save(folder / side / name)
    assert run("data", "show", two) == 0
    assert "pairs?: the folders a and b hold images of the same names" in capsys.readouterr().out
    assert run("data", "show", classes) == 0
    assert "pairs?" not in capsys.readouterr().out
    shutil.copytree(pairs, tmp_path / "named" / "facades" / "train")
    monkeypatch.setenv("ENERGAN_DATA", str(tmp_path / "named"))
    assert run("data", "show", "facades") == 0
    assert "energan train pix2pix-folder --data facades" in capsys.readouterr().out


def test_sides_that_do_not_fit_are_told_before_anything_is_written(
    negative: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, out = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    Image.new("RGB", (SIDE, SIDE)).save(source / "a.png")
    Image.new("RGB", (21, 30)).save(source / "b.png")
    said = refused(capsys, "translate", negative, source, out)
    assert "b.png" in said
    assert "21x30" in said
    assert "--size nearest" in said
    assert not out.exists()
    assert run("translate", negative, source, out, "--size", "nearest") == 0
    assert pixels(out / "b.png").shape == (30, 21, 3)
    shutil.rmtree(out)
    assert run("translate", negative, source, out, "--size", "32") == 0
    assert pixels(out / "b.png").shape == (32, 32, 3)


def test_what_cannot_be_is_refused(
    negative: Path, pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = pairs / "000.png"
    assert "--size 33" in refused(capsys, "translate", negative, image, tmp_path / "x.png",
                                  "--size", "33")  # fmt: skip
    assert "image itself" in refused(capsys, "translate", negative, image, image)
    assert "does not exist" in refused(capsys, "translate", negative, tmp_path / "no", tmp_path)
    assert "name a file ending in" in refused(capsys, "translate", negative, image, "x.txt")
    assert "which l1, psnr, ssim score" in refused(capsys, "evaluate", negative, "--metrics", "fid")
    assert "no anomaly score of an image alone" in refused(capsys, "score", negative, image)
    assert "condition" in refused(capsys, "sample", negative)
    assert "side by side" in refused(capsys, "compare", negative, negative)
    assert "--extractor does not apply" in refused(
        capsys, "evaluate", negative, "--extractor", "pixels"
    )
    loaded = energan.load(negative)
    with pytest.raises(SettingError, match="conditions must be float"):
        loaded.sample(2, condition=torch.zeros(2, 1, SIDE, SIDE))
    with pytest.raises(SettingError, match="do not match"):
        loaded.energy(torch.zeros(1, 3, SIDE, SIDE), torch.zeros(1, 3, 2 * SIDE, SIDE))
    one = ("train", "--model", "pix2pix", "--data", pairs, *SMALL, "--model.generator", "4")
    assert "at least two layers" in refused(capsys, *one, "--out", tmp_path / "one")
    other = ("train", "--model", "dcgan", "--data", pairs, "--data.direction", "left-to-right")
    assert "does not take" in refused(capsys, *other, "--out", tmp_path / "run")


def test_resuming_goes_on_as_if_nothing_had_been(
    negative: Path, pairs: Path, tmp_path: Path
) -> None:
    """Bit for bit, the discriminator's and the optimisers' state included."""
    out = tmp_path / "half"
    words = ("train", "--model", "pix2pix", "--data", pairs, "--steps", "150", *SMALL)
    assert run(*words, "--out", out) == 0
    assert run("resume", out, "--steps", "300") == 0
    for name in ("weights.safetensors", "state.safetensors"):
        one, two = (r / "checkpoints" / "step-000300" / name for r in (negative, out))
        assert one.read_bytes() == two.read_bytes()


def test_a_report_of_image_to_image_is_written(negative: Path, tmp_path: Path) -> None:
    assert run("report", negative, "--out", tmp_path / "report.html") == 0
    assert "pix2pix" in (tmp_path / "report.html").read_text()


def test_data_show_draws_each_source_before_its_target(
    pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "pairs.png"
    words = ["--direction", "left-to-right", "-n", "2", "--out", out]
    assert run("data", "show", pairs, *words) == 0
    assert "their sources have shape (3, 16, 16)" in capsys.readouterr().out
    sheet = pixels(out)
    first, second = sheet[20, 2 + 20], sheet[20, 2 + 64 + 2 + 20]
    np.testing.assert_allclose(first + second, 255, atol=2)


def test_a_folder_does_not_become_an_image(
    negative: Path, pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = refused(capsys, "translate", negative, pairs, tmp_path / "x.png")
    assert "name a folder" in said
    assert not (tmp_path / "x.png").exists()


def test_label_maps_as_sources_from_training_to_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A plane for each of 12 classes, kept for the test part, for other pairs and for files, and
    shown in colours."""
    data = tmp_path / "pairs"
    generator, palette = np.random.default_rng(0), np.arange(768, dtype=np.uint8).reshape(256, 3)
    for split, count, most in (("train", 24, 12), ("test", 4, 5)):
        for side in "AB":
            (data / split / side).mkdir(parents=True)
        for i in range(count):
            fields = generator.integers(0, most, (4, 4), np.uint8).repeat(5, 0).repeat(5, 1)
            fields[:5, :5] = most - 1
            Image.fromarray(fields).save(data / split / "A" / f"{i}.png")
            Image.fromarray(palette[fields]).save(data / split / "B" / f"{i}.png")
    out, test = tmp_path / "run", data / "test"
    words = ("train", "--model", "pix2pix", "--data", data, "--data.size", SIDE, "--out", out)
    assert run(*map(str, words), "--steps", "4", *SMALL[:2], *SMALL[4:]) == 0
    assert "images: 16x16, 12 -> 3 channels" in capsys.readouterr().err
    loaded = energan.load(out)
    assert loaded.given == (12, SIDE, SIDE)
    assert loaded.domain.label_map is not None
    assert loaded.domain.label_map.values == tuple(range(12))
    made = tmp_path / "made"
    assert run("translate", out, test / "A", made, "--size", "16") == 0
    fields = np.asarray(Image.open(test / "A" / "0.png"))
    taken = ((np.arange(SIDE) + 0.5) * 20 / SIDE).astype(int)  # the nearest pixel of each
    planes = torch.nn.functional.one_hot(torch.from_numpy(fields[taken][:, taken]).long(), 12)
    source = 2.0 * planes.permute(2, 0, 1)[None] - 1
    expected = ((loaded.sample(1, 0, source)[0] + 1) * 127.5).round().permute(1, 2, 0)
    assert np.abs(pixels(made / "0.png") - expected.numpy()).max() <= 1
    strip = tmp_path / "strip.png"
    assert run("translate", out, test / "A" / "0.png", strip, "--size", "nearest", "--strip") == 0
    shown = pixels(strip)[:, : fields.shape[1]]
    assert np.array_equal(shown, np.array(loaded.domain.label_map.colours)[fields])
    assert run("evaluate", out, "--resamples", "10") == 0
    assert run("evaluate", out, "--resamples", "10", "--reference", test) == 0
    assert run("data", "show", data, "--direction", "left-to-right", "--size", "16") == 0
    assert "label maps of 12 classes (values 0 to 11), read one-hot" in capsys.readouterr().out
    assert run("resume", out, "--steps", "6") == 0
    Image.fromarray(np.full((16, 16), 12, np.uint8)).save(tmp_path / "new.png")
    said = refused(capsys, "translate", out, tmp_path / "new.png", tmp_path / "x.png")
    assert "its label 12 is not one of the 12 known ones" in said
