"""`energan classify` and `energan evaluate` of a run that learnt classes from few labels."""

import csv
import json
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.metrics import confusion_matrix

import energan
from energan.core import CheckpointError, DataError, SettingError
from energan.data import DataSettings, open_data
from energan.evaluation.classification import evaluate_classification
from energan.evaluation.evaluate import evaluate
from energan.report.page import write_report
from support.commands import refused, run

SMALL = [
    "--model.hidden", "48", "32", "--data.source", "digits", "--data.range", "unit",
    "--data.labelled", "100", "--training.ema", "0", "--model.energy-optimiser.lr", "0.005",
    "--steps", "60", "--output.checkpoint-every", "20", "--output.sample-every", "0",
    "--threads", "1",
]  # fmt: skip


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A ladder with seeds 0 and 1, and an EBGAN-LN with the same."""
    root = tmp_path_factory.mktemp("runs")
    for model in ("ladder", "ebgan_ln"):
        more = ["--model.generator", "16"] if model == "ebgan_ln" else []
        for seed in ("0", "1"):
            out = ["--out", str(root / f"{model}{seed}")]
            assert run("train", "--model", model, *SMALL, "--seed", seed, *more, *out) == 0
    return [root / f"{model}{seed}" for model in ("ladder", "ebgan_ln") for seed in (0, 1)]


@pytest.fixture
def ladder(trained: list[Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained[0], tmp_path / "ladder"))


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 digits in colour and larger, in folders by class; one file is torn."""
    folder = tmp_path_factory.mktemp("pictures")
    digits = load_digits()
    for i in range(40):
        where = folder / str(digits.target[i])
        where.mkdir(exist_ok=True)
        image = Image.fromarray((digits.images[i] * 15.9).astype(np.uint8)).convert("RGB")
        image.resize((32, 32), Image.Resampling.BICUBIC).save(where / f"{i:02d}.png")
    (folder / "0" / "99.png").write_bytes((folder / "0" / "00.png").read_bytes()[:60])
    return folder


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def kept(path: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((path / "metrics.json").read_text())["classification"]
    return found


# --- classify -------------------------------------------------------------------------------------


def test_a_folder_is_classified(
    ladder: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "new" / "labels.csv"
    assert run("classify", ladder, pictures, "--out", out) == 0
    said = capsys.readouterr().out
    assert "40 classified" in said
    assert "1 could not be read" in said
    assert "99.png: " in said
    assert "least certain (10 of 40)" in said
    found = rows(out)
    assert list(found[0]) == ["file", "label", "probability"]
    assert len(found) == 40
    assert found[0]["file"] == str(pictures / "0" / "00.png")
    right = np.mean([row["label"] == Path(row["file"]).parent.name for row in found])
    assert right > 0.5  # a tenth by chance


def test_python_says_the_same_as_the_command(ladder: Path, pictures: Path, tmp_path: Path) -> None:
    path = next((pictures / "7").iterdir())
    assert run("classify", ladder, path, "--out", tmp_path / "l.csv") == 0
    (row,) = rows(tmp_path / "l.csv")
    image = Image.open(path).convert("L").resize((8, 8), Image.Resampling.LANCZOS)
    x = torch.from_numpy(np.array(image)).float().view(1, 1, 8, 8) / 255
    loaded = energan.load(ladder)
    found = loaded.classify(x)
    assert loaded.classifies
    assert found.labels.dtype == torch.int64
    assert found.probabilities.shape == (1, 10)
    assert row["label"] == loaded.class_names[int(found.labels)]
    assert float(row["probability"]) == pytest.approx(float(found.confidence), abs=1e-3)
    # of all the network's outputs, in float64
    with torch.no_grad():
        logits = loaded.energy_network(x, stream="eval").logits.double()
    torch.testing.assert_close(found.probabilities.double(), logits.softmax(1))


def test_chunks_change_nothing(ladder: Path) -> None:
    loaded, x = energan.load(ladder), torch.rand(1203, 1, 8, 8)
    whole = loaded.classify(x)
    parts = torch.cat([loaded.classify(part).probabilities for part in x.split(100)])
    torch.testing.assert_close(whole.probabilities, parts, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(whole.probabilities.sum(1), torch.ones(1203))


def test_what_cannot_be_classified_is_said(
    ladder: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = {
        "no readable image": [pictures / "0" / "99.png"],
        "does not exist": [tmp_path / "nowhere.png"],
        "name a .csv": [pictures, "--out", tmp_path / "l.txt"],
        "ring": ["ring"],
        "has no checkpoint of step 7": [pictures, "--checkpoint", "7"],
    }
    for message, words in wrong.items():
        assert message in refused(capsys, "classify", ladder, *words)
    assert "holds no run" in refused(capsys, "classify", tmp_path, pictures)
    with pytest.raises(DataError, match="shape"):
        energan.load(ladder).classify(torch.rand(2, 1, 9, 9))
    with pytest.raises(DataError, match="not finite for 1 of 2"):
        energan.load(ladder).classify(
            torch.stack([torch.zeros(1, 8, 8), torch.full((1, 8, 8), torch.nan)])
        )


def test_a_run_without_classes_is_refused(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "gan"
    words = ["--steps", "2", "--threads", "1", "--output.sample-every", "0", "--out", out]
    assert run("train", "gan-mnist", "--data.source", "digits", *words) == 0
    assert "the model gan does not classify" in refused(capsys, "classify", out, pictures)
    said = refused(capsys, "evaluate", out, "--metrics", "error", "--threads", "1")
    assert "--metrics error does not apply: the model gan does not classify" in said
    with pytest.raises(SettingError, match="few labels"):
        energan.load(out).classify(torch.rand(2, 1, 8, 8))
    said = refused(
        capsys, "train", "gan-mnist", "--data.source", "digits", *words[:4],
        "--keep-best", "error", "--out", tmp_path / "no",
    )  # fmt: skip
    assert "--keep-best error does not apply: the model gan does not classify" in said
    assert not (tmp_path / "no").exists()


# --- evaluate -------------------------------------------------------------------------------------


def test_the_error_is_of_held_out_labels_with_its_protocol(
    ladder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("evaluate", ladder, "--threads", "1") == 0
    said = capsys.readouterr().out
    assert "180 labelled images of digits, held-out part" in said
    assert "true \\ found" in said
    [entry] = kept(ladder)
    loaded = energan.load(ladder)
    held = open_data(DataSettings(source="digits", range="unit")).held_out
    assert held is not None
    assert held.labels is not None
    found = loaded.classify(held.gather(torch.arange(len(held))).x)
    wrong = int((found.labels != held.labels).sum())
    assert (entry["count"], entry["wrong"], entry["part"]) == (len(held), wrong, "held-out")
    assert entry["error"] == pytest.approx(wrong / len(held), rel=1e-5)
    assert entry["confusion"] == confusion_matrix(held.labels, found.labels).tolist()
    low, high = entry["error_interval"]
    assert low < entry["error"] < high
    assert (entry["step"], entry["weights"]) == (60, "raw")
    assert len(entry["weights_sha256"]) == len(entry["data"]["sha256"]) == 64
    assert sum(b["count"] for b in entry["bins"]) == len(held)
    for name in ("confusion.png", "reliability.png"):
        with Image.open(ladder / name) as image:
            assert min(image.size) > 300


def test_the_same_evaluation_gives_the_same_file(ladder: Path) -> None:
    assert run("evaluate", ladder, "--threads", "1") == 0
    first = (ladder / "metrics.json").read_bytes()
    assert run("evaluate", ladder, "--metrics", "error", "--threads", "1") == 0
    assert (ladder / "metrics.json").read_bytes() == first
    assert run("evaluate", ladder, "--checkpoint", "40", "--threads", "1") == 0
    assert [entry["step"] for entry in kept(ladder)] == [40, 60]


def test_images_of_the_users_judge(
    ladder: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Class folders are matched by name: here two are missing and one is unknown."""
    own = tmp_path / "own"
    shutil.copytree(pictures, own)
    for name in ("1", "2"):
        shutil.rmtree(own / name)
    (own / "7").rename(own / "seven")
    (own / "0" / "99.png").unlink()
    assert run("evaluate", ladder, "--reference", own, "--threads", "1") == 0
    [entry] = [e for e in kept(ladder) if e["part"] == str(own)]
    names = [path.parent.name for path in sorted(own.rglob("*.png"))]
    known = [name for name in names if name != "seven"]
    assert entry["part"] == str(own)
    assert (entry["count"], entry["data"]["left_out"]) == (len(known), len(names) - len(known))
    counts = np.array(entry["confusion"]).sum(1)
    assert counts.tolist() == [known.count(str(k)) for k in range(10)]
    assert "have no label, or one that the run does not know" in capsys.readouterr().out
    (own / "flat").mkdir()
    for path in own.rglob("*.png"):
        path.rename(own / "flat" / path.name)
    said = refused(capsys, "evaluate", ladder, "--reference", own / "flat", "--threads", "1")
    assert "has no labels to compare with" in said
    assert "--labels FILE.csv" in said


def test_seeds_stand_together_and_in_pairs(
    trained: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "all.json"
    words = ["--metrics", "error", "--threads", "1", "--out", out]
    assert run("evaluate", *trained, *words) == 0
    said = capsys.readouterr().out
    assert "error in %, 100 labels" in said
    assert "ebgan_ln − ladder" in said
    stored = json.loads(out.read_text())
    errors = [entry["classification"]["error"] for entry in stored["runs"]]
    first, second = stored["classification"]["systems"]
    assert first["errors"] == pytest.approx(errors[:2])
    assert first["mean"] == pytest.approx(sum(errors[:2]) / 2, rel=1e-4)
    assert second["std"] == pytest.approx(abs(errors[2] - errors[3]) / math.sqrt(2), rel=1e-4)
    [pair] = stored["classification"]["paired_differences"]
    gaps = [errors[2] - errors[0], errors[3] - errors[1]]
    assert pair["mean_of_b_minus_a"] == pytest.approx(sum(gaps) / 2, abs=1e-6)
    half = 12.7062 * abs(gaps[0] - gaps[1]) / 2  # t of one degree of freedom
    assert pair["interval"][1] - pair["interval"][0] == pytest.approx(2 * half, abs=1e-4)


def test_samples_of_a_run_that_makes_them_are_scored_too(
    trained: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--metrics", "error", "swd", "--samples", "100", "--threads", "1"]
    assert run("evaluate", trained[2], *words) == 0
    said = capsys.readouterr().out
    assert "calibration error" in said
    assert "sliced_wasserstein" in said
    stored = json.loads((trained[2] / "metrics.json").read_text())
    assert [m["name"] for m in stored["evaluations"][0]["metrics"]] == ["sliced_wasserstein"]
    assert stored["classification"]
    said = refused(capsys, "evaluate", trained[0], "--metrics", "swd", "--threads", "1")
    assert "the model ladder makes no samples" in said
    with pytest.raises(SettingError, match="--metrics error"):
        evaluate(energan.load(trained[0]))


# --- on the way -----------------------------------------------------------------------------------


def test_checkpoints_score_the_error_and_the_best_has_the_least(ladder: Path) -> None:
    loaded = energan.load(ladder)
    made = {event["step"]: event for event in loaded.events("score")}
    assert sorted(made) == [0, 20, 40, 60]
    assert all(0 <= e["error"] <= 1 and 0 <= e["calibration_error"] <= 1 for e in made.values())
    assert made[0]["error"] > 0.5 > made[60]["error"]
    there = {int(path.name[-6:]) for path in (ladder / "checkpoints").iterdir()}
    best = energan.load(ladder, checkpoint="best")
    assert made[best.step]["error"] == min(made[step]["error"] for step in there)
    # the figure on the way is that of the checkpoint
    assert evaluate_classification(loaded).record["error"] == pytest.approx(
        made[60]["error"], abs=1e-5
    )


def test_the_report_has_a_section(ladder: Path) -> None:
    assert run("evaluate", ladder, "--threads", "1") == 0
    page = write_report([ladder]).read_text()
    assert "<h2>Classification</h2>" in page
    error = kept(ladder)[0]["error"]
    assert f"<td>{100 * error:.2f}</td>" in page
    assert "There are none yet" not in page
    assert (ladder / "report" / "confusion.png").is_file()


# --- a user's own few labels ----------------------------------------------------------------------


def test_a_csv_of_few_labels_is_learnt_from_and_judged_by(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flat = tmp_path / "flat"
    flat.mkdir()
    lines = ["file,label"]
    for path in sorted(pictures.rglob("??.png")):
        if path.name != "99.png":
            shutil.copy(path, flat / path.name)
            lines.append(f"{path.name},digit {path.parent.name}")
    (tmp_path / "few.csv").write_text("\n".join([lines[0], *lines[1:30]]) + "\n")
    (tmp_path / "all.csv").write_text("\n".join(lines) + "\n")
    out = tmp_path / "run"
    words = ["--model.hidden", "16", "12", "--data.range", "unit", "--data.size", "8",
             "--data.held-out", "0", "--steps", "4", "--training.ema", "0", "--threads", "1",
             "--output.sample-every", "0", "--out", out]  # fmt: skip
    few = tmp_path / "few.csv"
    assert run("train", "--model", "ladder", "--data", flat, "--data.labels", few, *words) == 0
    classes = energan.load(out).class_names
    assert set(classes) <= {f"digit {k}" for k in range(10)}
    made = tmp_path / "made.csv"
    assert run("classify", out, flat, "--out", made) == 0
    assert len(rows(made)) == 40  # all, those that were trained on too
    assert {row["label"] for row in rows(made)} <= set(classes)
    said = refused(capsys, "evaluate", out, "--threads", "1")
    assert "no labelled example" in said
    assert "--labels FILE.csv" in said
    assert "add --reference" in refused(capsys, "evaluate", out, "--labels", few)
    words = ["--reference", flat, "--labels", tmp_path / "all.csv", "--threads", "1"]
    assert run("evaluate", out, *words) == 0
    assert "do not read this error as a test error" in capsys.readouterr().out
    [entry] = kept(out)
    assert entry["count"] + entry["data"].get("left_out", 0) == 40
    with pytest.raises(CheckpointError, match="use last"):  # nothing was held out to choose by
        energan.load(out, checkpoint="best")


def test_if_only_a_torn_file_is_held_out_nothing_labelled_is(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flat, labels = tmp_path / "flat", tmp_path / "labels.csv"
    flat.mkdir()
    with labels.open("w") as file:
        file.write("file,label\n")
        for path in sorted(pictures.rglob("*.png")):
            shutil.copy(path, flat / path.name)
            if path.name != "99.png":
                file.write(f"{path.name},{path.parent.name}\n")
    words = ["--model.hidden", "16", "12", "--data.range", "unit", "--data.size", "8",
             "--steps", "2", "--training.ema", "0", "--threads", "1",
             "--output.sample-every", "0", "--out", tmp_path / "run"]  # fmt: skip
    assert run("train", "--model", "ladder", "--data", flat, "--data.labels", labels, *words) == 0
    said = refused(capsys, "evaluate", tmp_path / "run", "--threads", "1")
    assert "no labelled example of" in said
    assert "--reference" in said
