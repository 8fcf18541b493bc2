"""Other data ranked by energy: sets, their rows, metrics.json, the page."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

import energan
from energan.cli.evaluate_ood import score_ood
from energan.core import DataError, SettingError
from energan.evaluation import metrics_file, ood
from energan.evaluation.ood import MORE_LIKE, NO_ORDER, out_of_distribution
from energan.inference.run import Run
from energan.io.run_folder import RunFolder
from energan.report.page import write_report
from energan.report.run.contents import RunContents
from energan.report.run.ood import draw_energies, draw_newest, tabulate

QUIET = {"log_every": 5, "sample_every": 10, "checkpoint_every": 10, "tensorboard": False}
SMALL: dict[str, Any] = {"generator": [8], "encoder": [8]}


def trained(recipe: str, out: Path, **more: Any) -> Run:
    energan.train(
        recipe, steps=10, out=out, engine={"threads": 1}, output=QUIET, progress=False, **more
    )
    return Run(out)


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return trained("ebgan-digits", tmp_path_factory.mktemp("runs") / "digits", model=SMALL)


@pytest.fixture(scope="module")
def ring(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return trained("gan-ring", tmp_path_factory.mktemp("runs") / "ring")


def bright(x: Tensor, condition: Tensor | None = None) -> Tensor:
    """An energy that is known: the mean of an image."""
    return x.flatten(1).mean(1)


def test_rows_are_what_pairs_of_events_say(digits: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a known energy each figure is to be had by counting."""
    monkeypatch.setattr(digits, "energy", bright)
    found = out_of_distribution(digits, ["all"], samples=60, seed=4)
    assert [row["name"] for row in found.sets] == list(ood.KINDS)
    rows = {row["name"]: row for row in found.sets}
    own = found.record["held_out"]
    assert (own["split"], own["events"], own["of"]) == ("held-out", 60, 180)
    # pixels that change places keep their mean, and a negative has the opposite one
    assert rows["shuffled"]["auroc"] == pytest.approx(0.5, abs=2e-3)
    assert rows["shuffled"]["note"] == NO_ORDER
    assert rows["inverted"]["mean_energy"] == pytest.approx(-own["mean_energy"], rel=1e-3)
    for row in found.sets:
        assert row["low"] <= row["auroc"] <= row["high"]
        assert row["events"] == 60
    monkeypatch.setattr(digits, "energy", lambda x, condition=None: -bright(x))
    turned = {r["name"]: r for r in out_of_distribution(digits, ["inverted"], samples=60).sets}
    assert turned["inverted"]["auroc"] < 0.5
    assert turned["inverted"]["note"] == MORE_LIKE


def test_the_same_call_gives_the_same_file_and_others_join_it(digits: Run) -> None:
    file = digits.path / "metrics.json"
    out_of_distribution(digits, ["noise,mixup", "textures"], samples=40)
    first = file.read_bytes()
    out_of_distribution(digits, ["textures", "noise"], samples=40)
    assert file.read_bytes() == first
    made = out_of_distribution(digits, ["constant"], samples=40)
    assert [row["name"] for row in made.sets] == ["constant"]
    assert [r.name for r in made.results] == ["auroc_constant"]
    [entry] = [e for e in metrics_file.read(digits.path).outside if e["samples"] == 40]
    assert [s["name"] for s in entry["sets"]] == ["noise", "constant", "textures", "mixup"]
    assert entry["weights_sha256"] == digits.network.sha256
    assert all(len(s["sha256"]) == 64 for s in [*entry["sets"], entry["held_out"]])
    out_of_distribution(digits, ["noise"], samples=40, seed=1)
    one, other = (
        next(s for s in e["sets"] if s["name"] == "noise")
        for e in metrics_file.read(digits.path).outside
        if e["samples"] == 40
    )
    assert one["sha256"] != other["sha256"]


def test_evaluations_and_other_data_leave_each_other_alone(tmp_path: Path) -> None:
    from energan.evaluation.evaluate import evaluate

    run = trained("gan-ring", tmp_path / "r")
    words: dict[str, Any] = {"metrics": ["modes"], "samples": 50, "resamples": 5}
    evaluate(run, **words)
    before = json.loads((run.path / "metrics.json").read_text())
    assert list(before) == ["format", "run", "evaluations"]  # as it was before there were others
    out_of_distribution(run, ["noise"], samples=50)
    both = json.loads((run.path / "metrics.json").read_text())
    assert {name: both[name] for name in before} == before
    evaluate(run, **words)
    assert json.loads((run.path / "metrics.json").read_text()) == both
    (run.path / "metrics.json").write_text("{")
    out_of_distribution(run, ["noise"], samples=50)
    assert (run.path / "metrics.json.damaged").read_text() == "{"
    assert metrics_file.read(run.path).evaluations == []
    assert len(metrics_file.read(run.path).outside) == 1


def test_other_extractors_have_entries_of_their_own(digits: Run, tmp_path: Path) -> None:
    run = Run(digits.path)
    run.folder = RunFolder(tmp_path)
    for sha, value in (("a", 1.0), ("b", 2.0), ("a", 3.0)):
        record = {
            **metrics_file.about_run(run, 0, 10, 10), "extractor": {"sha256": sha},
            "complete": False, "reference": None,
            "metrics": [{"name": "frechet_distance", "value": value}],
        }  # fmt: skip
        metrics_file.write_evaluation(run, record)
    found = {
        e["extractor"]["sha256"]: e["metrics"][0]["value"]
        for e in metrics_file.read(tmp_path).evaluations
    }
    assert found == {"a": 3.0, "b": 2.0}


def test_folders_are_prepared_as_the_run_was(digits: Run, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for i in range(7):
        Image.fromarray(rng.integers(0, 256, (20, 31, 3), dtype=np.uint8)).save(
            tmp_path / f"{i}.png"
        )
    (tmp_path / "torn.png").write_bytes(b"no picture")
    [row] = out_of_distribution(digits, [str(tmp_path)]).sets
    assert (row["events"], row["of"], row["part"], row["unreadable"]) == (7, 7, "all", 1)
    assert row["made"] is False


def test_points_and_other_points(ring: Run) -> None:
    found = out_of_distribution(ring, ["all", "moons", "grid"], samples=100)
    assert [row["name"] for row in found.sets] == ["noise", "gaussian", "mixup", "moons", "grid"]
    assert found.sets[-1]["part"] == "held-out"


@pytest.mark.parametrize(
    ("sets", "said"),
    [
        (["shufled"], "did you mean shuffled"),
        (["cifar1O"], "did you mean cifar10"),
        (["digits"], "is the data that .* was trained on: name other data"),
        (["/no/such/folder"], "--ood /no/such/folder: .*does not exist"),
        (["mnist"], "--ood mnist: mnist was not found: ENERGAN_DATA is not set"),
        (["ring"], "holds points, and the run was trained on images"),
        ([], "--ood: name all, noise"),
        ([","], "--ood: name all, noise"),
    ],
)
def test_what_cannot_be_ranked_is_said(
    sets: list[str], said: str, digits: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ENERGAN_DATA", raising=False)
    with pytest.raises((SettingError, DataError), match=said):
        out_of_distribution(digits, sets)


def test_what_makes_no_sense_is_said(ring: Run, digits: Run) -> None:
    with pytest.raises(SettingError, match=r"shuffled is made of images, .* trained on points"):
        out_of_distribution(ring, ["noise", "shuffled"])
    with pytest.raises(SettingError, match="give at least 2"):
        out_of_distribution(ring, ["noise"], samples=1)
    with pytest.raises(SettingError, match="give 0 or more"):
        out_of_distribution(ring, ["noise"], seed=-1)


def test_baselines_stand_beside_each_set(
    digits: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As the scorers say of the same events; in the file, on the terminal and on the page."""
    names = ["mean image", "PCA", "nearest neighbour"]
    monkeypatch.setattr(digits, "energy", bright)
    monkeypatch.setattr(ood, "JUDGED", 45)
    found = score_ood(digits, ["noise", "shuffled"], 70, 0, None)
    assert "training images at 8x8" in found.record["baselines"]
    for row in found.sets:
        assert [one["name"] for one in row["baselines"]] == names
        for one in row["baselines"]:
            assert one["difference"] == pytest.approx(one["energy_auroc"] - one["auroc"], abs=1e-6)
            assert one["low"] <= one["difference"] <= one["high"]
    assert found.sets[0]["baselines"][2]["auroc"] > 0.99  # noise is near to no digit
    said = capsys.readouterr().out
    best = max(found.sets[1]["baselines"], key=lambda one: one["auroc"])
    assert f"shuffled: {best['name']} ({best['auroc']:.3f}) is better than this energy (0.5" in said
    stored = [e for e in metrics_file.read(digits.path).outside if e["samples"] == 70]
    assert stored[0]["sets"] == found.sets
    page = write_report([digits.path], digits.path / "b.html", data=False).read_text()
    assert f"({best['name']})<small>−0." in page


def test_no_baselines_of_what_they_are_fitted_to(tmp_path: Path) -> None:
    run = trained("ebgan-digits", tmp_path / "all", model=SMALL, data={"held_out": 0})
    found = out_of_distribution(run, ["noise"], samples=30)
    assert "baselines" not in found.record
    assert "baselines" not in found.sets[0]


def test_energies_that_are_no_numbers(digits: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of other data they count as the highest; a run without energies of its own data is none."""
    held_out = out_of_distribution(digits, ["constant"], samples=30).record["held_out"]["events"]
    calls: list[int] = []

    def energy(x: Tensor, condition: Tensor | None = None) -> Tensor:
        calls.append(len(x))
        broken = torch.where(torch.arange(len(x)) < 10, float("nan"), x.flatten(1).mean(1))
        return broken if len(calls) > 1 else x.flatten(1).mean(1)

    monkeypatch.setattr(digits, "energy", energy)
    [row] = out_of_distribution(digits, ["constant"], samples=30).sets
    assert (row["not_finite"], row["events"], held_out) == (10, 30, 30)
    assert row["auroc"] >= 1 / 3
    with pytest.raises(DataError, match="cannot rank other data"):
        out_of_distribution(digits, ["constant"], samples=30)


def test_labelled_runs_are_judged_under_any_label(tmp_path: Path) -> None:
    run = trained("cebgan-digits", tmp_path / "c")
    x = torch.rand(6, *run.domain.shape)
    assert run.classes == 10
    each = torch.stack([run.energy(x, torch.full((6,), y)) for y in range(10)])
    assert torch.allclose(run.energy(x), each.amin(0), rtol=1e-5)
    assert len(out_of_distribution(run, ["all"], samples=30).sets) == len(ood.KINDS)


def test_the_page_shows_them(digits: Run) -> None:
    found = out_of_distribution(digits, ["all"], samples=30)
    picture = draw_energies(found.record)
    assert picture is not None
    assert picture.light.startswith(b"\x89PNG")
    page = write_report([digits.path], digits.path / "page.html", data=False).read_text()
    assert "Energy of other data" in page
    for row in found.sets:
        assert f'<th scope="row">{row["name"]}</th>' in page
    assert (digits.path / "page-figures" / "energies-of-other-data.png").is_file()


@pytest.mark.parametrize("damage", ["sets", "energies", "auroc", "held_out", "shares"])
def test_what_is_damaged_is_left_out(digits: Run, damage: str, tmp_path: Path) -> None:
    found = out_of_distribution(digits, ["noise", "constant"], samples=35).record
    entry = {**found, "sets": [dict(s) for s in found["sets"]]}
    if damage in ("energies", "auroc"):
        entry["sets"][0][damage] = "nonsense"
    else:
        entry[damage] = ["nonsense"]
    (tmp_path / "metrics.json").write_text(json.dumps({"out_of_distribution": [entry]}))
    contents = RunContents(RunFolder(tmp_path), "", {}, [])
    rows = [row[0] for ranking in tabulate(contents) for row in ranking.rows]
    named = [s["name"] for s in found["sets"]]
    left = {"sets": [], "held_out": [], "auroc": named[1:]}.get(damage, named)
    assert rows == left
    assert len(draw_newest(contents)) == (damage in ("energies", "auroc"))


@pytest.mark.parametrize("held_out", [24, 3])
def test_held_out_groups_are_resampled_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, held_out: int
) -> None:
    """Eight patients of three images each are held out, or a single one."""
    photos, rng = tmp_path / "photos", np.random.default_rng(0)
    photos.mkdir()
    for i in range(60):
        pixels = rng.integers(0, 40 + 8 * (i // 3), (8, 8), dtype=np.uint8)
        Image.fromarray(pixels).save(photos / f"p{i // 3:02d}-{i}.png")
    data = {"source": str(photos), "groups": r"(p\d+)", "held_out": held_out}
    run = trained("ebgan-digits", tmp_path / "run", model=SMALL, data=data)
    monkeypatch.setattr(run, "energy", bright)
    made = out_of_distribution(run, ["noise", "inverted"])
    for row, result in zip(made.sets, made.results, strict=True):
        if held_out == 3:
            assert "low" not in row
            assert row["note"] == ood.ONE_GROUP
            assert (result.low, result.interval) == (None, None)
            continue
        assert row["low"] <= row["auroc"] <= row["high"]
        assert "of a bootstrap over 8 groups of held-out data" in str(result.interval)
    (table,) = tabulate(RunContents(RunFolder(run.path), "", {}, []))
    ends = [cell[1] for _, cell, *_ in table.rows if isinstance(cell, tuple)]
    assert [bool(text) for text in ends] == [held_out == 24] * 2
