"""What a run is asked about is prepared, to the byte, as what it was trained on."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from energan.core import DataError, Domain
from energan.data import DataSettings, open_data
from energan.data.inference import open_images
from energan.data.selection import select
from energan.data.sources.detect import open_source
from support.image_files import encoded, noise

SIDE = 16
SETTINGS: list[dict[str, Any]] = [
    {},
    {"range": "unit", "channels": "grey"},
    {"size": 8, "storage": "cache"},
    {"crop": (1, 2, 15, 16), "size": 12},
    {"size": 8, "pad": 11},
    {"random_crop": 10, "mirror": True},
    {"labels": None, "limit": 20, "held_out": 7},
]


def write(folder: Path, form: str) -> str:
    random = np.random.default_rng(0)
    path = folder / f"some.{form}"
    if form == "npy":
        np.save(path, random.random((40, SIDE, SIDE, 3), dtype=np.float32))
    elif form == "npz":
        np.savez(path, x=noise(40, SIDE, SIDE), y=random.integers(0, 3, 40))
    else:
        path.mkdir()
        for i, image in enumerate(noise(40, SIDE, SIDE)):
            (path / f"{i:02}.png").write_bytes(encoded(image))
    return str(path)


@pytest.mark.parametrize("options", SETTINGS, ids=str)
@pytest.mark.parametrize("form", ["npy", "npz", "folder"])
def test_the_runs_own_held_out_images_come_back_as_they_were(
    tmp_path: Path, form: str, options: dict[str, Any]
) -> None:
    settings = DataSettings(source=write(tmp_path, form), **options)
    trained = open_data(settings)
    held_out = trained.held_out
    assert held_out is not None
    (asked,), skipped = open_images([settings.source], settings, trained.domain)
    assert not skipped
    assert (asked.part, asked.own) == ("held-out", True)
    rows = select(open_source(settings, "train"), settings, "train").held_out
    whole = torch.arange(len(held_out))
    assert torch.equal(asked.data.gather(whole).x, held_out.gather(rows.argsort()).x)


@pytest.mark.parametrize("form", ["npy", "npz", "folder"])
def test_another_source_is_prepared_alike_whatever_concerned_the_first_alone(
    tmp_path: Path, form: str
) -> None:
    source = write(tmp_path, form)
    own = DataSettings(source="digits", classes=("1", "2"), limit=50, held_out=9, labelled=4,
                       size=12, channels="colour", random_crop=10)  # fmt: skip
    (asked,), _ = open_images([source], own, open_data(own).domain)
    alone = DataSettings(source=source, size=12, channels="colour", random_crop=10, held_out=0)
    plain = open_data(alone)
    order = open_source(alone, "train").order
    assert order is not None
    assert (asked.part, asked.own, len(asked)) == ("all", False, 40)
    everything = torch.arange(40)
    assert torch.equal(asked.data.gather(order).x, plain.gather(everything).x)


@pytest.mark.parametrize("pad", [None, 5, 9])
def test_images_of_another_shape_than_the_runs_are_refused(tmp_path: Path, pad: int | None) -> None:
    np.save(tmp_path / "a.npy", noise(9, 6, 7))
    run = DataSettings(source=str(tmp_path / "gone"), pad=pad, random_crop=None)
    with pytest.raises(DataError, match=r"have shape \(3, 6, 7\), and the run takes \(3, 9, 8\)"):
        open_images([str(tmp_path / "a.npy")], run, Domain((3, 9, 8), -1.0, 1.0))


def test_images_of_other_bands_are_refused_by_their_number(tmp_path: Path) -> None:
    trained = DataSettings(source=str(tmp_path / "five.npy"), channels="all")
    np.save(tmp_path / "five.npy", np.zeros((12, 40, 40, 5), np.uint8))
    np.save(tmp_path / "three.npy", noise(12, 40, 40))
    with pytest.raises(DataError, match="has images of 3 bands, and the run takes 5"):
        open_images([str(tmp_path / "three.npy")], trained, open_data(trained).domain)
