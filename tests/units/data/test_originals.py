"""Maps brought back to the images that they are of: a bright pixel lies where it came from."""

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from energan.core import Domain
from energan.data import DataSettings
from energan.data.inference import open_images
from energan.data.originals import VisibleRegion, visible_region

SIZES = [(40, 30), (30, 40), (24, 24), (16, 16), (90, 33)]
SETTINGS = {
    "crop": {"size": 16},
    "pad": {"size": 16, "fit": "pad"},
    "stretch": {"size": 16, "fit": "stretch"},
    "box": {"size": 16, "crop": (3, 1, 15, 13)},
    "border": {"size": 16, "pad": 21},
    "window": {"size": 16, "random_crop": 11},
    "all": {"size": 14, "crop": (0, 2, 16, 14), "fit": "pad", "pad": 19, "random_crop": 13},
}


def save(path: Path, pixels: np.ndarray) -> None:
    Image.fromarray(pixels).save(path)


def opened(folder: Path, side: int, **settings: object):  # type: ignore[no-untyped-def]
    of = DataSettings(source="digits", **settings)  # type: ignore[arg-type]
    (group,), _ = open_images([str(folder)], of, Domain((1, side, side), -1.0, 1.0))
    return group


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("name", SETTINGS)
def test_what_the_run_sees_is_brought_back_to_its_place(
    tmp_path: Path, name: str, size: tuple[int, int]
) -> None:
    """Each image has one bright block; the event of it, brought back as a map, has its centre there
    and a block that is cut off is seen nowhere."""
    wide, high = size
    settings = SETTINGS[name]
    side = {"border": 21, "window": 11, "all": 13}.get(name, 16)
    places = np.random.default_rng(0).integers(0, (high - 4, wide - 4), (6, 2))
    for i, (y, x) in enumerate(places):
        pixels = np.zeros((high, wide), np.uint8)
        pixels[y : y + 4, x : x + 4] = 255
        save(tmp_path / f"{i}.png", pixels)
    group = opened(tmp_path, side, **settings)
    events = group.data.gather(torch.arange(6)).x
    assert group.originals is not None
    found = dict(group.originals.read(range(6), group.data.domain))
    assert sorted(found) == list(range(6))
    for i, (y, x) in enumerate(places):
        left, top, right, bottom = found[i].region.seen
        heat = found[i].place((events[i, 0] + 1) / 2)
        assert heat.shape == (high, wide)
        rows, columns = np.arange(high)[:, None] + 0.5, np.arange(wide)[None] + 0.5
        inside = (rows >= top) & (rows < bottom) & (columns >= left) & (columns < right)
        np.testing.assert_array_equal(np.isfinite(heat), inside)
        whole = left <= x and top <= y and x + 4 <= right and y + 4 <= bottom
        if not whole:
            continue
        weight = np.nan_to_num(heat).clip(0.1) - 0.1
        cell = (found[i].region.box[2] - found[i].region.box[0]) / side
        assert (weight * rows).sum() / weight.sum() == pytest.approx(y + 2, abs=0.5 + cell / 2)
        assert (weight * columns).sum() / weight.sum() == pytest.approx(x + 2, abs=0.5 + cell / 2)


def test_the_box_is_in_pixels_of_the_image() -> None:
    def box(image: tuple[int, int], **settings: object) -> tuple[float, ...]:
        of = DataSettings(source="digits", **settings)  # type: ignore[arg-type]
        return visible_region(image, of, of.decoding).box

    assert box((40, 30)) == (0, 0, 40, 30)
    assert box((40, 30), size=10) == (5, 0, 35, 30)
    assert box((40, 30), size=(10, 5)) == (0, 5, 40, 25)
    assert box((40, 20), size=(10, 20), fit="pad") == (0, -28, 40, 52)  # 10x5, seven rows above
    assert box((40, 30), size=10, fit="stretch") == (0, 0, 40, 30)
    assert box((40, 20), size=10, fit="pad") == (0, -8, 40, 32)  # 10x5, two rows above, three below
    assert box((40, 30), size=(20, 10)) == (0, 5, 40, 25)
    # 7x10, six columns before and seven behind
    assert box((20, 30), size=(20, 10), fit="pad") == pytest.approx((-120 / 7, 0, 40, 30))
    assert box((40, 30), size=10, crop=(4, 5, 24, 25)) == (4, 5, 24, 25)
    assert box((20, 20), size=10, pad=13) == (-2, -2, 24, 24)  # one pixel before, two behind
    assert box((20, 20), size=10, random_crop=7) == (2, 2, 16, 16)


def test_a_border_over_what_was_cut_off_shows_nothing_of_it() -> None:
    of = DataSettings(source="digits", size=10, pad=14)
    region = visible_region((40, 20), of, of.decoding)
    assert region == VisibleRegion((6, -4, 34, 24), (10, 0, 30, 20))


def test_a_cell_of_a_map_covers_the_pixels_it_is_of() -> None:
    """By nearest neighbour, from its definition: the pixel (x, y) is of the cell that its centre
    lies in. Bilinear values differ only between the centres of cells."""
    heat = np.zeros((4, 5), np.float32)
    heat[1, 3] = 1
    region = VisibleRegion((-2.0, 3.0, 18.0, 11.0), (0.0, 3.0, 16.0, 11.0))
    placed = region.place(heat, (16, 14))  # cells of 4x2 pixels
    assert np.isnan(placed[:3]).all()
    assert np.isnan(placed[11:]).all()
    bright = np.argwhere(placed > 0.4)
    assert bright.min(0).tolist() == [5, 10]  # y from 3 + 2, x from −2 + 12
    assert bright.max(0).tolist() == [6, 13]


def test_originals_are_upright_whole_and_in_colour(tmp_path: Path) -> None:
    pixels = np.random.default_rng(1).integers(0, 255, (12, 20, 3)).astype(np.uint8)
    file = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    Image.fromarray(pixels).save(file, "PNG", exif=exif)
    (tmp_path / "a.png").write_bytes(file.getvalue())
    group = opened(tmp_path, 8, size=8)
    assert group.originals is not None
    ((_, one),) = group.originals.read([0], group.data.domain)
    np.testing.assert_array_equal(one.pixels, np.rot90(pixels, -1))
    assert one.region.box == (0, 4, 12, 16)


def test_deep_images_are_shown_by_their_range(tmp_path: Path) -> None:
    deep = np.linspace(1000, 3000, 64).reshape(8, 8).astype(np.uint16)
    Image.fromarray(deep).save(tmp_path / "a.png")
    group = opened(tmp_path, 8, intensity=(1000, 3000))
    assert group.originals is not None
    ((_, one),) = group.originals.read([0], group.data.domain)
    assert (one.pixels.min(), one.pixels.max()) == (0, 255)
    own = opened(tmp_path, 8)
    ((_, one),) = own.originals.read([0], own.data.domain)
    assert (one.pixels.min(), one.pixels.max()) == (0, 255)


def test_arrays_are_originals_too() -> None:
    of = DataSettings(source="digits", size=16)
    (group,), _ = open_images(["digits"], of, Domain((1, 16, 16), -1.0, 1.0))
    assert group.originals is not None
    ((i, one),) = group.originals.read([3], group.data.domain)
    assert i == 3
    assert one.pixels.shape == (8, 8, 1)
    assert one.region.box == (0, 0, 8, 8)
