"""`energan sample --chains` and `energan restore`, on tiny runs."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import energan
from support.commands import SMALL, refused, run


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "labelled"
    words = [
        "--data", "digits", "--model.conditional", "--model.stages", "4", "--model.blocks", "1",
        "--model.steps", "2", "--model.buffer", "64", "--threads", "1",
    ]  # fmt: skip
    assert run("train", "igebm-mnist", "--steps", "4", "--out", out, *words) == 0
    return out


@pytest.fixture(scope="module")
def ring(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "ring"
    assert run("train", "ebgan-ring", "--steps", "10", "--out", out, *SMALL) == 0
    return out


def size(path: Path) -> tuple[int, int]:
    with Image.open(path) as image:
        return image.size


def test_checkpoints_of_a_run_take_turns(
    small_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pair = [f"{small_run}@20", f"{small_run}@30"]
    words = ["--chains", "6", "--steps", "12", "--turn", "3"]
    assert run("sample", *pair, *words, "--out", tmp_path / "x.npz") == 0
    said = capsys.readouterr().out
    assert "U small@20" in said
    assert "U small@30" in said
    kept = np.load(tmp_path / "x.npz")
    assert kept["snapshots"].shape == (len(kept["steps"]), 6, 1, 8, 8)
    assert kept["energies"].shape == (len(kept["steps"]), 2, 6)
    assert np.array_equal(kept["snapshots"][-1], kept["x"])
    runs = [energan.load(small_run, checkpoint=step) for step in (20, 30)]
    made = energan.sample_chains(runs, 6, steps=12, turn=3)
    assert np.array_equal(kept["x"], made.x.numpy())
    for i, one in enumerate(runs):
        u = one.energy(torch.from_numpy(kept["x"]))
        assert np.allclose(kept["energies"][-1, i], u.numpy(), atol=1e-5)
    assert run("sample", *pair, *words[:4], "--together", "--out", tmp_path / "y.npz") == 0
    both = energan.sample_chains(runs[0] + runs[1], 6, steps=12)
    assert np.array_equal(np.load(tmp_path / "y.npz")["x"], both.x.numpy())


def test_a_picture_and_a_strip_of_the_ways(small_run: Path, tmp_path: Path) -> None:
    out = tmp_path / "x.png"
    assert run("sample", small_run, "--chains", "9", "--steps", "20", "--out", out) == 0
    width, height = size(out)
    assert width == height
    width, height = size(tmp_path / "x-chains.png")
    assert width > 1.2 * height  # ten times of eight chains


def test_points_have_their_paths_drawn_over_the_energy(ring: Path, tmp_path: Path) -> None:
    words = ["--chains", "5", "--steps", "20", "--anneal", "0.5", "--step-size", "0.1"]
    assert run("sample", ring, *words, "--out", tmp_path / "x.png") == 0
    assert min(size(tmp_path / "x-chains.png")) > 300
    more = ["--noise", "0.1", "--clip", "1", "--from", "data"]
    assert run("sample", ring, *words, *more, "--out", tmp_path / "x.npz") == 0
    assert np.abs(np.load(tmp_path / "x.npz")["snapshots"][0]).max() < 2.2  # the data's circle


@pytest.mark.parametrize("dynamics", ["langevin", "mala"])
def test_chains_that_have_not_moved_far_are_warned_of(
    dynamics: str, ring: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Steps of 1e-6 leave each chain where it began, so all differ."""
    words = ["--chains", "5", "--steps", "20", "--step-size", "1e-6", "--dynamics", dynamics]
    assert run("sample", ring, *words, "--out", tmp_path / "x.npz") == 0
    said = capsys.readouterr()
    assert float(np.load(tmp_path / "x.npz")["rhat"]) > 1.1
    assert "split R-hat is above 1.1: the chains still depend on where they began" in said.err
    assert "--steps" in said.err


def test_classes_of_a_conditional_run(labelled: Path, tmp_path: Path) -> None:
    words = ["--chains", "6", "--steps", "3", "--out", tmp_path / "x.npz"]
    assert run("sample", labelled, *words, "--labels", "7", "2", "--from", "buffer") == 0
    with np.load(tmp_path / "x.npz") as stored:
        assert stored["labels"].tolist() == [7, 2, 7, 2, 7, 2]
        assert stored["class_names"].tolist() == [*"0123456789"]
    assert run("sample", labelled, *words, "--label", "4", "--from", "data") == 0
    assert np.load(tmp_path / "x.npz")["labels"].tolist() == [4] * 6
    assert (
        run("sample", labelled, "--chains", "20", "--steps", "2", "--out", tmp_path / "x.png") == 0
    )
    assert run("sample", labelled, "-n", "5", "--out", tmp_path / "x.npz") == 0  # as ever


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--steps", "9"], "--steps applies to chains"),
        (["--from", "noise"], "--from applies to chains"),
        (["--together"], "--together applies to chains"),
        (["--chains", "4", "-n", "4"], "leave -n out"),
        (["--chains", "4", "--turn", "2"], "name more runs"),
        (["--chains", "0"], "at least 1"),
        (["--chains", "4", "--from", "buffer"], "stores no chains"),
        (["--chains", "4", "--labels", "3"], "was trained without labels"),
        (["--chains", "4", "--noise", "loud"], "a number, or coupled"),
        (["--chains", "4", "--clip", "-1"], "give a number above 0"),
        (["--chains", "4", "--step-size", "-1"], "give a number above 0"),
        (["--chains", "4", "--out", "x.jpg"], "name a .png"),
    ],
)
def test_chains_that_cannot_be_are_refused(
    words: list[str], says: str, small_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert says in refused(capsys, "sample", small_run, *words)


def test_runs_that_cannot_share_chains_are_refused(
    small_run: Path, ring: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "--chains" in refused(capsys, "sample", small_run, ring)
    for more in ([], ["--together"]):
        told = refused(capsys, "sample", small_run, ring, "--chains", "4", *more)
        assert "need the same kind" in told
    assert "step-000020" in refused(capsys, "sample", f"{small_run}@7", "--chains", "4")
    assert "leave --checkpoint out" in refused(
        capsys, "sample", f"{small_run}@20", "--checkpoint", "30", "--chains", "4"
    )
    assert "name a run" in refused(capsys, "sample")


# --- restore --------------------------------------------------------------------------------------


@pytest.fixture
def images(tmp_path: Path) -> list[Path]:
    made = []
    for i in range(3):
        pixels = np.random.default_rng(i).integers(0, 256, (8, 8), dtype=np.uint8)
        made.append(tmp_path / f"image{i}.png")
        Image.fromarray(pixels).save(made[-1])
    return made


def test_known_pixels_of_files_come_back_as_they_are(
    small_run: Path, images: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mask = np.zeros((8, 8), np.uint8)
    mask[1:4, 2:7] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    words = ["--mask", tmp_path / "mask.png", "--steps", "10"]
    assert run("restore", small_run, *images, *words, "--out", tmp_path / "made") == 0
    assert "error" not in capsys.readouterr().out  # what lies under the mask is not the truth
    for image, made in zip(images, sorted((tmp_path / "made").iterdir()), strict=True):
        with Image.open(image) as before, Image.open(made) as after:
            same = np.asarray(before) == np.asarray(after)
        assert same[mask == 0].all()
        assert not same[mask == 255].all()


@pytest.mark.parametrize("start", ["noise", "mean"])
def test_the_picture_shows_given_start_restored_and_truth(
    start: str, small_run: Path, images: list[Path], tmp_path: Path
) -> None:
    words = ["--mask", "top", "--steps", "10", "--from", start]
    assert run("restore", small_run, *images, *words, "--out", tmp_path / "x.png") == 0
    width, height = size(tmp_path / "x.png")
    assert width / height == pytest.approx(4 / 3, rel=0.05)
    assert run("restore", small_run, *images, *words, "--out", tmp_path / "x.npz") == 0
    kept = np.load(tmp_path / "x.npz")
    unknown = np.broadcast_to(kept["unknown"], kept["x"].shape)
    for name in ("given", "start", "truth"):
        assert np.array_equal(kept["x"][~unknown], kept[name][~unknown])
    again = run("restore", small_run, *images, *words, "--truth", "no", "--out", tmp_path / "x.png")
    assert again == 0
    assert size(tmp_path / "x.png")[0] < width


def test_noise_is_added_and_removed_within_bounds(small_run: Path, tmp_path: Path) -> None:
    words = ["--noise-std", "0.1", "--add-noise", "--steps", "10", "-n", "4"]
    assert run("restore", small_run, "digits", *words, "--out", tmp_path / "x.npz") == 0
    kept = np.load(tmp_path / "x.npz")
    assert len(kept["x"]) == 4
    assert not np.array_equal(kept["given"], kept["truth"])
    change = np.sqrt(((kept["x"] - kept["given"]) ** 2).reshape(4, -1).mean(1))
    assert (change <= 0.2 + 1e-5).all()  # a tenth of [-1, 1]
    assert run("restore", small_run, "digits", *words, "--out", tmp_path / "x.png") == 0


def test_a_label_says_which_class_an_image_is_of(tmp_path: Path) -> None:
    out, conditional = tmp_path / "x.npz", tmp_path / "cebgan"
    assert run("train", "cebgan-digits", "--steps", "5", "--out", conditional, *SMALL) == 0
    words = ["digits", "--mask", "centre", "--steps", "4", "-n", "2", "--out", out]
    made = []
    for label in ([], ["--label", "3"]):
        assert run("restore", conditional, *words, *label) == 0
        made.append(np.load(out)["x"])
    assert not np.array_equal(*made)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "say what to restore"),
        (["--mask", "middle"], "one of left, right"),
        (["--add-noise", "--mask", "left"], "needs --noise-std"),
        (["--noise-std", "5"], "give a fraction of the range, for example 0.1"),
        (["--mask", "left", "--steps", "0"], "at least 1 step"),
        (["--mask", "left", "--label", "3"], "was trained without labels"),
        (["--mask", "left", "-n", "0"], "at least 1"),
        (["--mask", "left", "--out", "x.jpg"], "name a .png"),
    ],
)
def test_what_cannot_be_restored_is_said(
    words: list[str], says: str, small_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert says in refused(capsys, "restore", small_run, "digits", *words)


def test_images_that_do_not_fit_and_points_are_refused(
    small_run: Path, ring: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "points" in refused(capsys, "restore", small_run, "ring", "--mask", "left")
    told = refused(capsys, "restore", ring, "ring", "--mask", "left")
    assert "takes images: use energan.restore in Python" in told
    assert "no-such" in refused(capsys, "restore", small_run, "no-such.png", "--mask", "left")
    Image.new("L", (8, 8)).save(tmp_path / "black.png")
    told = refused(capsys, "restore", small_run, "digits", "--mask", tmp_path / "black.png")
    assert "black.png has no white pixels" in told
