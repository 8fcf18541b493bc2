"""A test part that is there is read or refused; only where there is none does another stand in."""

import os
import shutil
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest

from energan.core import DataError, NoTestPart
from energan.data import DataSettings, open_data, open_test_part
from support.image_files import encoded, noise
from support.split_sources import FORMS, TEST, tear


def settings(folder: Path, form: str, **more: Any) -> DataSettings:
    pairs = {"direction": "left-to-right"} if form == "pairs" else {}
    return DataSettings(source=str(folder), **pairs, **more)


@pytest.mark.parametrize("form", FORMS)
def test_a_test_part_is_opened_whole(tmp_path: Path, form: str) -> None:
    FORMS[form](tmp_path)
    found = open_test_part(settings(tmp_path, form))
    assert found is not None
    assert len(found) == TEST


@pytest.mark.parametrize("form", FORMS)
def test_a_torn_test_part_is_an_error_and_no_absent_one(tmp_path: Path, form: str) -> None:
    tear(FORMS[form](tmp_path))
    with pytest.raises(DataError, match=r"torn|cannot be read|can be read") as caught:
        open_test_part(settings(tmp_path, form))
    assert not isinstance(caught.value, NoTestPart)


@pytest.mark.parametrize("form", FORMS)
def test_an_absent_test_part_is_none(tmp_path: Path, form: str) -> None:
    test = FORMS[form](tmp_path)
    shutil.rmtree(test) if test.is_dir() else test.unlink()
    assert open_test_part(settings(tmp_path, form)) is None
    with pytest.raises(NoTestPart):
        open_data(settings(tmp_path, form), "test")


@pytest.mark.parametrize("form", ["folders", "pairs"])
def test_an_empty_test_folder_is_an_error(tmp_path: Path, form: str) -> None:
    test = FORMS[form](tmp_path)
    for file in test.iterdir():
        file.unlink()
    with pytest.raises(DataError, match="holds no image"):
        open_test_part(settings(tmp_path, form))


@pytest.mark.parametrize("form", ["folders", "pairs"])
def test_a_test_folder_that_may_not_be_read_is_an_error(
    tmp_path: Path, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    test, scandir = FORMS[form](tmp_path), os.scandir

    def refuse(path: Any = ".") -> Any:
        if Path(path) == test:
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(DataError, match=r"cannot be read: .*Permission denied") as caught:
        open_test_part(settings(tmp_path, form))
    assert not isinstance(caught.value, NoTestPart)


def test_a_test_part_without_the_wanted_classes_is_none(tmp_path: Path) -> None:
    """Test sets are passed on whose labels are kept secret."""
    for split, classes in (("train", "abc"), ("test", "x")):
        for name in classes:
            (tmp_path / split / name).mkdir(parents=True)
            for i, image in enumerate(noise(12)):
                (tmp_path / split / name / f"{i}.png").write_bytes(encoded(image))
    assert open_test_part(settings(tmp_path, "folders", classes=("a",))) is None
    assert open_test_part(settings(tmp_path, "folders")) is not None


def test_data_saved_without_splits_has_no_test_part(tmp_path: Path) -> None:
    cells = [encoded(image) for image in noise(12)]
    datasets.Dataset.from_dict({"image": cells}).save_to_disk(tmp_path / "saved")
    assert open_test_part(settings(tmp_path / "saved", "arrow")) is None


def test_a_streamed_file_has_no_test_part_and_a_folder_may(tmp_path: Path) -> None:
    FORMS["parquet"](tmp_path)
    assert open_test_part(settings(tmp_path, "parquet", storage="stream")) is not None
    one = settings(tmp_path / "train.parquet", "parquet", storage="stream")
    assert open_test_part(one) is None


def test_the_test_part_of_arrays_is_none(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", noise(20))
    assert open_test_part(DataSettings(source=str(tmp_path / "a.npy"))) is None
    assert open_test_part(DataSettings(source="digits")) is None
