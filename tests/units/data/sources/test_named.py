"""Named sets in the true form of their files, generated; and the real ones where they are."""

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from energan.core import DataError
from energan.data import DataSet, DataSettings, open_data
from energan.data.sources.splits import fixed_order
from support.image_files import encoded, noise

RANDOM = np.random.default_rng(0)
REAL = Path(os.environ.get("ENERGAN_DATA", "/nonexistent"))


def opened(source: str, split: str = "train", **settings: object) -> DataSet:
    given = DataSettings.model_validate({"source": source, **settings})
    return open_data(given, split)  # type: ignore[arg-type]


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ENERGAN_DATA", str(tmp_path))
    return tmp_path


NAMES = ["mnist", "fashion-mnist", "cifar10", "celeba", "lsun-bedroom", "imagenet", "tfd"]


@pytest.mark.parametrize("name", NAMES)
def test_what_is_not_here_says_where_it_was_looked_for(name: str, root: Path) -> None:
    with pytest.raises(DataError, match=f"{name} was not found: there is no folder {root / name}"):
        opened(name)
    (root / name).mkdir()
    with pytest.raises(DataError, match=str(root / name)):
        opened(name)


def test_cifar10_in_its_binary_version(root: Path) -> None:
    folder = root / "cifar10" / "cifar-10-batches-bin"
    folder.mkdir(parents=True)
    records = RANDOM.integers(0, 256, (6, 20, 3073), dtype=np.uint8)
    records[..., 0] %= 10
    for i, name in enumerate([*(f"data_batch_{n}" for n in range(1, 6)), "test_batch"]):
        (folder / f"{name}.bin").write_bytes(records[i].tobytes())
    data = opened("cifar10")
    assert data.held_out is not None
    assert data.class_names is not None
    assert data.class_names[3] == "cat"
    back = fixed_order(100).argsort()
    images = torch.cat([data.raw(), data.held_out.raw()])[back].numpy()
    assert np.array_equal(images, records[:5, :, 1:].reshape(-1, 3, 32, 32))
    assert data.labels is not None
    assert data.held_out.labels is not None
    labels = torch.cat([data.labels, data.held_out.labels])[back].numpy()
    assert np.array_equal(labels, records[:5, :, 0].ravel())
    test = opened("cifar10", "test")
    assert np.array_equal(test.raw().numpy().reshape(20, -1), records[5, :, 1:])
    (folder / "data_batch_2.bin").write_bytes(records[1].tobytes()[:-1])
    with pytest.raises(DataError, match=r"data_batch_2\.bin is damaged"):
        opened("cifar10")


def test_cifar10_pickled_is_never_read(root: Path) -> None:
    folder = root / "cifar10" / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    (folder / "data_batch_1").write_bytes(pickle.dumps({b"data": 1}))
    with pytest.raises(DataError, match="holds pickled Python, which is never read"):
        opened("cifar10")


@pytest.mark.parametrize(("size", "side"), [((178, 218), 150), ((89, 109), 75)])
def test_celeba_in_its_original_form(root: Path, size: tuple[int, int], side: int) -> None:
    folder = root / "celeba" / "img_align_celeba"
    folder.mkdir(parents=True)
    bits = RANDOM.integers(0, 2, (30, 5))
    for i in range(30):
        Image.new("RGB", size, (i, i, i)).save(folder / f"{i + 1:06d}.jpg")
    lines = [f"{i + 1:06d}.jpg " + " ".join(str(2 * b - 1) for b in row)
             for i, row in enumerate(bits)]  # fmt: skip
    listing = "\n".join(["30", "A B C D E", *lines, ""])
    (root / "celeba" / "list_attr_celeba.txt").write_text(listing)
    data = opened("celeba")
    assert data.domain.shape == (3, side, side)
    assert data.attribute_names == tuple("ABCDE")
    assert data.attributes is not None
    which = data.raw()[:, 0, 0, 0].long()  # the face's number, up to JPEG
    assert np.array_equal(data.attributes.numpy(), bits[which.numpy()])
    assert opened("celeba", crop=[0, 0, 50, 40]).domain.shape == (3, 40, 50)
    (folder / "000001.jpg").write_bytes(b"torn")  # the first one tells the size no more
    assert opened("celeba").skipped[0][0] == "000001.jpg"
    assert opened("celeba").domain.shape == (3, side, side)
    (root / "celeba" / "list_attr_celeba.txt").write_text("30\nA B\n000002.jpg 1\n")
    with pytest.raises(DataError, match="does not match the images"):
        opened("celeba")


def test_imagenet_in_folders_by_wordnet_id(root: Path) -> None:
    names = ("n01440764", "n02084071", "n03000000")
    for name in names:
        for split in ("train", "val"):
            folder = root / "imagenet" / split / name
            folder.mkdir(parents=True)
            for i in range(4):
                Image.new("RGB", (20 + i, 30)).save(folder / f"{name}_{i}.JPEG", "JPEG")
    data = opened("imagenet", size=8, classes=[names[2], names[0]])
    assert data.class_names == (names[2], names[0])
    assert len(opened("imagenet", "test", size=8)) == 12
    with pytest.raises(DataError, match="no class 'n0300000' among its 3; it has n03000000"):
        opened("imagenet", size=8, classes=["n0300000"])


def test_bedrooms_in_nested_folders_and_as_lmdb(root: Path) -> None:
    for i in range(12):
        folder = root / "lsun-bedroom" / "0" / f"{i % 3}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{i}.webp").write_bytes(encoded(noise(1, 30, 25, i)[0], "WEBP"))
    data = opened("lsun-bedroom", size=16)
    assert (data.domain.shape, data.labels) == ((3, 16, 16), None)
    (root / "lsun-bedroom" / "bedroom_train_lmdb").mkdir()
    (root / "lsun-bedroom" / "bedroom_train_lmdb" / "data.mdb").write_bytes(b"x")
    with pytest.raises(DataError, match="LMDB: export its images"):
        opened("lsun-bedroom", size=16)


needs = {
    name: pytest.mark.skipif(
        not (REAL / name).is_dir(), reason=f"set ENERGAN_DATA to a folder that holds {name}/"
    )
    for name in ("cifar10", "celeba", "facades")
}


@needs["celeba"]
def test_real_faces() -> None:
    data = opened("celeba", size=64, limit=400, held_out=100)
    assert data.domain.shape == (3, 64, 64)
    assert data.attributes is not None
    assert data.attribute_names is not None
    assert len(data.attribute_names) == 40
    male = data.attributes[:, data.attribute_names.index("Male")].double().mean()
    assert male.item() == pytest.approx(0.422, abs=0.1)
    # faces stand in the middle, so left and right are alike on the average
    mean = data.domain.mean
    assert mean is not None
    assert (mean - mean.flip(-1)).abs().mean() < 0.08
    assert not data.skipped


@needs["cifar10"]
def test_real_photographs() -> None:
    data = opened("cifar10", classes=["cat", "truck"], limit=200, held_out=0)
    assert data.domain.shape == (3, 32, 32)
    assert data.class_names == ("cat", "truck")


@needs["facades"]
def test_real_pairs_of_facades() -> None:
    folder = str(REAL / "facades")
    data = opened(folder, crop=[0, 0, 256, 256], size=32, limit=20)
    assert data.domain.shape == (3, 32, 32)
    assert data.labels is None
    assert len(opened(folder, "test", size=8)) == 100


def test_a_folder_with_the_name_of_a_source_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = DataSettings(source="digits")
    assert not [fact for fact in open_data(settings).facts if fact.subject == "source"]
    (tmp_path / "digits").mkdir()
    told = [fact for fact in open_data(settings).facts if fact.subject == "source"]
    assert [str(fact) for fact in told] == [
        "source: digits is the built-in data set; write ./digits for what has that name here"
    ]
    assert told[0].warning
    (tmp_path / "digits" / "config.json").write_text("{}")  # a run
    assert not [fact for fact in open_data(settings).facts if fact.subject == "source"]
