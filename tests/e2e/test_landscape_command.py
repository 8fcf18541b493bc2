"""`energan landscape`, as a user types it."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from energan.io.run_folder import RunFolder
from support.commands import run

SMALL = ["--model.generator", "16", "--model.latent", "4", "--threads", "1"]


@pytest.fixture(scope="module")
def ring(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "ring"
    words = ["--steps", "7", "--output.sample-every", "2", "--output.checkpoint-every", "3"]
    assert run("train", "gan-ring", "--out", out, *SMALL, *words) == 0
    return out


def test_a_training_keeps_landscapes(ring: Path) -> None:
    names = [f"step-{step:06d}.npz" for step in (0, 2, 4, 6, 7)]
    assert sorted(p.name for p in (ring / "landscapes").iterdir()) == names
    told = RunFolder(ring).read("landscape")[1]
    assert (told["step"], told["path"]) == (2, "landscapes/step-000002.npz")
    with np.load(ring / told["path"]) as stored:
        assert stored["energy"].dtype == np.float32
        assert (int(stored["step"]), int(stored["seed"]), str(stored["weights"])) == (2, 0, "ema")
        assert max(stored[name].size for name in stored) <= 81 * 81


def test_a_picture_is_written_and_said(
    ring: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    out = tmp_path / "deep" / "one.png"
    assert run("landscape", ring, "--out", out) == 0
    said = capsys.readouterr()
    assert said.out == f"landscape of ring at step 7, seed 0, ema weights: {out}\n"
    assert said.err == ""
    words = ["--density", "--weights", "raw", "--checkpoint", "6"]
    assert run("landscape", ring, "--out", tmp_path / "two.png", *words) == 0
    said = capsys.readouterr()
    assert "at step 6, seed 0, raw weights" in said.out
    assert "the energy of gan was not trained as a density" in said.err
    with Image.open(out) as one, Image.open(tmp_path / "two.png") as two:
        assert min(one.size) > 500
        assert two.width > 2.5 * one.width


def test_without_a_name_it_lies_here(
    ring: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run("landscape", ring) == 0
    assert run("landscape", ring, "--animate") == 0
    assert sorted(p.name for p in tmp_path.iterdir()) == ["landscape.gif", "landscape.png"]


def test_an_animation_has_a_frame_a_landscape(
    ring: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    moved = tmp_path / "moved"  # of the files alone: without checkpoints
    shutil.copytree(ring, moved)
    shutil.rmtree(moved / "checkpoints")
    assert run("landscape", moved, "--animate", "--out", tmp_path / "a.gif") == 0
    said = capsys.readouterr()
    assert said.out.startswith(f"5 landscapes of {moved}, steps 0 to 7")
    assert said.err == ""
    with Image.open(tmp_path / "a.gif") as film:
        assert film.n_frames == 5
        assert film.info["loop"] == 0


def test_without_landscapes_the_checkpoints_are_shown(
    ring: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bare = tmp_path / "bare"
    shutil.copytree(ring, bare)
    shutil.rmtree(bare / "landscapes")
    kept = len(list((bare / "checkpoints").iterdir()))
    capsys.readouterr()
    assert run("landscape", bare, "--animate", "--out", tmp_path / "a.gif") == 0
    said = capsys.readouterr().err
    assert said.startswith(f"energan: {bare} keeps no landscapes of several steps: the {kept} c")
    assert said.count("\n") == 1
    with Image.open(tmp_path / "a.gif") as film:
        assert film.n_frames == kept
    assert run("landscape", ring, "--animate", "--weights", "raw", "--out", tmp_path / "b.gif") == 0
    assert "keeps landscapes of ema weights only" in capsys.readouterr().err


def test_a_resumed_run_has_each_step_once(ring: Path, tmp_path: Path) -> None:
    more = tmp_path / "more"
    shutil.copytree(ring, more)
    assert run("resume", more, "--steps", "9") == 0
    assert run("landscape", more, "--animate", "--out", tmp_path / "a.gif") == 0
    with Image.open(tmp_path / "a.gif") as film:
        assert film.n_frames == 7  # 0, 2, 4, 6, 7, 8, 9


def test_an_energy_with_chains_is_drawn_as_a_density(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "r"
    words = ["--steps", "3", "--model.hidden", "8", "--model.steps", "2", "--threads", "1"]
    assert run("train", "igebm-ring", "--data", "moons", "--out", out, *words) == 0
    capsys.readouterr()
    assert run("landscape", out, "--density", "--out", tmp_path / "d.png") == 0
    said = capsys.readouterr().err
    assert "not trained as a density" not in said
    assert "of 500 samples lie outside the box" in said  # chains start from far around


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["nowhere"], "nowhere holds no run"),
        (["nowhere", "--animate"], "nowhere holds no run"),
        (["RUN", "--out", "x.gif"], "--out x.gif: a .gif needs --animate"),
        (["RUN", "--out", "x.jpg"], "name a .png"),
        (["RUN", "--animate", "--out", "x.png"], "name a .gif file"),
        (["RUN", "--animate", "--density"], "--density shows one step"),
        (["RUN", "--animate", "--checkpoint", "2"], "--checkpoint shows one step"),
        (["RUN", "--checkpoint", "99"], "has no checkpoint of step 99"),
        (["RUN", "--data", "digits"], "the data has examples of shape (1, 8, 8) now"),
    ],
)
def test_a_users_error_is_one_sentence(
    words: list[str], says: str, ring: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert run("landscape", *(ring if word == "RUN" else word for word in words)) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("energan: ")
    assert said.err.count("\n") == 1
    assert says in said.err


@pytest.mark.parametrize(
    ("recipe", "data", "says"),
    [
        (
            "ebgan-digits",
            "digits",
            "was trained on examples of shape (1, 8, 8), and landscapes need",
        ),
        ("gan-line", "gaussian", "points of one number, and landscapes need points in the plane"),
    ],
)
def test_other_than_the_plane_is_refused(
    recipe: str, data: str, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--steps", "2", "--model.generator", "8", "--threads", "1", "--out", tmp_path / "r"]
    assert run("train", recipe, "--data", data, *words) == 0
    assert not (tmp_path / "r" / "landscapes").exists()
    for more in ([], ["--animate"]):
        capsys.readouterr()
        assert run("landscape", tmp_path / "r", *more) == 2
        assert says in capsys.readouterr().err
