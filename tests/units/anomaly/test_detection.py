"""Thresholds keep their promise, labels mean what they should, and images keep their order."""

import csv
import io
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn import metrics as oracle
from torch import Tensor

from energan.anomaly import heatmaps
from energan.anomaly.calibration import Calibration, Network, calibrate, read, thin
from energan.anomaly.detection import (
    ANOMALOUS,
    NEITHER,
    NORMAL,
    Wanted,
    detect,
    detection_table,
    sides_of,
)
from energan.anomaly.normal_data import normal_events
from energan.anomaly.score_table import detect_left_out, open_score_table
from energan.core import DataError, Domain, RunError, SettingError
from energan.data import DataSet, DataSettings, open_data
from energan.data.inference import PredictSet, open_images
from energan.data.selection import select
from energan.data.sources.detect import open_source

NETWORK = Network(500, "ab" * 32, "ema")
DIGITS = Domain((1, 8, 8), -1.0, 1.0)


def calibration(energies: Tensor, fpr: float = 0.05) -> Calibration:
    return calibrate(energies, fpr, NETWORK, "given", "normal ones", "f" * 64)


def judged(labels: list[int], names: tuple[str, ...] | None, own: bool = True) -> PredictSet:
    classes = len(names) if names else max(labels) + 1
    events = torch.zeros(len(labels), 1, 8, 8, dtype=torch.uint8)
    domain = Domain((1, 8, 8), -1.0, 1.0, classes)
    data = DataSet("made", events, domain, torch.tensor(labels), class_names=names)
    return PredictSet(data, tuple(f"made:{i}" for i in range(len(labels))), "made", "test", own)


# --- the threshold --------------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "fpr"), [(19, 0.05), (50, 0.1), (33, 0.25)])
def test_new_normal_events_exceed_the_threshold_with_the_promised_probability(
    n: int, fpr: float
) -> None:
    g = torch.Generator().manual_seed(n)
    draws = 4000
    tries = torch.randn(draws, n + 1, generator=g).exp()  # n calibrate, one is new
    exceeded = [float(row[-1]) > calibration(row[:-1], fpr).threshold for row in tries]
    expected = 1 - math.ceil((n + 1) * (1 - fpr)) / (n + 1)
    assert expected <= fpr + 1e-12
    sigma = math.sqrt(expected * (1 - expected) / draws)
    assert abs(sum(exceeded) / draws - expected) < 4 * sigma


@pytest.mark.parametrize("n", [20_001, 33_333, 100_000])
def test_thinned_energies_keep_the_promise(n: int) -> None:
    g = torch.Generator().manual_seed(0)
    energies = torch.randn(n, generator=g)
    kept = calibration(energies, 0.05)
    assert len(kept.energies) == 20_000
    assert kept.count == n
    for fpr in (0.5, 0.05, 0.013, 0.001):
        below = int((energies <= kept.at(fpr).threshold).sum())
        assert below >= (n + 1) * (1 - fpr)
        assert below <= (n + 1) * (1 - fpr) + n / 20_000 + 1


def test_few_energies_are_kept_as_they_are() -> None:
    energies = torch.arange(7.0)
    assert torch.equal(thin(energies), energies)
    assert torch.equal(thin(energies, 3), torch.tensor([2.0, 4.0, 6.0]))


def test_too_few_normal_events_say_how_many_are_needed() -> None:
    calibration(torch.rand(19), 0.05)
    with pytest.raises(
        SettingError, match=r"at least 19 normal examples, and there are 18.*0\.053"
    ):
        calibration(torch.rand(18), 0.05)
    calibration(torch.rand(18), 0.053)
    with pytest.raises(SettingError, match="at least 99,999"):
        calibration(torch.rand(18), 0.00001)


@pytest.mark.parametrize("fpr", [0.0, 1.0, -0.1, math.nan])
def test_a_rate_lies_between_0_and_1(fpr: float) -> None:
    with pytest.raises(SettingError, match="between 0 and 1"):
        calibration(torch.rand(100), fpr)


def test_scores_are_energies_percentiles_and_verdicts() -> None:
    normal = torch.randperm(100).float()
    scores = calibration(normal, 0.05).scores(torch.tensor([-1.0, 0.0, 49.5, 95.0, 95.5, 99.0]))
    assert scores.percentile.tolist() == [0, 1, 50, 96, 96, 100]
    assert scores.anomalous.tolist() == [False, False, False, False, True, True]
    assert calibration(normal, 0.05).scores(torch.empty(0)).anomalous.shape == (0,)


def test_an_energy_that_is_not_a_number_is_no_sign_of_normality() -> None:
    kept = calibration(torch.arange(100.0))
    scores = kept.scores(torch.tensor([math.nan, math.inf, -math.inf, 3.0]))
    assert scores.anomalous.tolist() == [True, True, False, False]
    assert scores.percentile.tolist() == [100, 100, 0, 4]
    with pytest.raises(DataError, match="1 of 100 energies is not finite"):
        calibration(torch.cat([torch.arange(99.0), torch.tensor([math.nan])]))


def test_a_calibration_is_kept_in_the_run(tmp_path: Path) -> None:
    assert read(tmp_path) is None
    made = calibration(torch.randn(300).exp(), 0.1)
    path = made.save(tmp_path)
    found = read(tmp_path)
    assert found is not None
    assert torch.equal(found.energies, made.energies)
    fields = {**vars(made), "energies": None}
    assert {**vars(found), "energies": None} == fields
    energy = torch.randn(50).exp()
    assert torch.equal(found.scores(energy).anomalous, made.scores(energy).anomalous)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    for broken in ("", "{}", '{"format": 9}', "[1]"):
        path.write_text(broken)
        with pytest.raises(RunError, match="calibrate again"):
            read(tmp_path)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("format", 2), ("threshold", math.nan), ("threshold", "high"), ("threshold", None),
        ("threshold", True), ("fpr", 0.0), ("fpr", 1.5), ("count", -1), ("part", "all"),
        ("network", {}), ("network", None), ("source", 3), ("energies", []), ("energies", 1.0),
        ("energies", [1.0, math.inf]), ("energies", [2.0, 1.0]), ("energies", ["a"]),
    ],
)  # fmt: skip
def test_a_calibration_that_was_edited_is_refused(
    tmp_path: Path, field: str, value: object
) -> None:
    path = calibration(torch.randn(300).exp(), 0.1).save(tmp_path)
    path.write_text(json.dumps({**json.loads(path.read_text()), field: value}))
    with pytest.raises(RunError, match=rf"calibration\.json: .*{field}.*calibrate again"):
        read(tmp_path)


# --- what labels say ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "trained", "wanted", "own", "sides"),
    [
        (("a", "b", "c"), ("a", "c"), Wanted(), True, [0, 1, 0]),
        (("a", "b", "c"), ("0",), Wanted(), True, [0, 1, 1]),
        (("a", "b", "c"), ("0",), Wanted(), False, None),  # numbers of another source
        (("a", "b", "c"), (), Wanted(), True, None),
        (("a", "b", "c"), ("a",), Wanted(anomaly=("c",)), True, [0, 0, 1]),
        (("a", "b", "c"), (), Wanted(normal=("b",)), True, [1, 0, 1]),
        (("a", "b", "c"), (), Wanted(("2",), ("a",)), True, [0, -1, 1]),
        (None, ("0", "2"), Wanted(), True, [0, 1, 0]),
        (("crack", "Good", "dirt"), (), Wanted(), False, [1, 0, 1]),
        (("good", "normal", "x"), (), Wanted(), False, None),  # two such names: neither is sure
    ],
)
def test_which_classes_are_anomalous(
    names: tuple[str, ...] | None,
    trained: tuple[str, ...],
    wanted: Wanted,
    own: bool,
    sides: list[int] | None,
) -> None:
    found = sides_of(judged([0, 1, 2], names, own), trained, wanted)
    assert (None if found is None else found.tolist()) == sides


def test_a_class_cannot_be_both() -> None:
    with pytest.raises(SettingError, match="both --anomaly and --normal"):
        sides_of(judged([0, 1], ("a", "b")), (), Wanted(("a",), ("0",)))


def test_detection_is_that_of_an_independent_implementation() -> None:
    energy, sides = torch.randn(400), torch.randint(-1, 2, (400,), dtype=torch.int8)
    found = detect(energy, sides)
    assert found is not None
    counted = sides != NEITHER
    truth, scores = (sides[counted] == 1).numpy(), energy[counted].double().numpy()
    assert found.auroc == pytest.approx(oracle.roc_auc_score(truth, scores))
    assert found.average_precision == pytest.approx(oracle.average_precision_score(truth, scores))
    assert (found.anomalous, found.normal) == (truth.sum(), (~truth).sum())
    assert detect(energy, torch.zeros(400)) is None
    assert detect(energy, torch.ones(400)) is None
    flagged = detect(torch.tensor([math.nan, 1.0, 2.0]), torch.tensor([1, 0, 0]))
    assert flagged is not None
    assert flagged.auroc == 1


def test_the_table_ends_with_the_mean() -> None:
    runs = [detect(torch.randn(60), torch.arange(60) % 3 % 2) for _ in range(3)]
    table = detection_table([(str(i), run) for i, run in enumerate(runs) if run is not None])
    assert [row["anomaly"] for row in table] == ["0", "1", "2", "mean"]
    assert table[-1]["auroc"] == pytest.approx(np.mean([r["auroc"] for r in table[:-1]]))
    assert table[-1]["normal"] == 120


# --- images ---------------------------------------------------------------------------------------


def picture(path: Path, shade: int, size: tuple[int, int] = (8, 8)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", size, shade).save(path)
    return path


def test_images_come_in_the_users_order_and_as_the_run_takes_them(tmp_path: Path) -> None:
    files = [picture(tmp_path / "in" / f"{s}.png", s, (8 + s % 3, 20)) for s in (90, 30, 200)]
    lone = picture(tmp_path / "lone.jpeg", 250)
    torn = tmp_path / "torn.png"
    torn.write_bytes(files[0].read_bytes()[:50])
    (tmp_path / "in" / "100.png").write_bytes(b"no image")
    words = [str(lone), str(torn), str(files[0].parent), str(files[0])]
    groups, skipped = open_images(words, DataSettings(), DIGITS)
    names = [name for group in groups for name in group.names]
    shades = torch.cat([group.data.raw()[:, 0, 4, 4] for group in groups]).tolist()
    assert names == [str(lone), *map(str, sorted(files, key=str)), str(files[0])]
    assert shades == pytest.approx([250, 200, 30, 90, 90], abs=2)
    assert [where for where, _ in skipped] == [str(torn), str(tmp_path / "in" / "100.png")]
    x = torch.cat([group.data.gather(torch.arange(len(group))).x for group in groups])
    assert x.shape == (5, 1, 8, 8)
    assert x.min() >= -1


def test_padding_is_that_of_the_run(tmp_path: Path) -> None:
    folder = tmp_path / "runs_own"
    for i in range(12):
        picture(folder / f"{i:02d}.png", 200)
    settings = DataSettings(source=str(folder), pad=10, channels="grey")
    domain = open_data(settings).domain
    photo = picture(tmp_path / "photo.png", 200, (300, 200))
    (group,), _ = open_images([str(photo)], settings, domain)
    assert group.data.raw()[0, 0].float().mean() == pytest.approx(200 * 64 / 100)


def test_what_was_trained_on_is_never_scored() -> None:
    settings = DataSettings(source="digits", classes=("0", "1", "2", "8"), limit=500)
    (group,), _ = open_images(["digits"], settings, DIGITS)
    source = open_source(settings, "train")
    trained = set(select(source, settings, "train").training.tolist())
    rows = [int(name.removeprefix("digits:")) for name in group.names]
    assert rows == sorted(rows)
    assert not trained & set(rows)
    assert group.part == "held-out"
    assert source.labels is not None
    assert group.data.labels is not None
    assert torch.equal(group.data.labels, source.labels[rows])
    held_out = open_data(settings).held_out
    assert held_out is not None
    assert len(rows) == len(held_out) + int(
        (~torch.isin(source.labels, torch.tensor([0, 1, 2, 8]))).sum()
    )


def test_of_a_labelled_source_the_normal_ones_calibrate(tmp_path: Path) -> None:
    for i in range(4):
        picture(tmp_path / "all" / "good" / f"{i}.png", 10)
        picture(tmp_path / "all" / "bad" / f"{i}.png", 200)
    data = normal_events(str(tmp_path / "all"), DataSettings(), DIGITS)
    assert data.raw().unique().tolist() == [10]
    with pytest.raises(SettingError, match="nothing was held out of digits"):
        normal_events(None, DataSettings(held_out=0), DIGITS)


@pytest.mark.parametrize(
    ("word", "message"),
    [("ring", "holds points"), ("nothing-here.png", "does not exist"), ("mnits", "did you mean")],
)
def test_sources_that_do_not_fit_are_refused(word: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        open_images([word], DataSettings(), DIGITS)


def test_arrays_keep_their_order(tmp_path: Path) -> None:
    x = np.arange(40, dtype=np.uint8)[:, None, None].repeat(8, 1).repeat(8, 2)
    np.savez(tmp_path / "a.npz", x=x, y=np.arange(40) % 3)
    (group,), _ = open_images([str(tmp_path / "a.npz")], DataSettings(), DIGITS)
    assert group.data.raw()[:, 0, 0, 0].tolist() == list(range(40))
    assert group.names[7] == f"{tmp_path / 'a.npz'}:7"
    assert group.data.labels is not None
    assert group.data.labels.tolist() == [i % 3 for i in range(40)]


# --- the sheet ------------------------------------------------------------------------------------


def brightness(data: DataSet, told: str) -> Tensor:
    return data.gather(torch.arange(len(data))).x.flatten(1).mean(1)


def test_the_csv_has_every_image_once_in_order(tmp_path: Path) -> None:
    for i, shade in enumerate((10, 250, 30)):
        picture(tmp_path / "in" / ("good" if shade < 100 else "bad, or so") / f"{i}.png", shade)
    sheet = open_score_table([str(tmp_path / "in")], DataSettings(), DIGITS)
    sheet = sheet.score(brightness, calibration(torch.linspace(-1, 0, 101)))
    text = sheet.write_csv(tmp_path / "s.csv").read_text()
    rows = list(csv.DictReader(io.StringIO(text)))
    assert list(rows[0]) == ["image", "energy", "percentile", "anomalous", "label"]
    assert [r["label"] for r in rows] == ["bad, or so", "good", "good"]
    assert [r["anomalous"] for r in rows] == ["yes", "no", "no"]
    assert [Path(r["image"]).name for r in rows] == ["1.png", "0.png", "2.png"]
    assert float(rows[0]["energy"]) == pytest.approx(250 / 127.5 - 1, abs=1e-5)
    assert sheet.worst(2) == [0, 2]
    assert torch.equal(
        sheet.events([2, 0]),
        torch.cat([g.data.gather(torch.tensor([2, 0])).x for g in sheet.sources]),
    )
    assert sheet.detection is not None
    assert sheet.detection.auroc == 1
    assert [sheet.share_flagged(side)[0] for side in (ANOMALOUS, NORMAL)] == [1.0, 0.0]


def test_a_class_left_out_is_the_anomaly() -> None:
    settings = DataSettings(source="digits", classes=tuple("012345678"))
    sheet, found = detect_left_out(brightness, settings, DIGITS)
    assert sheet.anomalous_classes == "9"
    assert (found.anomalous, found.normal) == (180, 162)
    with pytest.raises(SettingError, match="give runs that left some out"):
        detect_left_out(brightness, DataSettings(), DIGITS)


# --- heat maps ------------------------------------------------------------------------------------


def test_a_heat_map_is_the_squared_error_over_channels() -> None:
    x, made = torch.rand(4, 3, 5, 6), torch.rand(4, 3, 5, 6)
    found = heatmaps.squared_error(x, made)
    assert found.shape == (4, 5, 6)
    one = sum((float(made[1, c, 2, 3]) - float(x[1, c, 2, 3])) ** 2 for c in range(3))
    assert float(found[1, 2, 3]) == pytest.approx(one, rel=1e-5)


def test_saliency_is_the_norm_of_the_gradient() -> None:
    x = torch.randn(4, 3, 5, 6)
    with torch.no_grad():
        found = heatmaps.saliency(lambda x: x.square().flatten(1).sum(1) / 2, x)
    torch.testing.assert_close(found, x.square().sum(1).sqrt())


def test_an_energy_map_is_linear_between_the_centres_of_cells() -> None:
    cells = torch.tensor([[[0.0, 4.0, -4.0]], [[1.0, 1.0, 1.0]]])  # (2, 1, 3), centres 4 px apart
    found = heatmaps.energy_map(cells, 4, 12)
    assert found.shape == (2, 4, 12)
    expected = torch.tensor([0.5, 1.5, 2.5, 3.5, 3.0, 1.0, -1.0, -3.0])  # of pixels 2 to 9
    torch.testing.assert_close(found[0, :, 2:10], expected.expand(4, 8))
    torch.testing.assert_close(found[1], torch.ones(4, 12))


@pytest.mark.parametrize("channels", [1, 3])
def test_heat_maps_are_written_with_one_scale(tmp_path: Path, channels: int) -> None:
    x = torch.rand(2, channels, 8, 8) * 2 - 1
    maps = torch.stack([torch.full((8, 8), 0.5), torch.full((8, 8), 2.0)])
    shown = heatmaps.Pictures(x, maps, "squared error", ["first", "second"], [True, False], x)
    names = heatmaps.file_names(["a/b c.png", "digits:12"])
    assert names == ["001-b-c", "002-digits-12"]
    domain = Domain((channels, 8, 8), -1.0, 1.0)
    paths = heatmaps.write(
        tmp_path, names, shown, domain, scale=heatmaps.scale_of(maps, shown.kind)
    )
    scales = []
    for path in paths:
        with Image.open(path) as image:
            scales.append(image.text["scale"])  # type: ignore[attr-defined]
            assert image.width > 2 * image.height
    assert scales == ["0 to 2, shared by all"] * 2
    paths = heatmaps.write(tmp_path, names, shown, domain)
    with Image.open(paths[0]) as image:
        assert image.text["scale"] == "0 to 0.5, its own"  # type: ignore[attr-defined]
