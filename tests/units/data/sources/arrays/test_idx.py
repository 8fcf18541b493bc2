import gzip
import os
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from energan.core import DataError
from energan.data import DataSettings, open_data
from energan.data.sources.arrays.idx import IMAGES, LABELS, open_idx_folder, read_idx


def idx(array: np.ndarray, kind: int = 8) -> bytes:
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, kind, array.ndim, *array.shape)
    return header + array.astype(np.uint8).tobytes()


def write(folder: Path, train: int = 12, test: int = 5, compress: bool = True) -> np.ndarray:
    """The four files, of random 4x3 images; returns the training images."""
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(0)
    written = {}
    for split, count in (("train", train), ("test", test)):
        written[split] = random.integers(0, 256, (count, 4, 3), dtype=np.uint8)
        for name, array in ((IMAGES[split], written[split]), (LABELS[split], np.arange(count) % 4)):
            data = idx(array)
            if compress:
                (folder / f"{name}.gz").write_bytes(gzip.compress(data))
            else:
                (folder / name).write_bytes(data)
    return written["train"]


@given(st.lists(st.integers(1, 5), min_size=1, max_size=4), st.booleans(), st.integers(0, 99))
def test_what_is_written_is_read(
    tmp_path_factory: pytest.TempPathFactory, shape: list[int], compress: bool, seed: int
) -> None:
    array = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    path = tmp_path_factory.mktemp("idx") / "file"
    path.write_bytes(gzip.compress(idx(array)) if compress else idx(array))
    read = read_idx(path, len(shape))
    assert read.dtype == torch.uint8
    assert np.array_equal(read.numpy(), array)


@pytest.mark.parametrize("compress", [True, False])
def test_a_folder_is_split_at_its_end(tmp_path: Path, compress: bool) -> None:
    images = write(tmp_path, compress=compress)
    data = open_data(DataSettings(source=str(tmp_path)))
    assert data.held_out is not None
    assert (len(data), len(data.held_out)) == (10, 2)
    assert np.array_equal(data.raw()[:, 0].numpy(), images[:10])
    assert np.array_equal(data.held_out.raw()[:, 0].numpy(), images[10:])
    assert data.labels is not None
    assert data.labels.tolist() == [i % 4 for i in range(10)]
    assert data.domain.classes == 4
    assert data.domain.shape == (1, 4, 3)


@pytest.mark.parametrize(("count", "kept"), [(29, 4), (30, 5), (5, 0)])
def test_a_small_set_holds_out_a_sixth(tmp_path: Path, count: int, kept: int) -> None:
    write(tmp_path, train=count)
    data = open_data(DataSettings(source=str(tmp_path)))
    assert len(data) == count - kept
    assert (len(data.held_out) if data.held_out else 0) == kept


def test_the_test_split_is_the_t10k_files_whole(tmp_path: Path) -> None:
    write(tmp_path)
    settings = DataSettings(source=str(tmp_path), limit=1, held_out=3)
    data = open_data(settings, split="test")
    assert len(data) == 5
    assert data.held_out is None
    assert data.domain.mean is None
    assert data.labels is not None
    assert data.labels.tolist() == [0, 1, 2, 3, 0]


def test_one_file_finds_the_labels_beside_it_and_does_without(tmp_path: Path) -> None:
    write(tmp_path)
    path = tmp_path / f"{IMAGES['train']}.gz"
    with_labels = open_data(DataSettings(source=str(path)))
    assert with_labels.labels is not None
    assert len(with_labels) == 10
    (tmp_path / f"{LABELS['train']}.gz").unlink()
    alone = open_data(DataSettings(source=str(path)))
    assert alone.labels is None
    assert torch.equal(alone.raw(), with_labels.raw())
    assert open_data(DataSettings(source=str(tmp_path))).labels is None


GOOD = idx(np.zeros((2, 4, 3)))
BAD = {
    "torn in its values": (GOOD[:-1], "is damaged.*2 x 4 x 3 = 24 bytes, and 23 follow"),
    "too long": (GOOD + b"\0", "is damaged.*25 follow"),
    "torn in its header": (GOOD[:10], "ends within its header"),
    "of another type": (idx(np.zeros((2, 4, 3)), kind=13), "0x00000d03, not 0x00000803"),
    "a label file": (idx(np.zeros(2)), "0x00000801, not 0x00000803.*3 dimensions"),
    "no IDX file": (b"PK\3\4" + GOOD, "not an IDX file"),
    "nothing": (b"", "not an IDX file"),
    "without images": (idx(np.zeros((0, 4, 3))), "is empty"),
    "a torn archive": (gzip.compress(GOOD)[:-9], "cannot be read"),
    "an altered archive": (
        gzip.compress(GOOD)[:-6] + b"\1\2" + gzip.compress(GOOD)[-4:], "cannot be read",
    ),
    "a broken stream": (gzip.compress(GOOD)[:10] + b"\xff" * 30, "cannot be read"),
    "huge by its header": (
        struct.pack(">BBBB3I", 0, 0, 8, 3, *[2**32 - 1] * 3) + b"\0" * 9, "is damaged",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_a_bad_file_is_refused_by_name(tmp_path: Path, case: str) -> None:
    data, message = BAD[case]
    write(tmp_path)
    path = tmp_path / f"{IMAGES['train']}.gz"
    path.write_bytes(data)
    with pytest.raises(DataError, match=message) as raised:
        open_idx_folder(tmp_path)
    assert str(path) in str(raised.value)


def test_labels_of_another_set_are_refused(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / f"{LABELS['train']}.gz").write_bytes(gzip.compress(idx(np.zeros(11))))
    with pytest.raises(DataError, match=r"12 images and .* 11 labels"):
        open_idx_folder(tmp_path)


def test_a_folder_without_the_files_says_which_are_missing(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"holds no image|does not hold"):
        open_data(DataSettings(source=str(tmp_path)))


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist"])
def test_the_names_are_looked_for_in_energan_data(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ENERGAN_DATA", raising=False)
    with pytest.raises(DataError, match="ENERGAN_DATA is not set; set ENERGAN_DATA to the folder"):
        open_data(DataSettings(source=name))
    monkeypatch.setenv("ENERGAN_DATA", str(tmp_path))
    with pytest.raises(DataError, match=f"no folder .*{name}; set .* or pass that folder"):
        open_data(DataSettings(source=name))
    images = write(tmp_path / name)
    data = open_data(DataSettings(source=name))
    assert data.name == name
    assert np.array_equal(data.raw()[:, 0].numpy(), images[:10])


needs_mnist = pytest.mark.skipif(
    not (Path(os.environ.get("ENERGAN_DATA", "/nonexistent")) / "mnist").is_dir(),
    reason="set ENERGAN_DATA to a folder that holds mnist/",
)


@needs_mnist
def test_real_mnist_is_split_as_in_2014_and_padded_to_32() -> None:
    data = open_data(DataSettings(source="mnist", pad=32, range="unit"))
    assert data.held_out is not None
    assert data.labels is not None
    assert data.domain.mean is not None
    assert (len(data), len(data.held_out)) == (50_000, 10_000)
    assert data.domain.shape == (1, 32, 32)
    assert data.domain.classes == 10
    assert data.labels[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    border = torch.ones(32, 32, dtype=torch.bool)
    border[2:30, 2:30] = False
    assert data.raw()[:, 0, border].max() == 0
    assert data.raw().max() == 255
    # 0.1307 is the published mean of all 60,000 images; padding adds only zeros.
    assert data.domain.mean.mean().item() * (32 / 28) ** 2 == pytest.approx(0.1307, abs=5e-4)


@needs_mnist
def test_real_mnist_test_set() -> None:
    data = open_data(DataSettings(source="mnist"), split="test")
    assert len(data) == 10_000
    assert data.labels is not None
    counts = [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert torch.bincount(data.labels).tolist() == counts
