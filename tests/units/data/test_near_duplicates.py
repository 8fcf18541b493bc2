"""What was saved anew is found again; what only looks alike is not."""

import io
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter

from energan.core import Domain
from energan.data import DataSet, DataSettings, open_data
from energan.data.near_duplicates import near_duplicates
from support.commands import run

Pixels = NDArray[np.uint8]


def textures(count: int, seed: int, side: int = 96) -> list[Pixels]:
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        x = gaussian_filter(rng.standard_normal((side, side)), rng.uniform(2, 6))
        found.append((110 + 30 * x / x.std()).clip(0, 255).astype(np.uint8))
    return found


def as_set(images: list[Pixels]) -> DataSet:
    events = torch.from_numpy(np.stack(images))
    events = events[:, None] if events.dim() == 3 else events.permute(0, 3, 1, 2)
    return DataSet("made", events, Domain(tuple(events.shape[1:]), -1.0, 1.0))


def jpeg(x: Pixels) -> Pixels:
    file = io.BytesIO()
    Image.fromarray(x).save(file, "JPEG", quality=40)
    return np.asarray(Image.open(file))


def resized(x: Pixels) -> Pixels:
    small = Image.fromarray(x).resize((48, 48), Image.Resampling.LANCZOS)
    return np.asarray(small.resize((96, 96), Image.Resampling.BICUBIC))


def brighter(x: Pixels) -> Pixels:
    return (1.1 * x.astype(float) + 10).clip(0, 255).astype(np.uint8)


def darker(x: Pixels) -> Pixels:
    return (0.5 * x.astype(float)).astype(np.uint8)


def noisy(x: Pixels) -> Pixels:
    noise = np.random.default_rng(0).normal(0, 6, x.shape)
    return (x + noise).clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("change", [jpeg, resized, brighter, darker, noisy])
def test_copies_are_found_among_many(change: Callable[[Pixels], Pixels]) -> None:
    known, others = textures(120, 0), textures(40, 1)
    copies = [change(known[i]) for i in range(0, 120, 3)]
    found = near_duplicates(as_set(known), as_set(copies + others))
    assert found.tolist() == [*range(0, 120, 3), *[-1] * 40]


def test_colours_count_as_grey_and_few_images_suffice() -> None:
    colour = [np.stack([x] * 3, -1) for x in textures(3, 2)]
    found = near_duplicates(as_set(colour), as_set([colour[2], *colour[:1], 255 - colour[1]]))
    assert found.tolist() == [2, 0, -1]


def test_flat_images_are_no_duplicates() -> None:
    flat = [np.full((96, 96), grey, np.uint8) for grey in (0, 90, 255)]
    flat[1][::7, ::5] += 1
    assert near_duplicates(as_set(flat + textures(2, 0)), as_set(flat)).tolist() == [-1, -1, -1]


def test_parts_in_the_same_place_are_told_apart() -> None:
    """A bright disc on a dark ground, the same in all: only what is on it tells images apart."""
    y, x = np.mgrid[-1:1:96j, -1:1:96j]
    disc = 120.0 * (x**2 + y**2 < 0.6)
    parts = [(disc + 0.3 * texture).clip(0, 255).astype(np.uint8) for texture in textures(160, 3)]
    raw = [np.corrcoef(parts[0].ravel(), part.ravel())[0, 1] for part in parts[1:]]
    assert np.median(raw) > 0.97  # by themselves all are alike
    found = near_duplicates(as_set(parts[:120]), as_set([*parts[120:], brighter(parts[5])]))
    assert found.tolist() == [*[-1] * 40, 5]


def test_different_digits_are_rarely_taken_for_one() -> None:
    if not (Path(os.environ.get("ENERGAN_DATA", "/nowhere")) / "mnist").is_dir():
        pytest.skip("ENERGAN_DATA holds no mnist")
    settings = DataSettings(source="mnist", limit=3_000)
    known, others = open_data(settings), open_data(settings, "test")
    found = near_duplicates(known, others.subset(torch.arange(1_000)))
    assert int((found >= 0).sum()) <= 5


def test_the_command_counts_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = textures(8, 4)
    for part, images in (("train", made[:6]), ("test", [*made[6:], brighter(made[0])])):
        (tmp_path / part).mkdir()
        for i, x in enumerate(images):
            Image.fromarray(x).save(tmp_path / part / f"{i}.png")
    assert run("data", "show", tmp_path, "--held-out", "0") == 0
    assert (
        "near-duplicates of training images: 1 of 3 images of the test part; scores on these look "
        "better than they are" in capsys.readouterr().out
    )
    assert run("data", "show", "ring") == 0
    assert "near-duplicates" not in capsys.readouterr().out
