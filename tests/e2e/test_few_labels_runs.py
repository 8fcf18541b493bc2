"""What a user sees of runs that learn from few labels, beside what they classify."""

import json
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from energan.core import SettingError
from energan.exporters.write import export
from energan.inference.run import Run
from energan.report.figures import draw
from energan.report.figures.options import FigureOptions
from support.commands import run

pytestmark = pytest.mark.usefixtures("onnx_operators_listed_once")

WORDS = ["--data", "digits", "--data.range", "unit", "--model.hidden", "16", "12", "--threads", "1",
         "--training.batch-size", "20", "--model.labelled", "20", "--steps", "12",
         "--output.sample-every", "6", "--output.log-every", "2",
         "--output.no-tensorboard"]  # fmt: skip
LN = ["--model.generator", "16", "--model.margin", "linear(16, 0, 6)", "--model.until", "6"]


@pytest.fixture(scope="module")
def ladder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "ladder"
    assert run("train", "--model", "ladder", *WORDS, "--out", out) == 0
    return out


@pytest.fixture(scope="module")
def ebgan_ln(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "ln"
    assert run("train", "--model", "ebgan_ln", *WORDS, *LN, "--out", out) == 0
    return out


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*"))


def test_previews_are_of_reconstructions_and_of_samples_where_there_are_any(
    ladder: Path, ebgan_ln: Path
) -> None:
    drawn = ["step-000006.png", "step-000012.png"]
    assert names(ladder / "reconstructions") == names(ebgan_ln / "reconstructions") == drawn
    assert names(ebgan_ln / "samples") == drawn
    assert not (ladder / "samples").exists()
    with Image.open(ladder / "reconstructions" / drawn[0]) as image:
        assert image.size == (12 * 66 + 2, 6 * 66 + 2)  # two rows of twelve, each of three
        assert image.text["step"] == "6"
    told = Run(ladder).events("reconstructions")
    assert [e["path"] for e in told] == [f"reconstructions/{name}" for name in drawn]


def test_the_end_of_a_training_tells_what_there_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    assert run("train", "--model", "ladder", *WORDS, "--steps", "2", "--out", out) == 0
    first, second, error, about, _, *rows, last, more = capsys.readouterr().out.splitlines()
    assert [first, second, more] == [
        f"reconstructions: {out}/reconstructions/step-000002.png",
        f"curves:  {out}/curves.png",
        f"more:    energan classify {out} IMAGES, and energan evaluate {out} "
        "(add --reference LABELLED if no labelled examples are held out)",
    ]
    kept = json.loads((out / "metrics.json").read_text())["classification"][0]
    assert error.startswith(f"error {100 * kept['error']:.2f} % [")
    labels = json.loads((out / "config.json").read_text())["resolved"]["data"]["labelled"]
    assert about.startswith(f"baselines, fitted to the same {labels:,} labels; label spreading")
    found = {one["name"]: one["error"] for one in kept["baselines"]["compared"]}
    assert [*found] == ["logistic regression", "HOG + linear SVM", "label spreading"]
    for row, (name, share) in zip(rows, found.items(), strict=True):
        assert row.startswith(name)
        assert f"{100 * share:.2f} [" in row
    # after two steps a ladder network is no better than chance
    best = min(found, key=found.__getitem__)
    assert last.startswith(f"verdict: this run is worse than the best baseline, {best}: ")
    assert run("classify", out, "digits") == 0
    assert f"by `energan evaluate`: {last.removeprefix('verdict: ')}" in capsys.readouterr().out


def test_a_generator_that_rests_still_draws(ebgan_ln: Path) -> None:
    run_ = Run(ebgan_ln)
    assert not run_.sampler.learns(run_.step)
    x = run_.sample(7)
    assert x.shape == (7, 1, 8, 8)
    assert 0 <= float(x.min()) < float(x.max()) <= 1
    assert "energy_fake" not in run_.events("step")[-1]


@pytest.mark.parametrize(
    "words", [("sample",), ("neighbours",), ("figures", "samples"), ("figures", "seeds")]
)
def test_samples_of_a_run_that_makes_none_are_refused_with_what_it_can_do(
    words: tuple[str, ...], ladder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*words, ladder, "--out", tmp_path / "x.png") == 2
    said = capsys.readouterr().err
    assert "the model ladder makes no samples; it classifies: energan classify" in said
    assert said.count("\n") == 1


def test_chains_follow_the_energy_of_a_ladder(ladder: Path, tmp_path: Path) -> None:
    out = tmp_path / "chains.png"
    assert run("sample", ladder, "--chains", "4", "--steps", "3", "--out", out) == 0
    assert out.is_file()


def test_the_report_shows_what_there_is(ladder: Path, ebgan_ln: Path, tmp_path: Path) -> None:
    page = tmp_path / "both.html"
    assert run("report", ladder, ebgan_ln, "--out", page) == 0
    text = page.read_text()
    assert "Reconstructions over time" in text
    assert "makes no samples" not in text
    pictures = names(tmp_path / "both-figures")
    assert {"ladder-curves-labels.png", "ladder-reconstruction-worst.png"} <= set(pictures)
    assert "ln-samples.png" in pictures
    assert "ladder-samples.png" not in pictures


def test_the_list_tells_both(
    ladder: Path, ebgan_ln: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for folder in (ladder, ebgan_ln):
        assert run("runs", folder) == 0
        assert "error" in capsys.readouterr().out


@pytest.mark.parametrize("format", ["torch", "onnx"])
def test_a_classifier_is_exported_and_gives_what_the_run_gives(
    format: str, ladder: Path, tmp_path: Path
) -> None:
    run_ = Run(ladder)
    made = {one.part: one for one in export(run_, format, tmp_path)}
    assert sorted(made) == ["classifier", "energy"]
    x = torch.rand(7, 1, 8, 8)
    if format == "onnx":
        import onnxruntime

        path = str(made["classifier"].path)
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        found = torch.from_numpy(session.run(["probabilities"], {"x": x.numpy()})[0])
    else:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            loaded = torch.jit.load(made["classifier"].path)
        found = loaded(x)
    torch.testing.assert_close(found, run_.classify(x).probabilities.float(), rtol=1e-4, atol=1e-5)
    listed = json.loads((tmp_path / "export.json").read_text())["files"]
    about = listed[made["classifier"].path.name]
    assert about["class_names"] == [str(k) for k in range(10)]
    assert about["classes"] == 10


def test_what_learns_no_classes_has_no_classifier(tmp_path: Path) -> None:
    small = ["--model.generator", "8", "--model.encoder", "8", "--threads", "1", "--steps", "2"]
    assert run("train", "ebgan-digits", *small, "--out", tmp_path / "x") == 0
    with pytest.raises(SettingError, match="learns no classes"):
        export(Run(tmp_path / "x"), "torch", part="classifier")


# --- figure 10 ------------------------------------------------------------------------------------


def test_seeds_stand_in_their_order_each_with_its_own_samples(
    ebgan_ln: Path, tmp_path: Path
) -> None:
    other = tmp_path / "s3"
    words = [*WORDS, *LN, "--seed", "3"]
    assert run("train", "--model", "ebgan_ln", *words, "--out", other) == 0
    drawn = draw("seeds", [other, ebgan_ln], FigureOptions(n=4))
    assert [t.get_text() for t in drawn.figure.texts] == ["seed 0", "seed 3"]
    assert not drawn.notes
    assert "4 unpicked samples of EBGAN-LN for each of the seeds 0, 3" in drawn.description
    first, second = (axes.images[0].get_array() for axes in drawn.figure.axes)
    assert not np.array_equal(first, second)


def test_what_differs_beside_the_seed_is_said(ebgan_ln: Path, tmp_path: Path) -> None:
    words = [*WORDS, *LN, "--seed", "3", "--model.contrast", "0.5"]
    assert run("train", "--model", "ebgan_ln", *words, "--out", tmp_path / "x") == 0
    notes = draw("seeds", [ebgan_ln, tmp_path / "x"], FigureOptions(n=4)).notes
    assert notes == ["the runs differ in more than their seeds: contrast"]
    again = draw("seeds", [ebgan_ln, ebgan_ln], FigureOptions(n=4)).notes
    assert again == ["some of the runs have the same seed"]


def test_seeds_of_different_models_are_refused(ebgan_ln: Path, ladder: Path) -> None:
    with pytest.raises(SettingError, match="of one model"):
        draw("seeds", [ebgan_ln, ladder])


def test_photographs_are_said_to_be_for_another_recipe(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    draws = np.random.default_rng(0)
    for i in range(8):
        path = tmp_path / "photos" / f"c{i % 2}" / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(draws.integers(256, size=(40, 40, 3), dtype=np.uint8)).save(path)
    small = ["--steps", "1", "--model.hidden", "8", "8", "--model.labelled", "4", "--threads", "1"]
    data = ["--data", tmp_path / "photos", "--data.held-out", "0"]
    assert run("train", "few-labels", *data, *small, "--out", tmp_path / "r") == 0
    said = capsys.readouterr()
    assert "images are resized to 28x28 and flattened" in said.err
    assert "for photographs use energan train few-labels-photos" in said.err
    assert "baselines" not in said.out  # there is nothing to compare with
    small = ["--steps", "1", "--model.width", "4", "--model.labelled", "4", "--threads", "1"]
    assert run("train", "few-labels-photos", *data, *small, "--out", tmp_path / "p") == 0
    assert "flattened" not in capsys.readouterr().err
