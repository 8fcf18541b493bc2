from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from energan.core import DataError
from energan.data import DataSet, DataSettings, open_data
from energan.data.sources.splits import fixed_order

RANDOM = np.random.default_rng(0)
GREY = RANDOM.integers(0, 256, (20, 4, 5), dtype=np.uint8)
COLOUR = RANDOM.integers(0, 256, (20, 4, 5, 3), dtype=np.uint8)


def opened(path: Path, array: Any, **settings: Any) -> DataSet:
    np.save(path / "a.npy", array, allow_pickle=True)
    return open_data(DataSettings(source=str(path / "a.npy"), **settings))


def whole(data: DataSet) -> np.ndarray:
    """All events of both parts, back in the file's order."""
    assert data.held_out is not None
    events = torch.cat([data.raw(), data.held_out.raw()])
    return events[fixed_order(len(events)).argsort()].numpy()


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (GREY, GREY[:, None]),
        (GREY[:, None], GREY[:, None]),
        (GREY[..., None], GREY[:, None]),
        (COLOUR, COLOUR.transpose(0, 3, 1, 2)),
        (COLOUR.transpose(0, 3, 1, 2), COLOUR.transpose(0, 3, 1, 2)),
        (np.asfortranarray(COLOUR), COLOUR.transpose(0, 3, 1, 2)),
    ],
)
def test_image_layouts(tmp_path: Path, array: np.ndarray, expected: np.ndarray) -> None:
    data = opened(tmp_path, array)
    assert data.raw().dtype == torch.uint8
    assert (len(data), data.domain.low) == (18, -1.0)
    assert np.array_equal(whole(data), expected)


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", ">f8"])
def test_points(tmp_path: Path, dtype: str) -> None:
    array = RANDOM.normal(size=(50, 3)).astype(dtype)
    data = opened(tmp_path, array)
    assert data.held_out is not None
    assert (len(data), len(data.held_out)) == (45, 5)
    assert data.domain.shape == (3,)
    assert data.domain.low is None
    assert data.raw().dtype == torch.float32
    assert np.array_equal(whole(data), array.astype(np.float32))


@pytest.mark.parametrize("chosen", ["signed", "unit"])
@pytest.mark.parametrize("given", ["signed", "unit"])
def test_float_images_come_to_the_chosen_range(tmp_path: Path, given: str, chosen: str) -> None:
    unit = RANDOM.random((20, 4, 4))
    unit[0, 0, :2] = 0, 1
    array = unit if given == "unit" else 2 * unit - 1
    data = opened(tmp_path, array, range=chosen, pad=6)
    expected = unit if chosen == "unit" else 2 * unit - 1
    assert (data.domain.low, data.domain.high) == ((0 if chosen == "unit" else -1), 1)
    np.testing.assert_allclose(whole(data)[:, 0, 1:5, 1:5], expected, atol=1e-6)
    border = whole(data).copy()
    border[:, :, 1:5, 1:5] = data.domain.low
    assert (border == data.domain.low).all()  # padding is the low end of the range
    np.testing.assert_allclose(  # gather hands on what is stored
        data.gather(torch.arange(len(data))).x.numpy(), data.raw().numpy()
    )


@pytest.mark.parametrize("key", ["x", "images", "data", "arr_0", "anything"])
@pytest.mark.parametrize("labels", ["y", "labels", None])
def test_npz_keys(tmp_path: Path, key: str, labels: str | None) -> None:
    y = np.arange(20, dtype=np.uint8) % 3
    parts: dict[str, Any] = {key: GREY} | ({} if labels is None else {labels: y})
    np.savez_compressed(tmp_path / "a.npz", **parts)
    data = open_data(DataSettings(source=str(tmp_path / "a.npz")))
    assert np.array_equal(whole(data), GREY[:, None])
    if labels is None:
        assert data.labels is None
        assert data.domain.classes is None
    else:
        assert data.labels is not None
        assert data.labels.dtype == torch.int64
        assert data.domain.classes == 3
        assert data.labels.tolist() == y[fixed_order(20).numpy()][:18].tolist()


HALF = np.zeros((4, 4, 4), np.float32)
BAD: dict[str, tuple[Any, str]] = {
    "NaN points": (np.array([[0, np.nan], [1, 2]]), "1 values that are NaN or infinite"),
    "infinite points": (np.array([[0, np.inf], [-np.inf, 2]]), "2 values"),
    "beyond float32": (np.array([[0, 1e300]]), "infinite as float32"),
    "NaN images": (np.full((2, 4, 4), np.nan), "NaN"),
    "objects": (np.array([[None, 1]], dtype=object), "without objects"),
    "whole numbers": (np.zeros((4, 3), np.int64), "int64 values: save images as uint8"),
    "rows of wide integers": (np.zeros((4, 4), np.uint16), "uint16 values"),
    "images of 64-bit integers": (np.zeros((4, 4, 4), np.int64), "int64 values"),
    "complex": (np.zeros((4, 3), complex), "complex128"),
    "text": (np.array([["a", "b"]]), "save images as uint8"),
    "empty": (np.zeros((0, 3)), "is empty"),
    "one axis": (np.zeros(5), "has shape"),
    "a scalar": (np.float64(3), "has shape"),
    "five axes": (np.zeros((2, 1, 4, 4, 4), np.uint8), r"save \(N, H, W\)"),
    "no channel axis": (np.zeros((2, 4, 4, 4), np.uint8), "two axes could be the channels"),
    "two channel axes": (np.zeros((2, 3, 4, 1), np.uint8), "two axes could be the channels"),
    "flat uint8": (np.zeros((4, 64), np.uint8), r"reshape images to \(N, H, W\)"),
}


@pytest.mark.parametrize("case", BAD)
def test_unsuitable_arrays_are_refused_by_name(tmp_path: Path, case: str) -> None:
    array, message = BAD[case]
    with pytest.raises(DataError, match=message) as raised:
        opened(tmp_path, array)
    assert str(tmp_path / "a.npy") in str(raised.value)


@pytest.mark.parametrize("keep", [0, 4, 40, 200])
@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_torn_files_are_refused_by_name(tmp_path: Path, keep: int, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    if suffix == ".npy":
        np.save(path, GREY)
    else:
        np.savez(path, x=GREY)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(DataError, match="cannot be read as arrays") as raised:
        open_data(DataSettings(source=str(path)))
    assert str(path) in str(raised.value)


LABELS: dict[str, tuple[np.ndarray, str]] = {
    "too few": (np.zeros(19, np.int64), r"of shape \(19,\); 20 examples need"),
    "fractions": (np.zeros(20), "labels are float64"),
    "one-hot": (np.zeros((20, 3), np.int64), r"shape \(20, 3\)"),
    "negative": (np.arange(20) - 2, "label -2 is negative"),
}


@pytest.mark.parametrize("case", LABELS)
def test_unsuitable_labels_are_refused(tmp_path: Path, case: str) -> None:
    y, message = LABELS[case]
    np.savez(tmp_path / "a.npz", x=GREY, y=y)
    with pytest.raises(DataError, match=message):
        open_data(DataSettings(source=str(tmp_path / "a.npz")))


def test_an_npz_without_a_clear_array_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", first=GREY, second=GREY)
    with pytest.raises(DataError, match="holds first, second: name the array"):
        open_data(DataSettings(source=str(tmp_path / "a.npz")))
    np.savez(tmp_path / "a.npz", y=np.zeros(3))
    with pytest.raises(DataError, match="no arrays"):
        open_data(DataSettings(source=str(tmp_path / "a.npz")))
