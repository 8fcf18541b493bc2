"""What a folder of data was taken for, as commands tell it."""

import csv
import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from support.commands import SMALL, refused, run
from support.image_files import noise

NAMES = [os.fsdecode(b"b\xe4r.png"), "a\nb.png", "d e.png"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The layout of inspection data sets, with strays, and names that are hard to print."""
    counts = {"train/good": 12, "test/good": 4, "test/crack": 3, "ground_truth/crack": 3}
    for name, count in counts.items():
        (tmp_path / "parts" / name).mkdir(parents=True)
        for i, image in enumerate(noise(count, 8, 8)):
            end = "_mask" if "truth" in name else ""
            Image.fromarray(image).save(tmp_path / "parts" / name / f"{i}{end}.png")
    for name, image in zip(NAMES, noise(3, 8, 8), strict=True):
        Image.fromarray(image).save(tmp_path / "parts" / "test" / "good" / name)
    (tmp_path / "parts" / "test" / "crack" / "9.jxl").write_bytes(b"x")
    os.mkfifo(tmp_path / "parts" / "train" / "good" / "pipe.png")
    return tmp_path / "parts"


TOLD = [
    "train: 12 images in train/ (good 12)",
    "test: 10 images in test/, of 2 classes (crack 3, good 7)",
    "masks: 3 in ground_truth/, for 3 images",
    "left out: 1 .jxl file (test/crack/9.jxl)",
    "left out: 1 named pipe (train/good/pipe.png)",
]


def told(facts: list[dict[str, str]]) -> list[str]:
    return [f"{fact['subject']}: {fact['text']}" for fact in facts]


def test_one_block_in_show_dry_run_config_and_score(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("data", "show", folder, "--size", "8") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line in TOLD] == TOLD
    assert lines[0] == "parts: 11 for training, 1 held out"
    words = ["train", "ebgan-folder", "--data", folder, "--data.size", "8", "--steps", "2"]
    assert run(*words, "--dry-run") == 0
    assert told(json.loads(capsys.readouterr().out)["resolved"]["data"]["facts"]) == TOLD
    assert run(*words, *SMALL, "--out", tmp_path / "run") == 0
    said = capsys.readouterr().err
    assert all(line in said for line in TOLD[3:])
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert told(config["resolved"]["data"]["facts"]) == TOLD
    assert run("score", tmp_path / "run", folder, "--out", tmp_path / "s.csv", "--fpr", "0.5") == 0
    out = capsys.readouterr().out
    assert "(test part): 10 scored" in out
    assert all(f"  {line}\n" in out for line in TOLD)
    with (tmp_path / "s.csv").open(encoding="utf8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 10
    assert {Path(row["image"]).name for row in rows} >= {"b\\xe4r.png", "a\\nb.png", "d e.png"}


def test_a_dry_run_needs_no_data_and_refuses_what_training_would(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("train", "ebgan-folder", "--data", tmp_path / "gone", "--dry-run") == 0
    assert json.loads(capsys.readouterr().out)["resolved"]["data"]["facts"] == []
    (tmp_path / "test").mkdir()
    Image.fromarray(noise(1)[0]).save(tmp_path / "test" / "a.png")
    said = refused(capsys, "train", "ebgan-folder", "--data", tmp_path, "--dry-run")
    assert "holds a test part and no folder train" in said


def test_a_dry_run_tells_of_pairs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for side in "AB":
        (tmp_path / side).mkdir()
        Image.fromarray(noise(1)[0]).save(tmp_path / side / "a.png")
    assert run("train", "pix2pix-facades", "--data", tmp_path, "--dry-run") == 0
    (fact,) = json.loads(capsys.readouterr().out)["resolved"]["data"]["facts"]
    assert fact["text"] == "1 pair, left in A/, right in B/"


@pytest.mark.parametrize("command", ["data show", "train ebgan-folder --data"])
def test_a_source_whose_name_is_no_utf8_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    folder = tmp_path / os.fsdecode(b"b\xe4r")
    folder.mkdir()
    said = refused(capsys, *command.split(), folder)
    assert "b\\xe4r is not UTF-8, so a run cannot store it: rename it" in said


def test_features_take_tags_from_a_csv(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--data", folder / "train", "--data.size", "8", "--steps", "2", *SMALL]
    assert run("train", "ebgan-folder", *words, "--out", tmp_path / "run") == 0
    lines = [f"{i}.png;{'round;' if i % 2 else ''}{'dark' if i % 3 else 'light'}" for i in range(9)]
    (tmp_path / "tags.csv").write_text("sep=;\nfile;tag;tag\n" + "\n".join(lines))
    asked = ["features", folder / "train" / "good", "--with", tmp_path / "run"]
    capsys.readouterr()
    made = tmp_path / "f.npz"
    assert run(*asked, "--tags", tmp_path / "tags.csv", "--held-out", "0", "--out", made) == 0
    assert "12 images, 0 of them held out" in capsys.readouterr().out
    with np.load(made) as found:
        assert found["names"].tolist() == ["dark", "light", "round"]
        assert found["tags"].sum(0).tolist() == [6, 3, 4]
    (tmp_path / "bad.csv").write_text("file,tag\nz.png,sea\n")
    bad = ["--tags", tmp_path / "bad.csv", "--out", tmp_path / "g.npz"]
    assert "no image z.png" in refused(capsys, *asked, *bad)


def test_a_score_of_an_ambiguous_folder_has_the_option_that_chooses(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["train", "ebgan-folder", "--data", folder, "--data.size", "8", "--steps", "2"]
    assert run(*words, *SMALL, "--out", tmp_path / "run") == 0
    for name in ("a", "b"):
        (tmp_path / "new" / name).mkdir(parents=True)
        for i, image in enumerate(noise(2, 8, 8)):
            Image.fromarray(image).save(tmp_path / "new" / name / f"{i}.png")
            Image.fromarray(np.flip(image)).save(tmp_path / "new" / f"{i}.png")
    asked = ["score", tmp_path / "run", tmp_path / "new", "--fpr", "0.5"]
    capsys.readouterr()
    assert "layout classes" in refused(capsys, *asked)
    assert run(*asked, "--layout", "classes") == 0
    assert ": 4 scored" in capsys.readouterr().out
    assert run(*asked, "--layout", "flat") == 0
    assert ": 6 scored" in capsys.readouterr().out
