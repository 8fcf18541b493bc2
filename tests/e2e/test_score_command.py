"""`energan score` and `energan anomaly` as a user types them, on small networks."""

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits

import energan
from energan.core import SettingError
from support.commands import refused, run

SMALL = [
    "--model.generator", "16", "--model.encoder", "16", "--model.latent", "4",
    "--output.checkpoint-every", "20", "--output.sample-every", "40", "--threads", "1",
]  # fmt: skip


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "eight"
    words = ["--steps", "40", "--out", out, "--data.classes", *"01234567", *SMALL]
    assert run("train", "ebgan-digits", *words) == 0
    return out


@pytest.fixture
def fresh(trained: Path) -> Path:
    """The run without a calibration."""
    (trained / "calibration.json").unlink(missing_ok=True)
    return trained


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Four in colour, of 20x30 pixels, as two classes."""
    for i in range(4):
        folder = tmp_path / "photos" / "ab"[i % 2]
        folder.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(i).integers(0, 256, (30, 20, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{i}.png")
    return tmp_path / "photos"


FITTED = (
    "channels: 4 of 4 images in colour, converted to grey",
    "cut off: 4 of 4 images are not square; 33% of them is cut off",
    "size: 4 of 4 images shrunk to 8x8, from 20 pixels a side",
)


@pytest.mark.parametrize(
    "words",
    [
        ("score", "RUN", "PHOTOS"),
        ("score", "RUN", "digits", "--calibrate", "PHOTOS", "--fpr", "0.5"),
        ("evaluate", "RUN", "--ood", "PHOTOS"),
        ("restore", "RUN", "PHOTOS", "--mask", "left", "--steps", "2", "--out", "OUT/r.png"),
        ("features", "PHOTOS", "--with", "RUN", "--held-out", "1", "--out", "OUT/f.npz"),
        ("evaluate", "RUN", "--reference", "PHOTOS", "--metrics", "sliced_wasserstein"),
    ],
)
def test_what_fits_images_to_the_run_is_told(
    trained: Path, photos: Path, words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    places = {"RUN": str(trained), "PHOTOS": str(photos)}
    given = [places.get(word, word.replace("OUT", str(photos.parent))) for word in words]
    run(*given)  # whether four images are enough for it or not
    said = capsys.readouterr()
    for fact in FITTED:
        assert fact in said.out + said.err


def test_a_training_tells_that_it_enlarges(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--data", photos, "--data.held-out", "0", "--steps", "1", "--out", tmp_path / "run"]
    assert run("train", "few-labels", *words, "--threads", "1") == 0
    assert "size: 4 of 4 images enlarged to 28x28, from 20 pixels" in capsys.readouterr().err


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """25 digits, and 5 of them in negative; one file is torn."""
    folder = tmp_path_factory.mktemp("pictures")
    images = (load_digits().images * 15.9).astype(np.uint8)
    for name, chosen in (("good", images[:25]), ("negative", 255 - images[:5])):
        (folder / name).mkdir()
        for i, image in enumerate(chosen):
            Image.fromarray(image).resize((32, 32)).save(folder / name / f"{i:02d}.png")
    (folder / "good" / "99.png").write_bytes((folder / "good" / "00.png").read_bytes()[:60])
    return folder


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_few_held_out_images_give_the_lowest_rate_that_they_allow(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, held_out = tmp_path / "few", ("--data.held-out", "10", "--steps", "2")
    assert run("train", "ebgan-digits", *held_out, "--out", out, *SMALL) == 0
    assert run("score", out, pictures, "--fpr", "0.05") == 2
    assert "needs at least 19" in capsys.readouterr().err
    assert run("score", out, pictures) == 0
    said = capsys.readouterr().err
    assert "the threshold allows 9.1 % false positives, as 10 held-out images allow no less" in said
    kept = energan.load(out).calibration
    assert kept is not None
    assert kept.fpr == kept.lowest_fpr == 0.091  # 1/11, rounded up
    assert kept.threshold == float(kept.energies.max())


def test_a_folder_is_scored(
    fresh: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, maps = tmp_path / "new" / "scores.csv", tmp_path / "maps"
    words = ["--out", out, "--heatmaps", maps, "--limit-heatmaps", "3"]
    assert run("score", fresh, pictures, *words) == 0
    said = capsys.readouterr()
    assert "no threshold yet: calibrating on the run's own held-out part" in said.err
    assert "30 scored" in said.out
    assert "1 could not be read" in said.out
    assert "99.png: " in said.out
    assert "AUROC" in said.out
    assert "5 anomalous, 25 normal" in said.out
    found = rows(out)
    assert len(found) == 30
    assert found[0]["image"] == str(pictures / "good" / "00.png")
    assert {r["label"] for r in found} == {"good", "negative"}
    kept = json.loads((fresh / "calibration.json").read_text())
    assert kept["energies"] == sorted(kept["energies"])
    for row in found:
        energy = float(row["energy"])
        share = 100 * sum(e <= energy for e in kept["energies"]) / kept["count"]
        assert float(row["percentile"]) == pytest.approx(share, abs=100 / kept["count"] + 0.01)
        assert row["anomalous"] == ("yes" if energy > kept["threshold"] else "no")
    worst = sorted(found, key=lambda r: -float(r["energy"]))[0]
    names = sorted(p.name for p in maps.iterdir())
    assert len(names) == 3
    assert names[0] == f"001-{Path(worst['image']).name}"


def test_python_says_the_same_as_the_command(fresh: Path, pictures: Path, tmp_path: Path) -> None:
    assert run("score", fresh, pictures / "good" / "03.png", "--out", tmp_path / "s.csv") == 0
    (row,) = rows(tmp_path / "s.csv")
    image = Image.open(pictures / "good" / "03.png").resize((8, 8), Image.Resampling.LANCZOS)
    x = torch.from_numpy(np.array(image)).float().view(1, 1, 8, 8) / 127.5 - 1
    loaded = energan.load(fresh)
    scores = loaded.score(x)
    assert float(row["energy"]) == pytest.approx(float(scores.energy), rel=1e-4)
    assert row["anomalous"] == ("yes" if scores.anomalous[0] else "no")
    made = loaded.reconstruct(x)
    torch.testing.assert_close(loaded.heatmap(x), (x - made).square().sum(1))
    # the energy is the l2 norm, so the map sums to its square
    total = loaded.heatmap(x).sum().sqrt()
    torch.testing.assert_close(total, scores.energy[0], rtol=1e-4, atol=1e-4)


def test_calibrating_in_python(fresh: Path) -> None:
    loaded = energan.load(fresh)
    x = torch.rand(60, 1, 8, 8) * 2 - 1
    with pytest.raises(SettingError, match=r"no threshold: call run\.calibrate"):
        loaded.score(x)
    made = loaded.calibrate(x, fpr=0.1)
    assert made.count == 60
    assert made.network == loaded.network
    scores = energan.load(fresh).score(x)
    assert scores.energy.shape == scores.percentile.shape == scores.anomalous.shape == (60,)
    assert int(scores.anomalous.sum()) == 60 - 55  # ⌈61 × 0.9⌉ = 55
    earlier = energan.load(fresh, checkpoint=20)
    with pytest.raises(SettingError, match=r"with step 40 \(ema weights\), and this is step 20"):
        earlier.score(x)


def test_a_rate_changes_the_threshold_alone(fresh: Path, pictures: Path) -> None:
    path = fresh / "calibration.json"
    assert run("score", fresh, pictures) == 0
    first = json.loads(path.read_text())
    assert run("score", fresh, pictures, "--fpr", "0.2") == 0
    second = json.loads(path.read_text())
    assert (first["fpr"], second["fpr"]) == (0.05, 0.2)
    assert second["threshold"] < first["threshold"]
    assert second["energies"] == first["energies"]


def test_a_default_calibration_follows_the_checkpoint(
    fresh: Path, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("score", fresh, pictures, "--fpr", "0.1") == 0
    capsys.readouterr()
    assert run("score", fresh, pictures, "--checkpoint", "20") == 0
    said = capsys.readouterr()
    assert "calibrated with step 40 (ema weights), and this is step 20" in said.err
    assert "at most 10 %" in said.out
    assert json.loads((fresh / "calibration.json").read_text())["network"]["step"] == 20


def test_the_users_calibration_is_not_redone_silently(
    fresh: Path, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("score", fresh, pictures, "--calibrate", pictures / "good") == 0
    kept = (fresh / "calibration.json").read_text()
    assert json.loads(kept)["count"] == 25
    said = refused(capsys, "score", fresh, pictures, "--checkpoint", "20")
    assert "with step 40" in said
    assert "--calibrate" in said
    said = refused(capsys, "score", fresh, pictures, "--weights", "raw")
    assert "raw weights" in said
    assert (fresh / "calibration.json").read_text() == kept


def test_users_errors(
    fresh: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good, torn = pictures / "good", pictures / "good" / "99.png"
    wrong = {
        "no readable image": [torn],
        "does not exist": [tmp_path / "nowhere.png"],
        "needs at least 999": [good, "--calibrate", good, "--fpr", "0.001"],
        "between 0 and 1": [good, "--fpr", "2"],
        "name a .csv": [good, "--out", tmp_path / "s.txt"],
        "no class 'rust'": [pictures, "--anomaly", "rust"],
        "have no labels": [good, "--normal", "good"],
        "is a file: name a folder": [good, "--heatmaps", torn],
        "--limit-heatmaps 0: give at least 1": [
            good,
            "--heatmaps",
            tmp_path,
            "--limit-heatmaps",
            "0",
        ],
        "--overlays": [good, "--overlays", torn],
        "--smooth -1: give 0 to 100 pixels": [good, "--smooth", "-1"],
    }
    for message, words in wrong.items():
        assert message in refused(capsys, "score", fresh, *words)
    assert not (fresh / "calibration.json").exists()


def test_labels_without_a_rule_say_how(
    fresh: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in "ab":
        (tmp_path / name).mkdir()
        Image.new("L", (8, 8), 200).save(tmp_path / name / "x.png")
    assert run("score", fresh, tmp_path) == 0
    assert "give --anomaly CLASS or --normal CLASS to compute AUROC" in capsys.readouterr().out
    assert run("score", fresh, tmp_path, "--anomaly", "b") == 0
    assert "anomalous classes: b; AUROC 0.5000" in capsys.readouterr().out


def test_anomaly_tables_the_classes_left_out(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("anomaly", trained, trained, "--out", tmp_path / "t.json") == 0
    said = capsys.readouterr().out
    assert "8, 9: nearest neighbour (0." in said
    written = json.loads((tmp_path / "t.json").read_text())
    assert [row["anomaly"] for row in written["table"]] == ["8, 9", "8, 9", "mean"]
    assert written["runs"][0]["step"] == 40
    beside = {one["name"]: one for one in written["runs"][1]["baselines"]}
    assert f"8, 9: nearest neighbour ({beside['nearest neighbour']['auroc']:.3f}) is better" in said
    assert beside["PCA"]["energy_auroc"] == pytest.approx(written["table"][1]["auroc"])
    assert run("anomaly", trained, "--out", tmp_path / "t.csv") == 0
    assert float(rows(tmp_path / "t.csv")[0]["auroc"]) == written["table"][0]["auroc"]
    assert "holds points" in refused(capsys, "anomaly", trained, "--data", "ring")


def test_what_needs_no_training_stands_beside_the_energy(
    fresh: Path, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert run("score", fresh, "digits") == 0  # 8 and 9 were left out
    said = capsys.readouterr().out
    assert "baselines, fitted to 1,2" in said
    assert "training images at 8x8" in said
    assert "nearest neighbour (0." in said  # better than a network of 40 steps
    assert "is better than this energy (0." in said
    assert run("score", fresh, pictures / "good") == 0  # without labels there is no AUROC
    assert "baseline" not in capsys.readouterr().out


def scales(folder: Path) -> set[str]:
    found = set()
    for path in sorted(folder.iterdir()):
        with Image.open(path) as image:
            found.add(image.text["scale"])  # type: ignore[attr-defined]
    return found


def test_overlays_have_the_image_s_size_and_the_threshold_s_colours(
    fresh: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("score", fresh, pictures, "--heatmap-files", "good/0[12].png", "negative/03.png")
    over, maps = tmp_path / "over", tmp_path / "maps"
    assert run(*words, "--overlays", over, "--heatmaps", maps) == 0
    assert (
        "heat maps: 3 of 30, chosen by --heatmap-files (squared error)" in capsys.readouterr().out
    )
    names = sorted(path.name for path in over.iterdir())
    assert names == sorted(path.name for path in maps.iterdir())
    assert sorted(name[4:] for name in names) == ["01.png", "02.png", "03.png"]
    for path in over.iterdir():
        with Image.open(path) as image:
            assert image.size == (32, 32)
            assert image.mode == "RGB"
    kept = json.loads((fresh / "calibration.json").read_text())
    middle, end = (f"{x * kept['map_threshold']:.6g}" for x in (1, 2))
    assert scales(over) == {f"0 to {end}, map threshold {middle}"}
    assert scales(maps) == {f"0 to {end}, map threshold {middle}, shared by all"}
    other = tmp_path / "other"
    one = ("score", fresh, pictures / "good" / "05.png", "--overlays", other)
    assert run(*one) == 0
    assert scales(other) == scales(over)  # of any images
    assert run(*one, "--heatmap-scale", "own") == 0
    assert scales(other) != scales(over)
    assert "no scored image has the name rust" in refused(
        capsys, *words, "rust/*.png", "--overlays", over
    )
    nothing = "--heatmap-files chooses images"
    assert nothing in refused(capsys, *words)


def test_smoothed_maps_have_a_threshold_of_their_own(
    fresh: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("score", fresh, pictures / "good", "--overlays", tmp_path, "--limit-heatmaps", "1")
    assert run(*words) == 0
    plain = json.loads((fresh / "calibration.json").read_text())
    capsys.readouterr()
    assert run(*words, "--smooth", "1") == 0
    said = capsys.readouterr()
    assert "calibrated without such heat maps: calibrating again" in said.err
    assert "smoothed by 1 pixels" in said.out
    smooth = json.loads((fresh / "calibration.json").read_text())
    assert (plain["map_smoothing"], smooth["map_smoothing"]) == (0, 1)
    assert smooth["map_threshold"] < plain["map_threshold"]
    assert smooth["energies"] == plain["energies"]
    given = (*words, "--calibrate", pictures / "good")
    assert run(*given, "--fpr", "0.04") == 0  # of 25 images no threshold could be lower
    assert run(*words, "--smooth", "1") == 0
    assert "there is no calibrated threshold for such maps" in capsys.readouterr().out


def test_energies_without_reconstruction_get_saliency(
    tmp_path: Path, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "gan"
    words = ["--data.source", "digits", "--steps", "5", "--threads", "1", "--out", out]
    assert run("train", "gan-mnist", *words) == 0
    maps = tmp_path / "maps"
    assert run("score", out, pictures / "good", "--heatmaps", maps, "--limit-heatmaps", "2") == 0
    assert "its gradient" in capsys.readouterr().out
    assert len(list(maps.iterdir())) == 2
    loaded = energan.load(out)
    assert not loaded.reconstructs
    with pytest.raises(SettingError, match="no reconstruction"):
        loaded.reconstruct(torch.zeros(1, 1, 8, 8))


def test_points_are_scored_without_pictures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "ring"
    assert run("train", "ebgan-ring", "--steps", "5", "--threads", "1", "--out", out) == 0
    assert run("score", out, "ring", "--out", tmp_path / "s.csv") == 0
    assert len(rows(tmp_path / "s.csv")) == 10_000
    assert "which have no pictures" in refused(capsys, "score", out, "ring", "--heatmaps", tmp_path)


def test_masks_give_pixel_metrics_by_kind(
    fresh: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for folder, level in (("test/good", 0), ("test/dent", 90), ("ground_truth/dent", 255)):
        (tmp_path / "parts" / folder).mkdir(parents=True)
        for i in range(3):
            pixels = np.random.default_rng(i).integers(0, 80, (8, 8)).astype(np.uint8)
            if folder.startswith("ground"):
                pixels[:] = 0
            pixels[2:5, i : i + 3] += np.uint8(level)
            Image.fromarray(pixels).save(tmp_path / "parts" / folder / f"{i}.png")
    assert run("score", fresh, tmp_path / "parts") == 0
    told = capsys.readouterr().out
    assert "defects by mask, against all normal images [95% over images]:" in told
    rows = {line.split()[0]: line.split() for line in told.splitlines() if line.startswith("dent ")}
    assert rows["dent"][1] == "3"
    assert rows["dent"][-1] == "3"
    _evaluate_alike(fresh, tmp_path, told.split("defects by mask")[1], capsys)
    (tmp_path / "parts/ground_truth").rename(tmp_path / "masks")
    assert run("score", fresh, tmp_path / "parts") == 0
    assert "defects by mask" not in capsys.readouterr().out
    words = ("score", fresh, tmp_path / "parts", "--masks", tmp_path / "masks")
    assert run(*words) == 0
    assert capsys.readouterr().out.split("defects by mask")[1] == told.split("defects by mask")[1]
    Image.new("L", (9, 8), 255).save(tmp_path / "masks/dent/1.png")
    assert "is 9x8, but its image dent/1.png is 8x8" in refused(capsys, *words)
    (tmp_path / "masks").rename(tmp_path / "parts/ground_truth")
    assert run("score", fresh, tmp_path / "parts") == 0
    assert "no pixel metrics: the mask" in capsys.readouterr().out


def _evaluate_alike(
    trained: Path, folder: Path, table: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same table from evaluate, in metrics.json too, where a second time changes nothing."""
    words = ("evaluate", trained, "--defects", folder / "parts", "--threads", "1")
    assert run(*words, "--out", folder / "all.json") == 0
    assert capsys.readouterr().out.split("defects by mask")[1].startswith(table.rstrip())
    file = trained / "metrics.json"
    (entry,) = json.loads(file.read_text())["defects"]
    assert [row["kind"] for row in entry["kinds"]] == ["all", "dent"]
    assert entry["kinds"][1]["pixels"]["defects"] == 3
    counts = [(one["kind"], one["images"]) for one in entry["threshold"]["counts"]]
    assert counts == [("good", 3), ("dent", 3)]
    assert entry["roc"][0]["name"] == "energy"
    assert [one["kind"] for one in entry["pictures"]] == ["good"] * 3 + ["dent"] * 3
    for one in entry["pictures"]:
        with Image.open(trained / one["file"]) as image:
            assert image.size == (8, 8)
    assert json.loads((folder / "all.json").read_text())["runs"][0]["defects"] == entry
    before = file.read_text()
    assert run(*words) == 0
    assert file.read_text() == before
    assert run("report", trained, "--no-data") == 0
    page = (trained / "report.html").read_text()
    for told in ("Is this part normal?", "dent, ", "False alarms", "Beside baselines"):
        assert told in page
    file.unlink()
    no_masks = ("evaluate", trained, "--defects", "digits")
    assert "--defects digits: there are no masks" in refused(capsys, *no_masks)
    alone = ("evaluate", trained, "--masks", folder)
    assert "--masks applies to --defects only" in refused(capsys, *alone)
    both = (*words, "--reference", "digits")
    assert "--defects alone computes none" in refused(capsys, *both)


def test_the_promise_is_for_new_groups(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(0)
    for i in range(40):
        folder = tmp_path / f"patient{i % 20}"
        folder.mkdir(exist_ok=True)
        pixels = rng.integers(0, 256, (8, 8), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{i}.png")
    words = ("score", trained, tmp_path, "--layout", "flat", "--calibrate", tmp_path, "--groups")
    assert run(*words, r"(patient\d+)") == 0
    said = capsys.readouterr().out
    assert "calibrated on 40 normal examples of 20 groups" in said
    assert "which at most 5 % of the normal images of new groups exceed" in said
    assert r"groups: 20 of 40 images, by (patient\d+)" in said
    made = energan.Run(trained)
    assert made.calibration is not None
    assert made.calibration.groups == 20
    said = refused(capsys, *words, "(patient.)")
    assert "needs at least 19 groups of normal examples, and there are 10: give more" in said


def test_images_that_set_the_threshold_are_told_in_any_folder(
    fresh: Path, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = "among those that the threshold was calibrated on"
    words = ("--calibrate", pictures / "good", "--fpr", "0.1")
    assert run("score", fresh, pictures, *words) == 0
    assert f"25 images of these are {told}, so it fits them by design" in capsys.readouterr().out
    assert run("score", fresh, pictures / "good" / "03.png") == 0
    assert f"1 image of these is {told}, so it fits it by design" in capsys.readouterr().out
    assert run("score", fresh, pictures / "negative") == 0
    assert told not in capsys.readouterr().out
    file = fresh / "calibration.json"
    kept = json.loads(file.read_text())
    del kept["digests"]
    file.write_text(json.dumps(kept))
    assert run("score", fresh, pictures / "negative") == 0
    assert "calibrated by an earlier version" in capsys.readouterr().out


def test_intervals_of_a_verdict_are_over_groups(
    fresh: Path, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = {}
    for groups in ([], ["--groups", r"(\d)\.png"], ["--groups", "folder"]):
        assert run("score", fresh, pictures, "--layout", "classes", *groups) == 0
        said[tuple(groups[1:])] = capsys.readouterr().out
    plain, grouped, folder = said.values()
    assert "[95% intervals over images]" in plain
    assert "[95% intervals over 10 groups of images]" in grouped
    figures = [re.search(r"AUROC (\S+) (\[.*?\])", text) for text in (plain, grouped)]
    assert figures[0] is not None
    assert figures[1] is not None
    assert figures[0][1] == figures[1][1]
    assert figures[0][2] != figures[1][2]
    assert "over 2 groups of images; none of the AUROC, which needs two groups of normal" in folder
    assert "[too few groups for an interval]" in folder
    said_no = refused(capsys, "score", fresh, pictures / "good" / "03.png", "--groups", "folder")
    assert "name the folder or the table that holds" in said_no
