"""`energan data` as a user types it."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from energan.cli import main as cli
from energan.data import SOURCES
from support.image_files import odd_folder


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENERGAN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("ENERGAN_DATA", str(tmp_path / "data"))


def run(capsys: pytest.CaptureFixture[str], *words: str | Path, code: int = 0) -> str:
    """What the command prints; for an error its one sentence."""
    capsys.readouterr()
    assert cli.main(["data", *map(str, words)]) == code
    said = capsys.readouterr()
    assert "Traceback" not in said.err
    if code:
        assert said.out == ""
        assert said.err.startswith("energan: ")
        assert said.err.count("\n") == 1
    return said.err if code else said.out


def test_the_list_says_what_is_here(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    folder = tmp_path / "data" / "lsun-bedroom"
    folder.mkdir(parents=True)
    for i in range(13):
        Image.new("RGB", (4, 4)).save(folder / f"{i}.png")
    said = run(capsys)
    assert all(name in said for name in SOURCES)
    assert said.split()[:3] == ["source", "examples", "found"]  # some are points
    line = next(row for row in said.splitlines() if row.startswith("lsun-bedroom"))
    assert " 13 " in line
    assert "1,797" in next(row for row in said.splitlines() if row.startswith("digits"))
    assert "not found" in next(row for row in said.splitlines() if row.startswith("celeba"))
    assert run(capsys, "list") == said
    assert "show SOURCE" in run(capsys, "--help")


def test_show_tells_what_training_would_see(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    said = run(capsys, "show", odd_folder(tmp_path / "my photos"), "--size", "16")
    for fact in (
        "12 for training",
        "16x16, colour",
        "[-1, 1]",
        "skipped: 5",
        "torn.jpg",
    ):
        assert fact in said
    said = run(capsys, "show", "digits", "--classes", "3", "5", "--range", "unit", "--limit", "50")
    for fact in ("50 for training", "8x8, grey", "[0, 1]", "classes: 2: 3 ", "fingerprint"):
        assert fact in said
    assert "points of 2 numbers" in run(capsys, "show", "ring")


def test_show_draws_thumbnails_by_class(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    for name, grey in (("dark", 20), ("light", 220), ("名前", 120)):
        (folder / name).mkdir(parents=True)
        for i in range(10):
            Image.new("L", (8, 8), grey).save(folder / name / f"{i}.png")
    out = tmp_path / "new folder" / "grid.png"
    run(capsys, "show", folder, "--out", out, "-n", "9")
    with Image.open(out) as image:
        pixels = np.asarray(image.convert("L"))
    right = pixels[:, -12]  # through the last thumbnail of each row, from the top
    order = [int(v) for v in right if v in (20, 220, 120)]
    assert list(dict.fromkeys(order)) == [20, 220, 120]
    for source in ("ring", "digits"):
        run(capsys, "show", source, "--out", tmp_path / f"{source}.png")
        assert (tmp_path / f"{source}.png").stat().st_size > 1000


def test_prepare_decodes_once(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    folder = odd_folder(tmp_path / "a")
    (folder / "gone.png").unlink()
    words = ("prepare", folder, "--size", "8")
    first, second = run(capsys, *words), run(capsys, *words)
    assert "12 images of (3, 8, 8)" in first
    assert "decoded in" in first
    assert "4 could not be read" in first
    assert "were already there" in second
    assert str(tmp_path / "cache") in second
    assert "read into memory directly" in run(capsys, "prepare", "digits")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["shwo", "digits"], "did you mean `energan data show digits`?"),
        (["digits"], "did you mean `energan data show digits`?"),
        (["show"], "name a source"),
        (["show", "diggits"], "did you mean digits"),
        (["show", "no/such/folder"], "no/such/folder does not exist"),
        (["show", "digits", "--crop", "5", "0", "4", "4"], "is not a box"),
        (["show", "digits", "--classes", "11"], "no class '11'"),
        (["show", "digits", "--out", "grid.jpg"], "name a .png file"),
        (["show", "digits", "--out", "grid.png", "-n", "0"], "-n 0: give at least 1"),
        (["show", "celeba"], "celeba was not found"),
    ],
)
def test_mistakes_are_told_in_a_sentence(
    capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    assert message in run(capsys, *words, code=2)


def test_a_run_finds_its_data_from_any_folder_and_where_they_were_moved_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    np.savez("mine.npz", x=rng.uniform(0, 1, (40, 12, 12)).astype(np.float32))
    common = ["--model.generator-width", "4", "--model.encoder-width", "4", "--steps", "2",
              "--data.size", "8", "--training.batch-size", "4", "--threads", "1"]  # fmt: skip
    assert cli.main(["train", "ebgan-folder", "--data", "mine.npz", *common, "--out", "run"]) == 0
    assert "generator: 4" in capsys.readouterr().err  # it says what it chose
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert cli.main(["resume", str(tmp_path / "run"), "--steps", "3"]) == 0
    moved = (tmp_path / "mine.npz").rename(tmp_path / "moved.npz")
    assert cli.main(["resume", str(tmp_path / "run"), "--steps", "4"]) == 2
    assert cli.main(["resume", str(tmp_path / "run"), "--steps", "4", "--data", str(moved)]) == 0
    np.savez(moved, x=rng.uniform(0, 1, (30, 12, 12)).astype(np.float32))
    assert cli.main(["resume", str(tmp_path / "run"), "--steps", "5", "--data", str(moved)]) == 2
    assert "27 images now, 36 then" in capsys.readouterr().err


def test_show_tells_of_a_folder_whose_images_have_no_common_size(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for name, width in (("a/1.png", 8), ("a/2.png", 9), ("b/3.png", 8)):
        (tmp_path / "parts" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (width, 8)).save(tmp_path / "parts" / name)
    said = run(capsys, "show", tmp_path / "parts")
    assert "train: 3 images" in said
    assert "8x8, and a/2.png is 9x8" in said
    assert "--data.size" in said
    said = run(capsys, "show", tmp_path / "parts", "--data.size", "4")
    assert said == run(capsys, "show", tmp_path / "parts", "--size", "4")
    run(capsys, "show", tmp_path / "parts", "--out", tmp_path / "x.png", code=2)
