from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from energan.core import DataError
from energan.data import DataSet, DataSettings, open_data
from energan.data.sources.folders.images import FILES_A_PART, open_image_folder
from energan.data.sources.tree import find_images
from support.image_files import READABLE, UNREADABLE, encoded, odd_folder, smooth


def opened(folder: Path, **settings: object) -> DataSet:
    return open_data(DataSettings.model_validate({"source": str(folder), **settings}))


def fill(folder: Path, count: int, grey: int = 0) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(count):
        Image.new("L", (5, 4), grey + i).save(folder / f"{i}.png")


@pytest.mark.parametrize("storage", ["memory", "cache"])
def test_a_folder_of_all_that_can_go_wrong(tmp_path: Path, storage: str) -> None:
    folder = odd_folder(tmp_path / "a folder, ü")
    unreadable = set(UNREADABLE)
    if storage == "cache":  # whose key is of files that are there
        (folder / "gone.png").unlink()
        unreadable.remove("gone.png")
    data = opened(folder, size=16, storage=storage)
    assert data.domain.shape == (3, 16, 16)
    assert len(data) + (0 if data.held_out is None else len(data.held_out)) == READABLE
    assert {where for where, _ in data.skipped} == unreadable
    assert all(reason for _, reason in data.skipped)


def test_grey_and_colour_are_settings(tmp_path: Path) -> None:
    folder = odd_folder(tmp_path / "a")
    for channels, count in (("grey", 1), ("colour", 3), ("auto", 3)):
        assert opened(folder, size=4, channels=channels).domain.shape == (count, 4, 4)


def test_different_sizes_need_one(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"different sizes.*--data.size"):
        opened(odd_folder(tmp_path / "a"))


@pytest.mark.parametrize(("count", "kept"), [(1, 0), (9, 0), (10, 1), (25, 2)])
def test_a_tenth_is_held_out(tmp_path: Path, count: int, kept: int) -> None:
    fill(tmp_path / "a", count)
    data = opened(tmp_path / "a")
    assert len(data) == count - kept
    assert (0 if data.held_out is None else len(data.held_out)) == kept
    parts = [data.raw(), *([data.held_out.raw()] if data.held_out else [])]
    assert sorted(torch.cat(parts)[:, 0, 0, 0].tolist()) == list(range(count))


def test_folders_are_classes_where_every_image_lies_in_one(tmp_path: Path) -> None:
    for number, name in enumerate(("b", "a", "ç 3")):
        fill(tmp_path / name, 20, 50 * number)
    data = opened(tmp_path, held_out=0)
    assert data.class_names == ("a", "b", "ç 3")
    assert data.labels is not None
    grey = data.raw()[:, 0, 0, 0]
    assert torch.equal(data.labels, torch.tensor([1, 0, 2])[grey.long() // 50])
    fill(tmp_path, 1)  # one image beside the folders: it is left out, and told
    beside = opened(tmp_path, held_out=0)
    assert (len(beside), beside.class_names) == (60, data.class_names)
    assert any(f.warning and f.text.startswith("1 image beside the folders") for f in beside.facts)
    assert opened(tmp_path, layout="flat", held_out=0).labels is None


def test_one_folder_alone_is_no_class_and_deeper_ones_count_by_the_first(tmp_path: Path) -> None:
    fill(tmp_path / "a" / "x", 3)
    fill(tmp_path / "a" / "y", 3)
    assert opened(tmp_path).labels is None
    fill(tmp_path / "b" / "z", 3)
    assert opened(tmp_path).class_names == ("a", "b")


@pytest.mark.parametrize("test", ["test", "val", "valid", "validation"])
def test_folders_of_splits(tmp_path: Path, test: str) -> None:
    for split, count in (("train", 12), (test, 7)):
        for name in ("cat", "dog"):
            fill(tmp_path / split / name, count)
    settings = DataSettings(source=str(tmp_path), held_out=0)
    assert len(open_data(settings)) == 24
    held = open_data(settings, split="test")
    assert (len(held), held.class_names) == (14, ("cat", "dog"))


def test_a_class_may_be_called_test(tmp_path: Path) -> None:
    for name in ("test", "other"):
        fill(tmp_path / name, 5)
    assert opened(tmp_path).class_names == ("other", "test")
    with pytest.raises(DataError, match="no test part of its own"):
        open_data(DataSettings(source=str(tmp_path)), split="test")


def test_parts_cover_the_rows_and_hold_the_files(tmp_path: Path) -> None:
    count = FILES_A_PART + 3
    fill(tmp_path / "a", 200)
    fill(tmp_path / "b", count - 200)
    source = open_image_folder(tmp_path)
    assert [(p.start, p.count) for p in source.parts] == [(0, FILES_A_PART), (FILES_A_PART, 3)]
    files = find_images(tmp_path)
    assert [raw for p in source.parts for raw in p.read()] == [f.read_bytes() for f in files]
    assert source.where(count - 1) == str(files[-1].relative_to(tmp_path))


def test_content_changes_with_names_and_bytes_only(tmp_path: Path) -> None:
    fill(tmp_path / "a", 3)
    fill(tmp_path / "b", 3)
    first, second = (open_image_folder(tmp_path / name).content() for name in "ab")
    assert first == second
    (tmp_path / "b" / "0.png").rename(tmp_path / "b" / "9.png")
    assert open_image_folder(tmp_path / "b").content() != first
    (tmp_path / "a" / "0.png").write_bytes(encoded(smooth(4, 4)))
    assert open_image_folder(tmp_path / "a").content() != first


def test_an_image_by_itself_is_a_source(tmp_path: Path) -> None:
    (tmp_path / "a b.png").write_bytes(encoded(smooth(4, 6)))
    data = opened(tmp_path / "a b.png")
    assert np.array_equal(data.raw()[0].numpy(), smooth(4, 6).transpose(2, 0, 1))


def test_no_image_and_none_that_can_be_read(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"holds no image .*name the folder"):
        opened(tmp_path)
    for i in range(12):
        (tmp_path / f"{i}.png").write_text("x")
    with pytest.raises(DataError, match=r"no readable image \(12 were tried; the first, 0"):
        opened(tmp_path)


@pytest.mark.parametrize("name", ["a.7z", "a.rar", "a.zst", "a.bz2"])
def test_archives_are_to_be_unpacked(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"\x1f\x8bxx")
    with pytest.raises(DataError, match="is compressed: unpack it"):
        opened(tmp_path / name)


@pytest.mark.parametrize("name", ["a.txt", "a.svg", "a.mp3", "a.pkl"])
def test_other_files_are_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"\x80\x04")
    with pytest.raises(DataError, match="unknown format"):
        opened(tmp_path / name)


def test_a_path_that_is_not_there_is_told_as_a_path(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="photos does not exist"):
        opened(tmp_path / "photos")
