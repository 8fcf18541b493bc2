"""Pictures are written from the data's range."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from energan.core import DataError, Domain
from energan.data.images.reading import read_image
from energan.io.pictures import drawable, grid, pixels, save_samples, scatter, strips, to_uint8

SIGNED, UNIT = Domain((1, 4, 4), -1.0, 1.0), Domain((3, 4, 4), 0.0, 1.0)


@pytest.mark.parametrize("domain", [SIGNED, UNIT])
def test_the_ends_of_the_range_are_black_and_white(domain: Domain) -> None:
    assert domain.low is not None
    x = torch.full((3, *domain.shape), domain.low)
    x[1] = domain.high
    x[2] = 7.0  # beyond the range: clipped
    made = to_uint8(x, domain)
    assert made.shape == (3, 4, 4, domain.shape[0])
    assert (made[0] == 0).all()
    assert (made[1] == 255).all()
    assert (made[2] == 255).all()


def test_a_grid_places_images_row_by_row() -> None:
    x = torch.full((5, 1, 64, 64), -1.0)
    x[3] = 1.0
    made = np.asarray(grid(x, SIGNED))
    assert made.shape == (2 * 66 + 2, 3 * 66 + 2)
    assert made[68 + 10, 2 + 10] == 255  # the fourth opens the second row
    assert made[10, 10] == 0
    assert made[0, 0] == 96
    assert np.asarray(grid(torch.rand(2, 3, 64, 64), UNIT)).shape[-1] == 3


def test_formats(tmp_path: Path) -> None:
    x = torch.rand(3, 3, 4, 4)
    save_samples(tmp_path / "deep" / "x.npz", x, UNIT)
    assert np.array_equal(np.load(tmp_path / "deep" / "x.npz")["x"], x.numpy())
    save_samples(tmp_path / "folder", x, UNIT)
    with Image.open(tmp_path / "folder" / "2.png") as image:
        assert np.array_equal(np.asarray(image), to_uint8(x, UNIT)[2])
    points = Domain((2,))
    save_samples(tmp_path / "p.png", torch.randn(9, 2), points, reference=torch.randn(5, 2))
    assert (tmp_path / "p.png").stat().st_size > 1000
    for name, domain in (("p", points), ("q.png", Domain((2, 3, 3, 3))), ("x.gif", UNIT)):
        with pytest.raises(DataError, match=r"npz"):
            save_samples(tmp_path / name, torch.randn(2, *domain.shape), domain)


def test_points_of_one_number_are_counted_over_the_data(tmp_path: Path) -> None:
    line = Domain((1,))
    assert drawable(line)
    x, real = torch.randn(500, 1) + 1, torch.randn(400, 1)
    (axes,) = scatter(x, real).axes
    areas = [sum(bar.get_height() * bar.get_width() for bar in bars) for bars in axes.containers]
    assert areas == pytest.approx([1, 1])
    save_samples(tmp_path / "line.png", x, line, reference=real)
    save_samples(tmp_path / "alone.png", torch.zeros(3, 1), line)  # all alike, and no data
    assert (tmp_path / "alone.png").stat().st_size > 1000


@pytest.mark.parametrize("bands", [1, 3])
def test_a_run_of_16_bits_writes_pictures_of_16(bands: int, tmp_path: Path) -> None:
    deep = Domain((bands, 70, 70), 0.0, 1.0, depth=16)
    x = torch.rand(3, *deep.shape)
    exact = np.rint(x.permute(0, 2, 3, 1).numpy().astype(np.float64) * 65535)
    save_samples(tmp_path / "folder", x, deep, about={"seed": 7})
    path = tmp_path / "folder" / "2.png"
    read = read_image(path.read_bytes()).pixels
    assert read.dtype == np.uint16
    assert np.abs(read - exact[2]).max() <= 1
    with Image.open(path) as image:
        assert image.info["seed"] == "7"
    save_samples(tmp_path / "grid.png", x, deep, columns=2)
    sheet = read_image((tmp_path / "grid.png").read_bytes()).pixels
    assert sheet.shape == (146, 146, bands)
    assert np.abs(sheet[2:72, 74:144] - exact[1]).max() <= 1
    assert (sheet[0] == round(96 / 255 * 65535)).all()
    shown = pixels(tmp_path / "grid.png")
    assert shown.dtype == np.uint8
    assert np.abs(shown[2:72, 74:144, 0] - exact[1][..., 0] / 257).max() <= 1.01


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("bands", [2, 4, 5, 16])
def test_images_of_many_bands_are_tiffs_and_show_some(
    bands: int, depth: int, tmp_path: Path
) -> None:
    domain = Domain((bands, 8, 8), -1.0, 1.0, depth=depth)
    x = torch.rand(3, *domain.shape) * 2 - 1
    save_samples(tmp_path / "folder", x, domain)
    read = read_image((tmp_path / "folder" / "0.tif").read_bytes()).pixels
    assert read.dtype == (np.uint8 if depth == 8 else np.uint16)
    most = 2**depth - 1
    assert np.abs(read / most - (x[0].permute(1, 2, 0).numpy() + 1) / 2).max() <= 1 / most
    plain = Domain((3 if bands > 2 else 1, 8, 8), -1.0, 1.0)
    assert np.array_equal(to_uint8(x, domain), to_uint8(x[:, : plain.shape[0]], plain))
    chosen = replace(domain, shown=(1, 0, 1))
    assert np.array_equal(to_uint8(x, chosen), to_uint8(x[:, [1, 0, 1]], plain))
    assert strips([x, x], domain)[0].shape == (6, *plain.shape)
