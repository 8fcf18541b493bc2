"""The promise on false alarms holds on average over calibrations, with groups too."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from energan.anomaly.calibration import Calibration, Network, calibrate, read, thin, thin_weights
from energan.anomaly.normal_data import normal_events
from energan.core import DataError, Domain, RunError, SettingError
from energan.data import DataSet, DataSettings

NETWORK = Network(500, "ab" * 32, "ema")
TRIES = 200


def calibration(energies: Tensor, fpr: float, groups: Tensor | None = None) -> Calibration:
    return calibrate(energies, fpr, NETWORK, "given", "normal ones", "f" * 64, groups)


def draw(count: int, within: float, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Energies of `count` groups of 1 to 40 images, and their groups: the smaller a group, the
    higher its energies. within: the variance of those of a group."""
    sizes = rng.integers(1, 41, count)
    middle = rng.standard_normal(count) - sizes / 20
    groups = np.repeat(np.arange(count), sizes)
    found = middle[groups] + within**0.5 * rng.standard_normal(len(groups))
    return torch.from_numpy(np.exp(found)), torch.from_numpy(groups)


def rate(threshold: float, within: float, rng: np.random.Generator) -> float:
    """The share of images of 2,000 new groups, each counted alike, above the threshold."""
    energies, groups = draw(2_000, within, rng)
    above = (energies > threshold).double().numpy()
    shares = np.bincount(groups.numpy(), above) / np.bincount(groups.numpy())
    return float(shares.mean())


def bound(rates: list[float], fpr: float) -> float:
    return fpr + 3 * float(np.std(rates)) / math.sqrt(len(rates))


@pytest.mark.parametrize("fpr", [0.05, 0.2])
def test_200_calibrations_hold_the_promise(fpr: float) -> None:
    rng, rates = np.random.default_rng(0), []
    for _ in range(TRIES):
        normal = torch.from_numpy(rng.standard_normal(60)).exp()
        threshold = calibration(normal, fpr).threshold
        rates.append(float(np.mean(np.exp(rng.standard_normal(4_000)) > threshold)))
    expected = 1 - math.ceil(61 * (1 - fpr)) / 61
    assert abs(np.mean(rates) - expected) < 4 * np.std(rates) / math.sqrt(TRIES)
    assert np.mean(rates) <= bound(rates, fpr)


@pytest.mark.parametrize("fpr", [0.05, 0.2])
def test_200_calibrations_by_groups_hold_the_promise_and_those_by_images_break_it(
    fpr: float,
) -> None:
    rng, grouped, by_image = np.random.default_rng(1), [], []
    for _ in range(TRIES):
        energies, groups = draw(30, 0.02, rng)
        made = calibration(energies, fpr, groups)
        assert made.groups == 30
        grouped.append(rate(made.threshold, 0.02, rng))
        by_image.append(rate(calibration(energies, fpr).threshold, 0.02, rng))
    assert np.mean(grouped) <= bound(grouped, fpr)
    assert np.mean(grouped) > fpr / 3  # and not by flagging nothing
    assert np.mean(by_image) > bound(by_image, fpr)


def test_groups_of_one_are_no_groups() -> None:
    energies = torch.randn(300, generator=torch.Generator().manual_seed(0))
    alone, plain = calibration(energies, 0.07, torch.arange(300)), calibration(energies, 0.07)
    assert alone.threshold == plain.threshold
    shown = torch.randn(50, generator=torch.Generator().manual_seed(1))
    assert torch.allclose(alone.scores(shown).percentile, plain.scores(shown).percentile)


def test_percentiles_count_each_group_alike() -> None:
    made = calibration(torch.tensor([1.0, 2.0, 3.0, 4.0]), 0.4, torch.tensor([7, 7, 7, 5]))
    shares = made.scores(torch.tensor([0.0, 1.0, 2.5, 3.0, 4.0])).percentile
    assert shares.tolist() == pytest.approx([0, 100 / 6, 100 / 3, 50, 100])
    assert made.threshold == 4  # 3 * 0.6 = 1.8 of 2


@pytest.mark.parametrize("n", [20_001, 50_000])
def test_thinned_weights_keep_the_promise(n: int) -> None:
    rng = np.random.default_rng(n)
    energies = torch.from_numpy(rng.standard_normal(n)).float()
    groups = torch.from_numpy(rng.integers(0, 500, n))
    made = calibration(energies, 0.05, groups)
    assert made.weights is not None
    assert len(made.energies) == len(made.weights) == 20_000
    assert made.groups == 500
    weights = 1 / groups.bincount().double()[groups]
    for fpr in (0.5, 0.05, 0.01):
        exact = float(weights[energies <= made.at(fpr).threshold].sum())
        assert 501 * (1 - fpr) <= exact + 1e-6
        assert exact <= 501 * (1 - fpr) + 2 * n / 20_000 * float(weights.max()) + 1e-6
    assert torch.equal(thin(energies, n), energies)
    assert torch.equal(thin_weights(weights, n), weights)


def test_too_few_groups_are_an_error_with_the_remedy() -> None:
    energies, groups = torch.rand(380), torch.arange(380) % 4
    message = (
        "needs at least 19 groups of normal examples, and there are 4: give more, or a rate of "
        r"at least 0\.2$"
    )
    with pytest.raises(SettingError, match=message):
        calibration(energies, 0.05, groups)
    made = calibration(energies, 0.2, groups)
    assert made.threshold == float(energies.max())
    assert str(made) == "380 normal examples of 4 groups: normal ones"
    assert made.promise.startswith("at most 20 % of the normal images of new groups exceed")
    with pytest.raises(SettingError, match="19 groups"):
        made.at(0.05)


def test_a_file_gives_back_what_was_kept(tmp_path: Path) -> None:
    energies, groups = torch.rand(90), torch.arange(90) % 30
    made = calibration(energies, 0.1, groups)
    made.save(tmp_path)
    found = read(tmp_path)
    assert found is not None
    assert found.groups == 30
    assert found.at(0.05).threshold == made.at(0.05).threshold
    calibration(energies, 0.1).save(tmp_path)
    record = json.loads((tmp_path / "calibration.json").read_text())
    assert "weights" not in record  # as files were before there were groups
    for damaged in ([1.0], [0.0] * 90, [-1.0] * 90):
        (tmp_path / "calibration.json").write_text(json.dumps({**record, "weights": damaged}))
        with pytest.raises(RunError, match="weights are not one for each energy, above 0"):
            read(tmp_path)


def test_groups_of_normal_events(tmp_path: Path) -> None:
    domain, settings = Domain((1, 4, 4), -1.0, 1.0), DataSettings(source=str(tmp_path))
    x = torch.zeros(3, 1, 4, 4)
    found = normal_events(x, settings, domain, [2**60 + 1, 2**60 + 1, 2**60 + 2])
    assert found.groups is not None
    assert found.groups.tolist() == [0, 0, 1]  # float64 takes the three for one
    assert normal_events(DataSet("made", x, domain), settings, domain).groups is None
    for name in ("a1", "a2", "b1"):
        Image.new("L", (4, 4)).save(tmp_path / f"{name}.png")
    other = DataSettings(source="digits")
    found = normal_events(tmp_path, other, domain, "^[ab]")
    assert found.groups is not None
    assert found.groups.tolist() == [0, 0, 1]
    with pytest.raises(DataError, match="2 groups for 3 images"):
        normal_events(x, settings, domain, [1, 2])
    for given, groups in ((x, "folder"), (tmp_path, [1, 2, 3])):
        with pytest.raises(SettingError, match="a word for a source, and as a number per example"):
            normal_events(given, settings, domain, groups)
    with pytest.raises(SettingError, match=r"train with data\.groups"):
        normal_events(None, settings, domain, "folder")
