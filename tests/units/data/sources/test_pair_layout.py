"""Which folders are the sides and the parts of pairs, and what is left out."""

import unicodedata
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from energan.core import DataError
from energan.data import DataSettings, PairSet, open_data
from support.image_files import noise


def draw(folder: Path, names: list[str] | int = 12, width: int = 8, height: int = 8) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    chosen = [f"{i:02}.png" for i in range(names)] if isinstance(names, int) else names
    for name, image in zip(chosen, noise(len(chosen), height, width), strict=True):
        Image.fromarray(image).save(folder / name)
    return folder


def opened(folder: Path, **options: object) -> PairSet:
    asked = {"source": str(folder), "direction": "left-to-right", "held_out": 0, **options}
    found = open_data(DataSettings.model_validate(asked))
    assert isinstance(found, PairSet)
    return found


def told(folder: Path, **options: object) -> list[str]:
    return [str(fact) for fact in opened(folder, **options).facts]


@pytest.mark.parametrize("beside", ["__MACOSX", ".cache", "@eaDir", "masks", "extra"])
@pytest.mark.parametrize("wide", [8, 16])
def test_an_empty_folder_beside_two_changes_nothing(tmp_path: Path, beside: str, wide: int) -> None:
    for side in "AB":
        draw(tmp_path / side, width=wide)
    (tmp_path / beside).mkdir()
    assert len(opened(tmp_path, size=8)) == 12
    assert told(tmp_path, size=8)[0] == "train: 12 pairs, left in A/, right in B/"


@pytest.mark.parametrize("beside", ["__MACOSX", "@eaDir", "A/.thumbs", "B/@eaDir"])
def test_images_in_system_folders_count_for_nothing(tmp_path: Path, beside: str) -> None:
    for side in "AB":
        draw(tmp_path / side)
    draw(tmp_path / beside, ["._x.png"])
    draw(tmp_path / beside, ["x.png"])
    assert len(opened(tmp_path)) == 12
    assert any("hidden or system" in line for line in told(tmp_path))


def test_an_empty_part_beside_two_folders_changes_nothing(tmp_path: Path) -> None:
    for side in "AB":
        draw(tmp_path / side)
    (tmp_path / "test").mkdir()
    assert len(opened(tmp_path)) == 12


def test_a_and_b_win_over_a_third_folder_which_is_told(tmp_path: Path) -> None:
    for side in ("A", "b", "other"):
        draw(tmp_path / side)
    assert len(opened(tmp_path)) == 12
    assert "left out: other/, 12 images, beside A/, b/" in told(tmp_path)


def test_what_stands_beside_the_parts_is_told(tmp_path: Path) -> None:
    draw(tmp_path / "train", width=16)
    draw(tmp_path / "val", 2, width=16)
    draw(tmp_path / "extra", 3, width=16)
    draw(tmp_path, 1, width=16)
    assert told(tmp_path) == [
        "train: 12 files of two images side by side in train/",
        "val: 2 files of two images side by side in val/",
        "left out: 1 image beside train/, val/ (00.png)",
        "left out: extra/, 3 images, beside train/, val/",
    ]


def test_images_beside_two_folders_are_left_out_or_a_question(tmp_path: Path) -> None:
    for side in "AB":
        draw(tmp_path / side, width=16)
    draw(tmp_path, 1, width=16)
    assert len(opened(tmp_path)) == 12
    assert "left out: 1 image beside A/, B/ (00.png)" in told(tmp_path)
    draw(tmp_path, 20, width=16)
    with pytest.raises(DataError, match=r"folders A and B and 20 images .*--data\.layout flat"):
        opened(tmp_path)
    assert len(opened(tmp_path, layout="flat")) == 44
    draw(tmp_path, 80, width=16)
    assert len(opened(tmp_path)) == 104
    with pytest.raises(DataError, match=r"data\.layout classes does not apply to pairs"):
        opened(tmp_path, layout="classes")


def test_two_folders_of_one_part_are_refused(tmp_path: Path) -> None:
    for name in ("train", "training"):
        draw(tmp_path / name, width=16)
    with pytest.raises(DataError, match="train and training, which could both be the same part"):
        opened(tmp_path)


def test_parts_that_are_called_alike_are_no_sides(tmp_path: Path) -> None:
    for name, count in (("images_train", 12), ("images_val", 5)):
        draw(tmp_path / name, count, width=16)
    data = opened(tmp_path, held_out=None)
    assert len(data) == 12
    assert "val: 5 files of two images side by side in images_val/" in told(tmp_path)


def test_other_names_of_parts(tmp_path: Path) -> None:
    draw(tmp_path / "training_set", width=16)
    draw(tmp_path / "dev", 3, width=16)
    data = opened(tmp_path, held_out=None)
    assert data.held_out is not None
    assert (len(data), len(data.held_out)) == (12, 3)


@pytest.mark.parametrize("forms", [("NFC", "NFD"), ("NFD", "NFC")])
def test_partners_are_found_however_accents_are_written(
    tmp_path: Path, forms: tuple[str, str]
) -> None:
    for side, form in zip("AB", forms, strict=True):
        names = [unicodedata.normalize(form, f"é{i}.png") for i in range(4)]
        draw(tmp_path / side / unicodedata.normalize(form, "ü"), names)
    assert len(opened(tmp_path)) == 4


def turned(path: Path, pixels: np.ndarray) -> None:
    """An image that its EXIF tag turns to be `pixels`."""
    exif = Image.Exif()
    exif[0x0112] = 6  # 90 degrees clockwise is upright
    Image.fromarray(np.rot90(pixels)).save(path, exif=exif)


def test_sizes_are_compared_upright(tmp_path: Path) -> None:
    images = noise(4, 8, 12)
    for side in "AB":
        (tmp_path / "two" / side).mkdir(parents=True)
    for i, image in enumerate(images):
        turned(tmp_path / "two" / "A" / f"{i}.png", image)
        Image.fromarray(image).save(tmp_path / "two" / "B" / f"{i}.png")
    data = opened(tmp_path / "two")
    batch = data.gather(torch.arange(4))
    assert torch.equal(batch.x, batch.condition)
    (tmp_path / "one").mkdir()
    for i, image in enumerate(noise(4, 12, 8)):  # wide as stored, high when upright
        turned(tmp_path / "one" / f"{i}.png", image)
    with pytest.raises(DataError, match=r"not wider than high \(0\.png is 8x12\)"):
        opened(tmp_path / "one")


@pytest.mark.parametrize("storage", ["memory", "cache"])
@pytest.mark.parametrize("direction", ["left-to-right", "right-to-left"])
def test_the_proportions_of_all_pairs_are_checked(
    tmp_path: Path, storage: str, direction: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ENERGAN_CACHE", str(tmp_path / "cache"))
    for side in "AB":
        draw(tmp_path / "p" / side, 90)
    draw(tmp_path / "p" / "B", ["77.png"], width=12)
    how = {"size": 8, "storage": storage}
    for each in (direction, *{"left-to-right", "right-to-left"} - {direction}):
        with pytest.raises(DataError, match=r"(8x8 and 12x8|12x8 and 8x8)\), those of 77: set"):
            opened(tmp_path / "p", direction=each, **how)
    assert len(opened(tmp_path / "p", fit="stretch", **how)) == 90


def test_a_file_that_is_no_pair_among_pairs_is_left_out_with_its_reason(tmp_path: Path) -> None:
    draw(tmp_path, 30, width=16)
    draw(tmp_path, ["27.png"])
    data = opened(tmp_path, size=8)
    assert len(data) == 29
    assert data.skipped == (("27.png", "it is 8x8, so it is not a pair side by side"),)
