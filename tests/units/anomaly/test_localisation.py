"""Heat maps beside masks: by kind of defect, with what does not count."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.metrics import roc_auc_score
from torch import Tensor

from energan.anomaly.localisation import localise
from energan.anomaly.score_table import ScoreTable, open_score_table
from energan.core import Domain
from energan.data import DataSettings
from energan.metrics.segmentation import aupro, pixel_auroc

DOMAIN = Domain((1, 12, 12), -1.0, 1.0)


@pytest.fixture
def parts(tmp_path: Path) -> Path:
    """Six good images, four of each of two kinds with a bright square of noise, and its mask."""
    rng = np.random.default_rng(0)
    for kind, count in (("good", 6), ("dent", 4), ("hole", 4)):
        for i in range(count):
            pixels = rng.integers(0, 120, (12, 12))
            mask = np.zeros((12, 12), np.uint8)
            if kind != "good":
                y, x = rng.integers(0, 8, 2)
                mask[y : y + 4, x : x + 4] = 255
                pixels += (mask > 0) * (90 if kind == "dent" else 30)
                save(tmp_path / f"ground_truth/{kind}/{i}_mask.png", mask)
            save(tmp_path / f"test/{kind}/{i}.png", pixels.astype(np.uint8))
    save(tmp_path / "train/good/0.png", np.zeros((12, 12), np.uint8))
    return tmp_path


def save(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def scored(parts: Path, *, labels: bool = True) -> ScoreTable:
    table = open_score_table([str(parts)], DataSettings(source="digits"), DOMAIN)
    if not labels:
        table = replace(table, side=torch.full_like(table.side, -1))
    return table.with_energies(
        lambda data, what: brightness(data.gather(torch.arange(len(data))).x)
    )


def brightness(x: Tensor) -> Tensor:
    return x.mean((1, 2, 3))


def heat(x: Tensor) -> Tensor:
    return x.sum(1) + 1


def truth(parts: Path, *kinds: str) -> tuple[np.ndarray, np.ndarray]:
    """Images and masks (N, h, w) of these kinds, read apart."""
    images, masks = [], []
    for kind in kinds:
        for path in sorted((parts / "test" / kind).iterdir()):
            pixels = np.asarray(Image.open(path))
            mask = parts / "ground_truth" / kind / f"{path.stem}_mask.png"
            masks.append(np.asarray(Image.open(mask)) > 0 if mask.exists() else pixels < 0)
            images.append(pixels)
    return np.stack(images), np.stack(masks)


def test_each_kind_is_judged_beside_all_normal_images(parts: Path) -> None:
    found = localise(scored(parts), heat, resamples=200)
    assert found is not None
    assert [(row.kind, row.images, row.pixels.defects) for row in found.kinds] == [
        ("all", 8, 8), ("dent", 4, 4), ("hole", 4, 4),
    ]  # fmt: skip
    assert found.notes == ()
    for row, kinds in zip(found.kinds, [("dent", "hole"), ("dent",), ("hole",)], strict=True):
        images, masks = truth(parts, "good", *kinds)
        assert row.pixels.auroc == pytest.approx(pixel_auroc(images, masks))
        assert row.pixels.aupro == pytest.approx(aupro(images, masks))
        energies = images.mean((1, 2))
        assert row.auroc == pytest.approx(roc_auc_score(masks.any((1, 2)), energies))
        ends = row.pixels.aupro_interval
        assert ends is not None
        assert ends.low <= (row.pixels.aupro or 0) <= ends.high
    dent, hole = found.kinds[1:]
    assert (dent.pixels.auroc or 0) > (hole.pixels.auroc or 0)


def test_images_that_nothing_is_known_of_are_left_out_and_told(parts: Path) -> None:
    (parts / "ground_truth/hole/1_mask.png").unlink()
    found = localise(scored(parts), heat, resamples=20)
    assert found is not None
    assert found.kinds[0].pixels.defects == 7
    assert found.notes == ("1 image without a mask may not be normal: its pixels do not count",)
    unlabelled = localise(scored(parts, labels=False), heat, resamples=20)
    assert unlabelled is not None
    (row,) = unlabelled.kinds
    assert (row.auroc, row.pixels.defects) == (None, 7)
    assert "7 images without a mask may not be normal" in unlabelled.notes[0]


def test_without_masks_there_is_nothing_to_say(parts: Path) -> None:
    (parts / "ground_truth").rename(parts.parent / "away")
    assert localise(scored(parts), heat) is None
