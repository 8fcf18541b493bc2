"""Baselines against their definitions, and when they count as beaten."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from energan.anomaly import baselines
from energan.anomaly.baselines import (
    BaselineComparison,
    MeanImage,
    NearestNeighbour,
    PrincipalComponents,
    compare,
    fit_baselines,
    normalised_rows,
    verdict,
)
from energan.anomaly.score_table import ScoreTable, open_score_table
from energan.core import DataError, Domain
from energan.data import DataSet, DataSettings
from energan.data.inference import PredictSet
from energan.metrics import auroc

DIGITS = Domain((1, 8, 8), -1.0, 1.0)


def draws(n: int, size: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(n, size, generator=torch.Generator().manual_seed(seed))


def test_each_is_as_defined() -> None:
    x, y = draws(60, 20), draws(9, 20, seed=1)
    a, b = x.double().numpy(), y.double().numpy()
    mean = a.mean(0)
    assert MeanImage(x)(y).numpy() == pytest.approx(np.linalg.norm(b - mean, axis=1), rel=1e-5)
    nearest = [min(np.linalg.norm(q - p) for p in a) for q in b]
    assert NearestNeighbour(x)(y).numpy() == pytest.approx(nearest, rel=1e-4)
    directions = np.linalg.svd(a - mean)[2][:10]  # half of 20 dimensions
    left = (b - mean) - (b - mean) @ directions.T @ directions
    expected = np.linalg.norm(left, axis=1)
    assert PrincipalComponents(x)(y).numpy() == pytest.approx(expected, rel=1e-4)


def test_images_that_are_all_equal_are_fitted() -> None:
    found = PrincipalComponents(torch.ones(5, 6))(2 * torch.ones(2, 6))
    assert ((found >= 0) & (found <= 6**0.5 + 1e-6)).all()


def test_brightness_and_contrast_count_for_nothing() -> None:
    x = torch.rand(5, 3, 10, 12)
    rows = normalised_rows(x)
    assert rows.shape == (5, 360)
    assert rows.mean(1).numpy() == pytest.approx(0, abs=1e-6)
    assert rows.var(1, correction=0).numpy() == pytest.approx(1, rel=1e-5)
    assert torch.allclose(normalised_rows(3 * x - 1), rows, atol=1e-4)
    assert normalised_rows(torch.ones(2, 1, 8, 8)).abs().max() < 0.1  # a plain one has no contrast
    assert normalised_rows(torch.rand(1, 1, 200, 80)).shape == (1, 64 * 64)
    assert normalised_rows(torch.rand(1, 1, 32, 80)).shape == (1, 32 * 64)


def test_few_of_the_training_images_stand_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = DataSettings(source="digits", classes=tuple("01234567"))
    whole = fit_baselines(settings, DIGITS)
    monkeypatch.setattr(baselines, "FITTED", 50)
    few = fit_baselines(settings, DIGITS)
    assert whole is not None
    assert few is not None
    assert few.about.startswith("fitted to 50 of 1,2")
    assert "training images at 8x8" in whole.about
    assert {name: len(u) for name, u in few.energies(torch.rand(3, 1, 8, 8)).items()} == {
        "mean image": 3, "PCA": 3, "nearest neighbour": 3,
    }  # fmt: skip
    assert fit_baselines(DataSettings(), Domain((2,))) is None
    with pytest.raises(DataError, match="one training image"):
        fit_baselines(DataSettings(source="digits", limit=1), DIGITS)


def test_training_images_lie_at_no_distance() -> None:
    """They are prepared as those that are judged."""
    settings = DataSettings(source="digits", held_out=0, pad=12)
    domain = Domain((1, 12, 12), -1.0, 1.0)
    found = fit_baselines(settings, domain)
    table = open_score_table(["digits"], settings.model_copy(update={"held_out": 100}), domain)
    assert found is not None
    assert found.energies(table.events(range(20)))["nearest neighbour"].max() < 0.05


def test_a_table_is_compared_on_some_of_either_side(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = DataSettings(source="digits", classes=tuple("01234567"))
    table = open_score_table(["digits"], settings, DIGITS)
    found = fit_baselines(settings, DIGITS)
    assert found is not None
    nearest = found.energies(table.events(range(len(table))))["nearest neighbour"]
    table = table.with_energies(lambda data, told: nearest)
    whole = {one.name: one for one in table.compare(found)}
    assert table.detection is not None
    same = whole["nearest neighbour"]
    assert same.auroc == pytest.approx(table.detection.auroc)
    assert (same.difference, same.low, same.high) == pytest.approx((0, 0, 0), abs=1e-3)
    monkeypatch.setattr(baselines, "JUDGED", 40)
    few = {one.name: one for one in table.compare(found)}
    assert few["nearest neighbour"].auroc == pytest.approx(same.auroc, abs=0.1)
    gap = [one["mean image"].high - one["mean image"].low for one in (whole, few)]
    assert gap[0] < gap[1]


def test_of_classes_that_take_turns_each_is_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    """As CIFAR-10's do: every ninth anomalous image is of one class."""
    labels = torch.arange(400) % 10
    events = labels.to(torch.uint8).view(-1, 1, 1, 1).expand(-1, 1, 8, 8)
    domain = Domain((1, 8, 8), -1.0, 1.0, 10)
    data = DataSet("made", events, domain, labels)
    one = PredictSet(data, tuple(map(str, range(400))), "made", "test", False)
    table = ScoreTable((one,), (), (labels > 0).to(torch.int8))
    monkeypatch.setattr(baselines, "JUDGED", 40)
    mean = MeanImage(torch.zeros(2, 64))
    rows, _ = table.baseline_scores(baselines.Baselines((mean,), ""))
    assert len(labels[rows].unique()) == 10
    assert int((labels[rows] > 0).sum()) == 40


def test_what_is_not_beaten_is_said() -> None:
    anomalous = torch.arange(400) >= 200
    good, bad = (
        draws(400, 1, seed)[:, 0] + shift * anomalous for seed, shift in ((1, 2), (2, 0.5))
    )
    beaten = compare(good, {"PCA": bad}, anomalous)
    assert beaten[0].low > 0
    assert verdict(beaten) is None
    assert verdict(compare(10 * anomalous + good, {"PCA": 10 * anomalous + bad}, anomalous)) is None
    [lost] = compare(bad, {"PCA": good}, anomalous)
    assert lost.difference == pytest.approx(float(auroc(bad, anomalous) - auroc(good, anomalous)))
    assert (verdict([lost]) or "").startswith(f"PCA ({lost.auroc:.3f}) is better than this energy")
    broken = torch.where(torch.arange(400) < 200, float("nan"), good)  # no sign of normality
    assert compare(broken, {"PCA": bad}, anomalous)[0].energy_auroc == 0
    even = BaselineComparison("mean image", 0.7, 0.71, 0.01, -0.02, 0.04)
    said = (
        "mean image (0.700) is not beaten by this energy (0.710; difference +0.010 "
        "[-0.020, +0.040])"
    )
    assert verdict([even, BaselineComparison("PCA", 0.6, 0.71, 0.11, 0.08, 0.13)]) == said


def test_the_tiles_give_the_figures_that_are_known() -> None:
    """Squares cut out of the middle, shrunk to 64x64 by Pillow's bicubic filter."""
    folder = Path(os.environ.get("ENERGAN_DATA", "/nowhere")) / "tiles"
    if not folder.is_dir():
        pytest.skip("ENERGAN_DATA holds no tiles")

    def read(paths: list[Path]) -> torch.Tensor:
        images = []
        for path in paths:
            with Image.open(path) as image:
                (w, h), side = image.size, min(image.size)
                left, top = (w - side) // 2, (h - side) // 2
                square = image.convert("L").crop((left, top, left + side, top + side))
                images.append(np.asarray(square.resize((64, 64), Image.Resampling.BICUBIC)))
        return normalised_rows(torch.from_numpy(np.stack(images)).float().unsqueeze(1))

    training = read(sorted((folder / "train/good").iterdir()))
    tested = sorted(folder.glob("test/*/*"))
    x, anomalous = read(tested), torch.tensor([path.parent.name != "good" for path in tested])
    assert auroc(NearestNeighbour(training)(x), anomalous) == pytest.approx(0.848, abs=5e-4)
    assert auroc(PrincipalComponents(training)(x), anomalous) == pytest.approx(0.744, abs=3e-3)
