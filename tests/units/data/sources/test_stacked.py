"""Stacked MNIST, from small IDX files and from the real ones where they are."""

import os
import struct
from pathlib import Path

import numpy as np
import pytest
import torch

from energan.core import DataError
from energan.data import DataSet, DataSettings, open_data

REAL = Path(os.environ.get("ENERGAN_DATA", "/nonexistent"))
COUNT, HELD_OUT = 120, 20


def write_idx(path: Path, values: np.ndarray) -> None:
    header = struct.pack(f">BBBB{values.ndim}I", 0, 0, 8, values.ndim, *values.shape)
    path.write_bytes(header + values.tobytes())


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """MNIST in small: picture i is all i, its digit i mod 10; the test part counts down."""
    monkeypatch.setenv("ENERGAN_DATA", str(tmp_path))
    folder = tmp_path / "mnist"
    folder.mkdir()
    for part, numbers in (("train", np.arange(COUNT)), ("t10k", np.arange(40)[::-1])):
        pictures = np.broadcast_to(numbers[:, None, None], (len(numbers), 28, 28))
        write_idx(folder / f"{part}-images-idx3-ubyte", pictures.astype(np.uint8))
        write_idx(folder / f"{part}-labels-idx1-ubyte", (numbers % 10).astype(np.uint8))
    return folder


def opened(split: str = "train", **settings: object) -> DataSet:
    given = DataSettings.model_validate({"source": "stacked-mnist", **settings})
    return open_data(given, split)  # type: ignore[arg-type]


def test_three_digits_are_the_colours_and_make_the_label(folder: Path) -> None:
    data = opened()
    assert data.name == "stacked-mnist"
    assert data.domain.shape == (3, 28, 28)
    assert data.domain.classes == 1000
    assert data.class_names is not None
    assert data.class_names[7] == "007"
    assert data.class_names[-1] == "999"
    assert data.held_out is not None
    assert (len(data), len(data.held_out)) == (COUNT - HELD_OUT, HELD_OUT)
    for part in (data, data.held_out):
        raw = part.raw()
        assert (raw == raw[:, :, :1, :1]).all()  # each colour is one whole digit
        a, b, c = (raw[:, i, 0, 0].long() % 10 for i in range(3))
        assert part.labels is not None
        assert torch.equal(part.labels, 100 * a + 10 * b + c)


def test_all_its_parts_say_what_they_are_made_of(folder: Path) -> None:
    train, test = (open_data(DataSettings(source="stacked-mnist"), s) for s in ("train", "test"))
    assert train.stacked_digits
    assert train.held_out is not None
    assert train.held_out.stacked_digits
    assert test.stacked_digits
    assert not open_data(DataSettings(source="mnist")).stacked_digits


def test_no_digit_is_in_training_and_held_out(folder: Path) -> None:
    data = opened()
    assert data.held_out is not None
    assert int(data.raw().max()) < COUNT - HELD_OUT
    assert int(data.held_out.raw().min()) >= COUNT - HELD_OUT


def test_the_draws_are_fixed(folder: Path) -> None:
    kept = COUNT - HELD_OUT
    expected = np.random.RandomState(0).randint(0, kept, (kept, 3))
    assert np.array_equal(opened().raw()[:, :, 0, 0].numpy(), expected)
    assert opened().fingerprint == opened().fingerprint
    test = np.random.RandomState(0).randint(0, 40, (40, 3))
    assert np.array_equal(opened("test").raw()[:, :, 5, 5].numpy(), 39 - test)


def test_one_class_can_be_chosen(folder: Path) -> None:
    labels = opened(held_out=0).labels
    assert labels is not None
    name = f"{int(labels[3]):03d}"
    chosen = opened(held_out=0, classes=[name])
    assert chosen.class_names == (name,)
    assert len(chosen) == int((labels == labels[3]).sum())


def test_what_it_needs_of_mnist(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_idx(folder / "train-labels-idx1-ubyte", np.full(COUNT, 11, np.uint8))
    with pytest.raises(DataError, match="does not hold labels from 0 to 9"):
        opened()
    (folder / "train-labels-idx1-ubyte").unlink()
    with pytest.raises(DataError, match="does not hold labels from 0 to 9"):
        opened()
    folder.rename(folder.parent / "elsewhere")
    with pytest.raises(DataError, match=r"stacked-mnist was not found: .*/mnist; set ENERGAN_DATA"):
        opened()
    monkeypatch.delenv("ENERGAN_DATA")
    with pytest.raises(DataError, match="the folder that holds mnist/ with the four original IDX"):
        opened()


@pytest.mark.skipif(not (REAL / "mnist").is_dir(), reason="set ENERGAN_DATA for real MNIST")
def test_real_digits_have_nearly_all_thousand_classes() -> None:
    data, test = opened(), opened("test")
    assert data.held_out is not None
    assert (len(data), len(data.held_out), len(test)) == (50_000, 10_000, 10_000)
    assert data.labels is not None
    counts = torch.bincount(data.labels, minlength=1000)
    assert int((counts > 0).sum()) == 1000
    mnist = open_data(DataSettings(source="mnist"))
    assert mnist.labels is not None
    means = [mnist.raw()[mnist.labels == d].float().mean((0, 1)) for d in range(10)]
    sevens = data.raw()[data.labels // 10 % 10 == 7][:, 1].float().mean(0)  # the second colour
    distances = [float((sevens - mean).norm()) for mean in means]
    assert distances.index(min(distances)) == 7
