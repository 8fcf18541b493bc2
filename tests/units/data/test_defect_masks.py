"""Masks go where their images go, say which pixels are defects, and fit or are refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from energan.core import DataError, Domain
from energan.data import DataSettings
from energan.data.defect_masks import Defects
from energan.data.inference import PredictSet, open_images


def save(path: Path, pixels: np.ndarray, palette: bool = False) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(pixels)
    if palette:
        image.putpalette([0, 0, 0, 200, 0, 0, 0, 90, 0])
    image.save(path)


def inspection(root: Path, image: np.ndarray, mask: np.ndarray, **how: Any) -> Path:
    """One good image, one with a crack, and its mask."""
    save(root / "train/good/1.png", np.zeros_like(image))
    save(root / "test/good/1.png", np.zeros_like(image))
    save(root / "test/crack/7.png", image)
    save(root / "ground_truth/crack/7_mask.png", mask, **how)
    return root


def opened(source: Path, side: int, masks: Path | None = None, **settings: Any) -> PredictSet:
    asked = DataSettings(source="digits", channels="grey", **settings)
    groups, _ = open_images([str(source)], asked, Domain((1, side, side), -1, 1), masks=masks)
    return groups[0]


def crack(group: PredictSet) -> Defects:
    row = next(i for i, name in enumerate(group.names) if "crack" in name)
    assert group.masks is not None
    group.masks.check()
    found = group.masks.defects(row)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("side", "settings"),
    [
        (8, {"size": 8}),
        (8, {"size": 8, "fit": "pad"}),
        (8, {"size": 8, "fit": "stretch"}),
        (8, {"size": 8, "crop": (8, 4, 24, 20)}),
        (12, {"size": 8, "pad": 12}),
        (6, {"size": 8, "random_crop": 6}),
    ],
)
def test_a_mask_lies_on_its_defect(side: int, settings: dict[str, Any], tmp_path: Path) -> None:
    """A bright square on black: what a run sees bright is what it is told to be the defect."""
    image = np.zeros((24, 32), np.uint8)
    image[8:16, 12:20] = 255
    group = opened(inspection(tmp_path, image, image), side, **settings)
    row = next(i for i, name in enumerate(group.names) if "crack" in name)
    seen = group.data.raw()[row : row + 1]
    if "random_crop" in settings:
        seen = group.data.augment(seen, None)
    found = crack(group)
    assert found.regions.shape == (side, side)
    assert (found.count, found.cut, found.lost) == (1, 0, 0)
    bright = seen[0, 0].numpy() > 200
    assert bright.any()
    assert (found.regions[bright] == 1).all()
    assert not found.regions[seen[0, 0].numpy() < 50].any()


def test_defects_that_are_lost_are_counted(tmp_path: Path) -> None:
    """One in the middle, one that the middle square leaves out, one of a pixel."""
    mask = np.zeros((16, 40), np.uint8)
    mask[4:12, 15:24] = mask[:, :6] = mask[1, 27] = 255
    found = crack(opened(inspection(tmp_path, mask, mask), 4, size=4))
    assert (found.count, found.cut, found.lost) == (3, 1, 2)
    whole = crack(opened(tmp_path, 4, size=4, fit="stretch"))
    assert (whole.count, whole.cut, whole.lost) == (3, 0, 1)


def test_a_defect_that_sampling_tears_stays_one(tmp_path: Path) -> None:
    mask = np.zeros((16, 16), np.uint8)
    mask[2, 2] = mask[2:15, 2] = mask[14, 2:14] = mask[2:15, 13] = 255  # a U that is one pixel wide
    mask[8, 2:14] = 255
    found = crack(opened(inspection(tmp_path, mask, mask), 8, size=8))
    assert found.count == 1
    assert set(np.unique(found.regions)) <= {0, 1}


NOISY = np.array([[0, 3, 0], [0, 255, 250], [2, 0, 1]], np.uint8)
CLASSES = np.array([[0, 1, 0], [0, 0, 0], [2, 0, 0]], np.uint8)


@pytest.mark.parametrize(
    ("mask", "palette", "expected"),
    [
        (NOISY, False, [[0, 0, 0], [0, 1, 1], [0, 0, 0]]),  # the noise of JPEG is no defect
        (NOISY.astype(np.uint16) * 257, False, [[0, 0, 0], [0, 1, 1], [0, 0, 0]]),
        (CLASSES, False, CLASSES.tolist()),
        (CLASSES, True, CLASSES.tolist()),
        (CLASSES // 2 * 45, False, (CLASSES // 2).tolist()),
        (np.zeros((3, 3), np.uint8), False, np.zeros((3, 3), int).tolist()),
    ],
)
def test_what_of_a_mask_is_a_defect(
    mask: np.ndarray, palette: bool, expected: list[list[int]], tmp_path: Path
) -> None:
    image = np.zeros((3, 3), np.uint8)
    found = crack(opened(inspection(tmp_path, image, mask, palette=palette), 3))
    assert found.regions.tolist() == expected


def test_colours_count_by_their_brightest_channel(tmp_path: Path) -> None:
    mask = np.zeros((3, 3, 3), np.uint8)
    mask[1, 1] = (255, 0, 0)
    found = crack(opened(inspection(tmp_path, np.zeros((3, 3), np.uint8), mask), 3))
    assert found.regions.tolist() == [[0, 0, 0], [0, 1, 0], [0, 0, 0]]


def test_a_mask_of_another_size_is_refused_with_both_names(tmp_path: Path) -> None:
    group = opened(inspection(tmp_path, np.zeros((8, 8), np.uint8), np.ones((8, 9), np.uint8)), 8)
    with pytest.raises(DataError, match=r"7_mask\.png is 9x8, but its image crack/7\.png is 8x8"):
        crack(group)


def test_a_mask_that_is_no_image_is_refused(tmp_path: Path) -> None:
    image = np.zeros((8, 8), np.uint8)
    (inspection(tmp_path, image, image) / "ground_truth/crack/7_mask.png").write_bytes(b"x")
    with pytest.raises(DataError, match=r"the mask .*7_mask\.png cannot be read: it is empty, or"):
        crack(opened(tmp_path, 8))


@pytest.mark.parametrize("inside", ["test", "test/crack", "test/crack/7.png"])
def test_a_folder_of_masks_goes_with_folders_and_files(inside: str, tmp_path: Path) -> None:
    image = np.zeros((8, 8), np.uint8)
    image[2:4, 5:7] = 255
    (inspection(tmp_path, image, image) / "ground_truth").rename(tmp_path / "elsewhere")
    group = opened(tmp_path / inside, 8, masks=tmp_path / "elsewhere")
    assert np.array_equal(crack(group).regions, image > 0)


def test_the_named_folder_wins_and_one_without_a_mask_is_refused(tmp_path: Path) -> None:
    image = np.zeros((8, 8), np.uint8)
    inspection(tmp_path / "parts", image, image)
    save(tmp_path / "better/crack/7.png", image + 255)
    found = crack(opened(tmp_path / "parts", 8, masks=tmp_path / "better"))
    assert (found.regions == 1).all()
    save(tmp_path / "other/hole/7.png", image)
    for folder, why in (("other", "no mask matches an image"), ("none", "cannot be read")):
        with pytest.raises(DataError, match=rf"--masks .*{folder}:? {why}"):
            opened(tmp_path / "parts", 8, masks=tmp_path / folder)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="holds no images: name the folder of masks"):
        opened(tmp_path / "parts", 8, masks=tmp_path / "empty")
