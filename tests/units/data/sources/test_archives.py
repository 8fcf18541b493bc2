"""Zip and tar archives, read in place: as the folder that they were made of, and no further."""

import io
import json
import stat
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from energan.core import DataError, NoTestPart
from energan.data import DataSet, DataSettings, open_data
from support.image_files import encoded, noise

Files = Mapping[str, bytes]
FORMS = ["zip", "tar", "tar.gz", "tgz", "tar.bz2", "tar.xz"]


def pack(path: Path, files: Files) -> Path:
    """By the standard library, in the order given."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as out:
            for name, content in files.items():
                out.writestr(name, content)
        return path
    mode = {".tar": "w", ".bz2": "w:bz2", ".xz": "w:xz"}.get(path.suffix, "w:gz")
    with tarfile.open(path, mode) as out:  # type: ignore[call-overload]
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            out.addfile(info, io.BytesIO(content))
    return path


def unpack(folder: Path, files: Files) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def pngs(count: int = 12) -> list[bytes]:
    return [encoded(image) for image in noise(count)]


def opened(source: Path, split: str = "train", **settings: object) -> DataSet:
    return open_data(DataSettings(source=str(source), **settings), split)  # type: ignore[arg-type]


def facts(data: DataSet, subject: str) -> list[str]:
    return [fact.text for fact in data.facts if fact.subject == subject]


SPLITS = {
    f"{part}/{kind}/{n}.png": raw
    for n, raw in enumerate(pngs(20))
    for part in [("train", "test")[n % 5 == 0]]
    for kind in [("cat", "dog")[n % 2]]
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("top", ["", "photos/", "./a/b/"])
def test_an_archive_is_read_as_its_folder(form: str, top: str, tmp_path: Path) -> None:
    files = {f"{top}{name}": raw for name, raw in reversed(SPLITS.items())}
    archive = pack(tmp_path / f"set.{form}", files)
    folder = unpack(tmp_path / "set", SPLITS)
    for split in ("train", "test"):
        one, other = opened(archive, split), opened(folder, split)
        np.testing.assert_array_equal(one.raw().numpy(), other.raw().numpy())
        assert one.labels is not None
        assert other.labels is not None
        assert one.labels.tolist() == other.labels.tolist()
        assert one.class_names == other.class_names == ("cat", "dog")
    assert facts(opened(archive), "source") == ["an archive of 20 files, read in place"]


def test_the_cache_knows_an_archive_by_its_content(tmp_path: Path) -> None:
    archive = pack(tmp_path / "set.zip", SPLITS)
    data = opened(archive, storage="cache")
    assert data.path is not None
    moved = archive.rename(tmp_path / "moved.zip")
    assert opened(moved, storage="cache").path == data.path
    np.testing.assert_array_equal(opened(moved).raw().numpy(), data.raw().numpy())


@pytest.mark.parametrize("form", FORMS)
def test_hidden_and_other_entries_count_for_nothing(form: str, tmp_path: Path) -> None:
    images = {f"{n}.png": raw for n, raw in enumerate(pngs(3))}
    strays = {
        "__MACOSX/._0.png": b"x", "__MACOSX/a/b.png": b"x", ".thumbs/0.png": images["0.png"],
        "notes.txt": b"hello", "more.zip": b"PK", "a.csv": b"file,label\n",
    }  # fmt: skip
    data = opened(pack(tmp_path / f"set.{form}", {**strays, **images}))
    assert len(data) == 3
    left = facts(data, "left out")
    assert "2 hidden or system entries (as __MACOSX)" in left
    assert "1 .zip file (more.zip)" in left
    assert "1 .csv file (a.csv)" in left


@pytest.mark.parametrize("form", ["zip", "tar", "tgz"])
@pytest.mark.parametrize("name", ["../a.png", "x/../../a.png", "/etc/a.png", "C:/a.png"])
def test_entries_that_climb_are_refused(form: str, name: str, tmp_path: Path) -> None:
    archive = pack(tmp_path / f"set.{form}", {"b.png": pngs(1)[0], name: pngs(1)[0]})
    with pytest.raises(DataError, match="an entry outside its folder"):
        opened(archive)


def test_backslashes_of_windows_are_folders(tmp_path: Path) -> None:
    files = {f"{('cat', 'dog')[n % 2]}\\{n}.png": raw for n, raw in enumerate(pngs(4))}
    assert opened(pack(tmp_path / "set.zip", files)).class_names == ("cat", "dog")


def test_links_and_devices_are_left_out(tmp_path: Path) -> None:
    with tarfile.open(pack(tmp_path / "set.tar", {"a.png": pngs(1)[0]}), "a") as out:
        kinds = {"b.png": tarfile.SYMTYPE, "c.png": tarfile.FIFOTYPE, "d.png": tarfile.CHRTYPE}
        for name, kind in kinds.items():
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/passwd"
            out.addfile(info)
    data = opened(tmp_path / "set.tar")
    assert len(data) == 1
    assert len(facts(data, "left out")) == 3
    info = zipfile.ZipInfo("b.png")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(pack(tmp_path / "set.zip", {"a.png": pngs(1)[0]}), "a") as file:
        file.writestr(info, "/etc/passwd")
    assert len(opened(tmp_path / "set.zip")) == 1


def test_bombs_are_refused_before_they_are_unpacked(tmp_path: Path) -> None:
    bomb = bytes(2**27)
    with pytest.raises(DataError, match=r"b\.png is 134 MB unpacked, as decompression bombs are"):
        opened(pack(tmp_path / "set.zip", {"a.png": pngs(1)[0], "b.png": bomb}))
    with pytest.raises(DataError, match="the most that is read into memory"):
        opened(pack(tmp_path / "set.tar.xz", {"a.png": pngs(1)[0], "b.bin": bomb}))


def test_encrypted_ones_are_refused(tmp_path: Path) -> None:
    raw = bytearray(pack(tmp_path / "set.zip", {"a.png": pngs(1)[0]}).read_bytes())
    for mark, flags in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        raw[raw.index(mark) + flags] |= 1
    (tmp_path / "set.zip").write_bytes(raw)
    with pytest.raises(DataError, match="is encrypted: unpack it with its password"):
        opened(tmp_path / "set.zip")


@pytest.mark.parametrize("form", FORMS)
def test_what_is_no_archive_or_cut_short_is_one_sentence(form: str, tmp_path: Path) -> None:
    path = tmp_path / f"set.{form}"
    path.write_bytes(b"hello")
    with pytest.raises(DataError, match="cannot be read as an archive"):
        opened(path)
    raw = pack(path, {f"{n}.png": x for n, x in enumerate(pngs(9))}).read_bytes()
    path.write_bytes(raw[: len(raw) // 2])
    with pytest.raises(DataError, match="cannot be read"):
        opened(path)


@pytest.mark.parametrize("form", ["zip", "tar"])
def test_a_damaged_image_is_skipped(form: str, tmp_path: Path) -> None:
    files = {f"{n}.png": raw for n, raw in enumerate(pngs(5))}
    raw = bytearray(pack(tmp_path / f"set.{form}", files).read_bytes())
    place = raw.index(b"3.png") + (60 if form == "zip" else 512 + 40)
    raw[place : place + 20] = bytes(20)
    (tmp_path / f"set.{form}").write_bytes(raw)
    data = opened(tmp_path / f"set.{form}")
    assert [where for where, _ in data.skipped] == ["3.png"]
    assert len(data) == 4


def test_there_may_be_no_test_part(tmp_path: Path) -> None:
    with pytest.raises(NoTestPart):
        opened(pack(tmp_path / "set.zip", {"a.png": pngs(1)[0]}), "test")
    with pytest.raises(DataError, match="holds no image"):
        opened(pack(tmp_path / "none.zip", {"a.txt": b"x"}))


def test_labels_of_a_csv_beside_the_archive(tmp_path: Path) -> None:
    files = {f"x/{n}.png": raw for n, raw in enumerate(pngs(3))}
    csv = tmp_path / "l.csv"
    csv.write_text("file,label\n0.png,cat\nx/1.png,dog\n")
    data = opened(pack(tmp_path / "set.zip", files), labels=str(csv), held_out=0)
    assert data.class_names == ("cat", "dog")
    assert data.labels is not None
    assert sorted(data.labels.tolist()) == [-1, 0, 1]


# --- as webdataset writes them --------------------------------------------------------------------


@pytest.mark.parametrize("form", ["tar", "tar.gz", "zip"])
@pytest.mark.parametrize("suffix", ["cls", "json", "txt"])
def test_files_called_as_the_images_tell_the_classes(
    form: str, suffix: str, tmp_path: Path
) -> None:
    files: dict[str, bytes] = {}
    for n, raw in enumerate(pngs(12)):
        label = (10, 2, 7)[n % 3]
        files[f"shard/{n:04}.png"] = raw
        text = json.dumps({"width": 6, "label": label}) if suffix == "json" else f"{label}\n"
        files[f"shard/{n:04}.{suffix}"] = text.encode()
    data = opened(pack(tmp_path / f"set.{form}", files), held_out=0, mirror=False)
    assert data.class_names == ("2", "7", "10")
    assert data.labels is not None
    images = noise(12).transpose(0, 3, 1, 2)
    for pixels, label in zip(data.raw().numpy(), data.labels.tolist(), strict=True):
        (n,) = (n for n in range(12) if (images[n] == pixels).all())
        assert int(data.class_names[label]) == (10, 2, 7)[n % 3]
    assert facts(data, "labels") == [f"of 12 images, from the .{suffix} files of the same names"]
    assert not facts(data, "left out")


def test_shards_in_a_folder_are_one(tmp_path: Path) -> None:
    images = noise(24)
    for shard in range(4):
        files: dict[str, bytes] = {}
        for n in range(6 * shard, 6 * shard + 6):
            files[f"{n % 6:03}.png"] = encoded(images[n])
            files[f"{n % 6:03}.cls"] = str(n % 2).encode()
        pack(tmp_path / f"{'val' if shard == 3 else 'train'}-{shard:06}.tar", files)
    data, test = opened(tmp_path, held_out=0), opened(tmp_path, "test")
    assert (len(data), len(test)) == (18, 6)
    for part in (data, test):
        assert part.class_names == ("0", "1")
        assert part.labels is not None
        for pixels, label in zip(part.raw().numpy(), part.labels.tolist(), strict=True):
            (n,) = (n for n in range(24) if (images[n].transpose(2, 0, 1) == pixels).all())
            assert n % 2 == label
    assert facts(data, "source") == ["4 archives of 48 files, read in place"]
    assert facts(data, "train") == ["18 images in 3 archives"]
    assert facts(data, "test") == ["6 images in 1 archive"]
    assert opened(tmp_path, storage="cache").path == opened(tmp_path, storage="cache").path


def test_archives_without_labels_in_a_folder_are_named(tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        pack(tmp_path / f"{name}.zip", {"0.png": pngs(1)[0]})
    with pytest.raises(
        DataError, match=r"2 \.zip files \(as cat\.zip\); --data .*cat\.zip reads it"
    ):
        opened(tmp_path)


def test_a_tar_that_ends_with_a_zip_is_a_tar(tmp_path: Path) -> None:
    inner = pack(tmp_path / "inner.zip", {"b.png": pngs(1)[0]}).read_bytes()
    data = opened(pack(tmp_path / "set.tar", {"a.png": pngs(1)[0], "inner.zip": inner}))
    assert len(data) == 1
    assert facts(data, "left out") == ["1 .zip file (inner.zip)"]


def test_captions_are_no_classes(tmp_path: Path) -> None:
    files: dict[str, bytes] = {}
    for n, raw in enumerate(pngs(4)):
        files |= {f"{n}.png": raw, f"{n}.txt": b"a dog on a beach", f"{n}.json": b'{"width": 6}'}
    data = opened(pack(tmp_path / "set.tar", files))
    assert data.labels is None
    assert "4 .txt files (as 0.txt)" in facts(data, "left out")
