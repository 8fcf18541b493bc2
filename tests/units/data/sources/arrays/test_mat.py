from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.io import savemat

from energan.core import DataError
from energan.data import DataSet, DataSettings, open_data
from energan.data.sources.splits import fixed_order

RANDOM = np.random.default_rng(0)


def opened(path: Path, split: str = "train", **settings: object) -> DataSet:
    given = DataSettings.model_validate({"source": str(path), **settings})
    return open_data(given, split)  # type: ignore[arg-type]


def whole(data: DataSet) -> np.ndarray:
    """All images (N, C, H, W) in the file's order."""
    assert data.held_out is not None
    images = torch.cat([data.raw(), data.held_out.raw()])
    return images[fixed_order(len(images)).argsort()].numpy()


def save(path: Path, **arrays: Any) -> Path:
    savemat(path, arrays, do_compression=True)
    return path


def test_frey_faces_are_rows_of_28_by_20(tmp_path: Path) -> None:
    faces = RANDOM.integers(0, 256, (1965, 28, 20), dtype=np.uint8)
    path = save(tmp_path / "frey_rawface.mat", ff=faces.reshape(1965, 560).T)
    assert np.array_equal(whole(opened(path))[:, 0], faces)


def test_olivetti_faces_lie_column_by_column_as_fractions_or_bytes(tmp_path: Path) -> None:
    faces = RANDOM.integers(0, 256, (40, 64, 64))
    columns = faces.transpose(0, 2, 1).reshape(40, -1).T.astype(float)
    path = save(tmp_path / "olivettifaces.mat", faces=columns, p=[[1]], u=[[2]])
    data = opened(path)
    assert data.events.dtype == torch.uint8
    assert np.array_equal(whole(data)[:, 0], faces)
    data = opened(save(tmp_path / "b.mat", faces=columns / 255), range="unit")
    np.testing.assert_allclose(whole(data)[:, 0] * 255, faces, atol=1e-4)


@pytest.mark.parametrize("axes", [(0, 1, 2, 3), (1, 2, 3, 0), (0, 3, 1, 2)])
def test_colour_images_in_the_usual_layouts(tmp_path: Path, axes: tuple[int, ...]) -> None:
    images = RANDOM.integers(0, 256, (50, 8, 9, 3), dtype=np.uint8)
    labels = RANDOM.integers(1, 11, (50, 1))
    data = opened(save(tmp_path / "a.mat", X=images.transpose(axes), y=labels))
    assert np.array_equal(whole(data), images.transpose(0, 3, 1, 2))
    assert data.class_names == tuple(str(v) for v in np.unique(labels))


def test_images_may_stand_last(tmp_path: Path) -> None:
    images = RANDOM.integers(0, 256, (30, 8, 8), dtype=np.uint8)
    path = save(tmp_path / "a.mat", anything=images.transpose(1, 2, 0), small=[[1, 2]])
    assert np.array_equal(whole(opened(path))[:, 0], images)


REFUSED: dict[str, tuple[Any, str]] = {
    "a text": ("text", "holds no array of images"),
    "nothing": (np.zeros((0, 0)), "holds no array of images"),
    "a structure": ({"a": 1}, "holds no array of images"),
    "columns of no square": (np.zeros((3, 5)), "square number of pixels"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_holds_no_images_is_refused(tmp_path: Path, case: str) -> None:
    value, message = REFUSED[case]
    with pytest.raises(DataError, match=message):
        opened(save(tmp_path / "a.mat", v=value))


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "MATLAB 7.3 file, or empty"),
        (b"xx", "cannot be read as a .mat file"),
        (b"MATLAB 7.3 MAT-file, Platform: GLNXA64" + bytes(200), "-v7"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, raw: bytes, message: str) -> None:
    (tmp_path / "a.mat").write_bytes(raw)
    with pytest.raises(DataError, match=message):
        opened(tmp_path / "a.mat")


def test_torn_files_are_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "a.mat", images=RANDOM.integers(0, 256, (20, 8, 8), dtype=np.uint8))
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(DataError, match=r"cannot be read as a .mat file"):
        opened(path)


def test_tfd_is_split_by_its_first_fold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tfd").mkdir()
    monkeypatch.setenv("ENERGAN_DATA", str(tmp_path))
    with pytest.raises(DataError, match=r"does not hold TFD_48x48.mat"):
        open_data(DataSettings(source="tfd"))
    images = RANDOM.integers(0, 256, (40, 48, 48), dtype=np.uint8)
    folds = RANDOM.integers(0, 4, (40, 5)).astype(np.int8)
    emotion = np.where(folds[:, :1] == 0, -1, RANDOM.integers(1, 8, (40, 1)))
    save(tmp_path / "tfd" / "TFD_48x48.mat", images=images, labs_ex=emotion, folds=folds,
         labs_id=RANDOM.integers(-1, 99, (40, 1)))  # fmt: skip
    data = open_data(DataSettings(source="tfd"))
    assert data.held_out is not None
    assert data.labels is None  # most of its faces have none
    test = open_data(DataSettings(source="tfd"), split="test")
    for part, marks in ((data, (0, 1)), (data.held_out, (2,)), (test, (3,))):
        assert np.array_equal(part.raw()[:, 0].numpy(), images[np.isin(folds[:, 0], marks)])
