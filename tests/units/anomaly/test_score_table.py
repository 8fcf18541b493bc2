"""Which images belong together, and which of them set the threshold, whatever they are called."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from energan.anomaly.baselines import compare, verdict
from energan.anomaly.calibration import MOST_KEPT, Calibration, Network, calibrate, read
from energan.anomaly.detection import ANOMALOUS, NORMAL
from energan.anomaly.localisation import localise
from energan.anomaly.normal_data import normal_images
from energan.anomaly.score_table import ScoreTable, open_score_table
from energan.core import Domain
from energan.data import DataSet, DataSettings
from energan.io.pictures import write_image

DOMAIN = Domain((1, 8, 8), -1.0, 1.0)
SETTINGS = DataSettings(source="digits")
NETWORK = Network(500, "ab" * 32, "ema")


def save(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_image(path, pixels[..., None].astype(np.uint8), {})


@pytest.fixture
def parts(tmp_path: Path) -> Path:
    """Of each of four lots three good images and three with a bright square, and its mask."""
    rng = np.random.default_rng(0)
    for lot in range(4):
        for i in range(3):
            pixels, mask = rng.integers(0, 100, (8, 8)), np.zeros((8, 8))
            save(tmp_path / f"test/good/lot{lot}-{i}.png", pixels)
            mask[2:5, 3:6] = 255
            save(tmp_path / f"ground_truth/dent/lot{lot}-{i}_mask.png", mask)
            save(tmp_path / f"test/dent/lot{lot}-{i}.png", pixels + 60 * (mask > 0) + lot)
    save(tmp_path / "train/good/0.png", np.zeros((8, 8)))
    for i in range(4):
        save(tmp_path / f"more/{i}.png", rng.integers(0, 100, (8, 8)))
    return tmp_path


def brightness(data: DataSet, told: str) -> Tensor:
    return data.gather(torch.arange(len(data))).x.mean((1, 2, 3))


def table_of(parts: Path, *sources: str, groups: str | None = None) -> ScoreTable:
    words = [str(parts / one) for one in sources or ("",)]
    return open_score_table(words, SETTINGS, DOMAIN, groups=groups).with_energies(brightness)


def calibration(data: DataSet) -> Calibration:
    energies = brightness(data, "")
    return calibrate(
        energies, 0.2, NETWORK, "given", data.name, data.fingerprint, digests=data.digests
    )


@pytest.mark.parametrize(
    ("calibrated", "scored", "expected"),
    [("test/good", "", 12), ("", "test/good", 12), ("", "", 12), ("test/good", "test/dent", 0),
     ("more", "test/good", 0)],
)  # fmt: skip
def test_images_that_set_the_threshold_are_known_wherever_they_lie(
    parts: Path, calibrated: str, scored: str, expected: int
) -> None:
    made = calibration(normal_images(str(parts / calibrated), SETTINGS, DOMAIN))
    assert table_of(parts, scored).overlaps(made) == expected


def test_copies_by_another_name_are_known_and_kept_in_the_run(parts: Path, tmp_path: Path) -> None:
    made = calibration(normal_images(str(parts / "test/good"), SETTINGS, DOMAIN))
    run = tmp_path / "run"
    run.mkdir()
    made.save(run)
    kept = read(run)
    assert kept is not None
    assert kept.digests == made.digests
    assert len(set(kept.digests)) == 12
    (parts / "test/good/lot0-0.png").rename(parts / "copy.png")
    save(parts / "other.png", np.full((8, 8), 7))
    assert table_of(parts, "copy.png", "other.png").overlaps(kept) == 1
    replace(made, digests=()).save(run)  # as versions before did
    assert '"digests"' not in (run / "calibration.json").read_text()
    before = read(run)
    assert before is not None
    assert before.digests == ()


def test_of_very_many_images_some_are_kept() -> None:
    many = [f"{i:016x}" for i in range(2 * MOST_KEPT + 1)]
    made = calibrate(torch.rand(len(many)), 0.1, NETWORK, "given", "x", "0", digests=many)
    assert len(made.digests) <= MOST_KEPT
    assert set(made.digests) <= set(many)


def test_groups_of_several_sources_are_not_mixed_up(parts: Path) -> None:
    both = table_of(parts, "", "test/good", groups=r"(lot\d)")
    assert both.groups is not None
    numbers = both.groups.tolist()
    assert len(set(numbers)) == 8
    for part in (numbers[:24], numbers[24:]):
        lots = [name.split("lot")[1][0] for name in both.names][: len(part)]
        assert len({*zip(part, lots, strict=True)}) == 4
    assert both.resampled == "8 groups of images"
    assert (table_of(parts).groups, table_of(parts).resampled) == (None, "images")


def test_intervals_are_over_groups(parts: Path) -> None:
    alone, grouped = table_of(parts), table_of(parts, groups=r"(lot\d)")
    made = calibration(normal_images(str(parts / "test/good"), SETTINGS, DOMAIN))
    for table in (alone, grouped):
        assert table.auroc_interval is not None
    assert grouped.auroc_interval != alone.auroc_interval
    shares = [
        replace(table, calibration=made).share_flagged(side)
        for table in (alone, grouped)
        for side in (NORMAL, ANOMALOUS)
    ]
    assert shares[0][0] == shares[2][0]
    assert shares[0][1] != shares[2][1]
    found = localise(grouped, lambda x: x.sum(1) + 1, resamples=50)
    plain = localise(alone, lambda x: x.sum(1) + 1, resamples=50)
    assert found is not None
    assert plain is not None
    assert (found.resampled, plain.resampled) == ("4 groups of images", "images")
    assert found.kinds[0].pixels.aupro == plain.kinds[0].pixels.aupro
    assert found.kinds[0].pixels.aupro_interval != plain.kinds[0].pixels.aupro_interval
    assert found.kinds[0].interval == grouped.auroc_interval


def test_a_single_group_has_no_interval_and_that_is_said(parts: Path) -> None:
    table = table_of(parts, groups="folder")  # all that is good lies in one folder
    assert table.groups is not None
    assert table.auroc_interval is None
    found = localise(table, lambda x: x.sum(1) + 1, resamples=50)
    assert found is not None
    row = found.kinds[0]
    assert (row.interval, row.pixels.aupro_interval) == (None, None)
    assert row.auroc is not None
    assert any("of a single group" in note for note in found.notes)
    assert table.energy is not None
    said = compare(
        -table.energy, {"flat": torch.zeros(24)}, table.side == ANOMALOUS, groups=table.groups
    )
    assert (said[0].low, said[0].ends) == (None, "[too few groups for an interval]")
    assert "flat (0.500) is not beaten by" in (verdict(said) or "")
