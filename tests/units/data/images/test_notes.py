"""That images are enlarged, shrunk, cut or made grey is told, with numbers."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from energan.core import Domain
from energan.data import DataSettings, open_data
from energan.data.facts import Fact
from energan.data.inference import open_images


def photos(folder: Path, *sizes: tuple[int, int], suffix: str = "png", grey: bool = False) -> Path:
    folder.mkdir(exist_ok=True)
    for i, (width, height) in enumerate(sizes):
        shape = (height, width) if grey else (height, width, 3)
        pixels = np.random.default_rng(i).integers(0, 256, shape, dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{i}.{suffix}")
    return folder


def sizes_told(folder: Path, **options: object) -> list[tuple[str, bool]]:
    data = open_data(DataSettings(**{"source": str(folder), "held_out": 0, **options}))
    return [(fact.text, fact.warning) for fact in data.facts if fact.subject == "size"]


def test_enlarged_and_shrunk_images_are_counted(tmp_path: Path) -> None:
    photos(tmp_path, (16, 16), (20, 24), (32, 32), (90, 80))
    assert sizes_told(tmp_path, size=32) == [
        ("2 of 4 images enlarged to 32x32, from 16 to 20 pixels a side (data.size)", True),
        ("1 of 4 images shrunk to 32x32, from 80 pixels a side (data.size)", True),
    ]


@pytest.mark.parametrize(("fit", "told"), [("crop", 20), ("pad", 30), ("stretch", 20)])
def test_the_side_that_counts_is_the_one_that_is_scaled(
    tmp_path: Path, fit: str, told: int
) -> None:
    photos(tmp_path, (30, 20))
    assert sizes_told(tmp_path, size=8, fit=fit) == [
        (f"1 of 1 image shrunk to 8x8, from {told} pixels a side (data.size)", True)
    ]


def test_little_is_told_without_a_warning_and_nothing_without_a_change(tmp_path: Path) -> None:
    photos(tmp_path, (16, 16))
    text = "1 of 1 image {} to {}x{}, from 16 pixels a side (data.size)"
    assert sizes_told(tmp_path, size=18) == [(text.format("enlarged", 18, 18), False)]
    assert sizes_told(tmp_path, size=9) == [(text.format("shrunk", 9, 9), False)]
    assert sizes_told(tmp_path, size=16) == []
    assert sizes_told(tmp_path) == []


def test_a_large_jpeg_is_told_by_its_own_size(tmp_path: Path) -> None:
    """Also where no finer image than needed is decoded; and one that lies on its side."""
    photos(tmp_path, (640, 480), suffix="jpg")
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (480, 640)).save(tmp_path / "1.jpg", exif=exif)
    assert sizes_told(tmp_path, size=32) == [
        ("2 of 2 images shrunk to 32x32, from 480 pixels a side (data.size)", True)
    ]


def test_arrays_and_a_cache_tell_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENERGAN_CACHE", str(tmp_path / "cache"))
    folder = photos(tmp_path / "x", *[(16, 16)] * 5)
    expected = [("5 of 5 images enlarged to 32x32, from 16 pixels a side (data.size)", True)]
    for _ in range(2):
        assert sizes_told(folder, size=32, storage="cache") == expected
    np.save(tmp_path / "x.npy", np.zeros((5, 16, 16, 3), np.uint8))
    assert sizes_told(tmp_path / "x.npy", size=32) == expected


def test_what_fits_images_to_a_run_is_told_of_each_source(tmp_path: Path) -> None:
    domain = Domain((1, 8, 8), -1.0, 1.0)
    folder = photos(tmp_path / "photos", (20, 30), (8, 8))
    small = photos(tmp_path / "small", (4, 4), (8, 8), grey=True)
    words = [str(folder), *(str(small / name) for name in ("0.png", "1.png"))]
    groups, _ = open_images(words, DataSettings(source="digits"), domain)
    found = [[fact for fact in group.data.facts if fact.subject != "train"] for group in groups]
    assert found[0] == [
        Fact("channels", "2 of 2 images in colour, converted to grey"),
        Fact(
            "cut off",
            "1 of 2 images is not square; 33% of it is cut off; to keep everything: --data.fit pad "
            "or stretch",
            warning=True,
        ),
        Fact("size", "1 of 2 images shrunk to 8x8, from 20 pixels a side (data.size)", True),
    ]
    assert found[1] == [
        Fact("size", "1 of 2 images enlarged to 8x8, from 4 pixels a side (data.size)", True)
    ]
