"""Videos, HDF5 files, and folders of .npy: every frame and row as it was written, in groups."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from energan.core import DataError
from energan.data import DataSet, DataSettings, open_data
from energan.data.sources.splits import fixed_order
from support.image_files import encoded, noise

av = pytest.importorskip("av")
h5py = pytest.importorskip("h5py")
RANDOM = np.random.default_rng(0)


def film(path: Path, frames: np.ndarray, codec: str = "ffv1", form: str = "bgr0") -> Path:
    """A video of frames (T, H, W, 3), or (T, H, W) of grey; lossless unless asked otherwise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    kind = ("gray16le" if frames.dtype == np.uint16 else "gray") if frames.ndim == 3 else "rgb24"
    with av.open(str(path), "w") as out:
        stream = out.add_stream(codec, rate=10)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = form
        for frame in frames:
            for packet in stream.encode(av.VideoFrame.from_ndarray(frame, format=kind)):
                out.mux(packet)
        for packet in stream.encode():
            out.mux(packet)
    return path


def hdf5(path: Path, **arrays: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        for name, values in arrays.items():
            file.create_dataset(name, data=values)
    return path


def opened(source: Path, **settings: object) -> DataSet:
    return open_data(DataSettings(source=str(source), range="unit", **settings))  # type: ignore[arg-type]


def stored(data: DataSet) -> np.ndarray:
    """(N, H, W, C) as the files hold it."""
    return data.raw().numpy().transpose(0, 2, 3, 1)


def facts(data: DataSet, subject: str) -> list[str]:
    return [fact.text for fact in data.facts if fact.subject == subject]


# --- videos ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["mkv", "avi"])
def test_every_frame_is_an_image(suffix: str, tmp_path: Path) -> None:
    frames = noise(150, 16, 24)
    data = opened(film(tmp_path / f"a.{suffix}", frames))
    np.testing.assert_array_equal(stored(data), frames)
    assert data.held_out is None
    (text,) = facts(data, "frames")
    assert text.startswith("150 of 1 video; frames of one video are all trained on or all held out")
    assert text.endswith("held out, so none is held out of a single video")


def test_one_frame_in_so_many(tmp_path: Path) -> None:
    frames = noise(25, 16, 16)
    data = opened(film(tmp_path / "a.mkv", frames), frames_every=10)
    np.testing.assert_array_equal(stored(data), frames[::10])
    assert "every 10th (--data.frames-every)" in facts(data, "frames")[0]


def test_frames_of_16_bits_are_kept(tmp_path: Path) -> None:
    frames = RANDOM.integers(0, 65536, (5, 16, 16)).astype(np.uint16)
    data = opened(film(tmp_path / "a.mkv", frames, form="gray16le"))
    np.testing.assert_array_equal(stored(data)[..., 0], frames)


def test_frames_come_in_the_order_in_which_they_are_shown(tmp_path: Path) -> None:
    """Films of telephones store frames in another order, each after those that it is told by."""
    grey = np.linspace(20, 230, 40).astype(np.uint8)
    frames = np.broadcast_to(grey[:, None, None, None], (40, 32, 32, 3)).copy()
    data = opened(film(tmp_path / "a.mp4", frames, "libx264", "yuv420p"))
    assert np.abs(stored(data)[:, 16, 16, 0].astype(int) - grey).max() <= 4


def test_films_that_were_held_upright_stand_upright(tmp_path: Path) -> None:
    """The matrix in the file's header says so: x' = -y, y' = x (ISO 14496-12, 8.3.2)."""
    frames = np.zeros((3, 32, 48, 3), np.uint8)
    frames[:, :, 24:] = 200
    path = film(tmp_path / "a.mp4", frames, "mpeg4", "yuv420p")
    raw = path.read_bytes()
    place = raw.index(b"tkhd") + 44
    turn = b"".join(n.to_bytes(4, signed=True) for n in (0, 1 << 16, 0, -(1 << 16), 0, 0))
    path.write_bytes(raw[:place] + turn + raw[place + len(turn) :])
    found = stored(opened(path))
    assert found.shape == (3, 48, 32, 3)
    assert found[:, :20].max() < 40
    assert found[:, 28:].min() > 160


def test_no_video_is_on_both_sides(tmp_path: Path) -> None:
    for number in range(5):
        film(tmp_path / "set" / f"{number}.mkv", np.full((7, 16, 16, 3), number, np.uint8))
    data = opened(tmp_path / "set", held_out=9)
    assert data.held_out is not None
    kept, trained = np.unique(stored(data.held_out)), np.unique(stored(data))
    assert (len(kept), len(trained)) == (2, 3)
    assert not set(kept) & set(trained)
    with pytest.raises(DataError, match="examples of one file stay together"):
        opened(tmp_path / "set" / "0.mkv", held_out=2)


def test_videos_in_folders_of_classes_with_a_torn_one(tmp_path: Path) -> None:
    root = tmp_path / "set"
    for number, name in enumerate(["run", "run", "walk", "walk"]):
        film(root / name / f"{number}.mkv", np.full((4, 16, 16, 3), 10 * number, np.uint8))
    (root / "walk" / "torn.mkv").write_bytes((root / "run" / "0.mkv").read_bytes()[:80])
    (root / "walk" / "notes.txt").write_text("hello")
    data = opened(root, storage="cache")
    assert data.class_names == ("run", "walk")
    assert data.labels is not None
    values = stored(data)[:, 0, 0, 0]
    assert sorted(zip(data.labels.tolist(), values.tolist(), strict=True)) == sorted(
        [(0, 0)] * 4 + [(0, 10)] * 4 + [(1, 20)] * 4 + [(1, 30)] * 4
    )
    assert facts(data, "source") == ["5 videos, each frame an image"]
    assert any("walk/torn.mkv cannot be read" in text for text in facts(data, "left out"))
    again = opened(root, storage="cache")
    assert again.fingerprint == data.fingerprint
    assert opened(root, storage="memory").fingerprint == data.fingerprint


def test_a_video_beside_images_is_left_out_and_told(tmp_path: Path) -> None:
    film(tmp_path / "a.mp4", noise(4, 16, 16), "mpeg4", "yuv420p")
    (tmp_path / "b.png").write_bytes(encoded(noise(1)[0]))
    data = opened(tmp_path)
    assert len(data) == 1
    (text,) = facts(data, "left out")
    assert text == f"1 .mp4 file (a.mp4); --data {tmp_path}/a.mp4 reads it"


def test_sound_and_text_are_no_video(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"hello")
    with pytest.raises(DataError, match=r"^a\.mp4 cannot be read: it is damaged, or not a video"):
        opened(tmp_path / "a.mp4")


# --- HDF5 -----------------------------------------------------------------------------------------


def test_rows_of_the_only_images(tmp_path: Path) -> None:
    images = noise(30, 8, 10)
    data = opened(hdf5(tmp_path / "a.h5", pixels=images, y=np.arange(30) % 3), held_out=0)
    order = fixed_order(30).numpy()
    np.testing.assert_array_equal(stored(data), images[order])
    assert data.labels is not None
    assert data.labels.tolist() == (order % 3).tolist()
    assert len(opened(tmp_path / "a.h5").held_out or ()) == 3


@pytest.mark.parametrize("dtype", [">u2", "f4", "?"])
def test_types_are_kept(dtype: str, tmp_path: Path) -> None:
    images = (RANDOM.random((12, 3, 9, 9)) * 1000).astype(dtype)
    data = opened(hdf5(tmp_path / "a.hdf5", x=images), held_out=0)
    found = data.gather(torch.arange(12)).x.numpy()
    wanted = images[fixed_order(12).numpy()].astype(np.float64)
    if dtype == "f4":
        wanted = (wanted - wanted.min()) / (wanted.max() - wanted.min())
    else:
        wanted /= {">u2": 65535, "?": 1}[dtype]
    np.testing.assert_allclose(found, wanted, atol=1e-6)


def test_several_are_asked_about_by_name(tmp_path: Path) -> None:
    path = hdf5(tmp_path / "a.h5", **{"a/left": noise(12), "a/right": noise(12, seed=1)})
    with pytest.raises(DataError, match=r"a/left \(12, 6, 6, 3\), a/right .*--data\.image-column"):
        opened(path)
    data = opened(path, image_column="/a/right", held_out=0)
    np.testing.assert_array_equal(stored(data), noise(12, seed=1)[fixed_order(12).numpy()])
    with pytest.raises(DataError, match=r"has no images 'b'; it has a/left"):
        opened(path, image_column="b")
    with pytest.raises(DataError, match="has no 'kind'"):
        opened(path, image_column="a/left", label_column="kind")


def test_a_folder_of_volumes_keeps_each_together(tmp_path: Path) -> None:
    for number in range(4):
        slices = np.full((5, 8, 8), number, np.uint8)
        hdf5(tmp_path / "set" / f"{number}.h5", slices=slices)
    data = opened(tmp_path / "set", held_out=3)
    assert data.held_out is not None
    assert len(data.held_out) == 5
    assert not set(np.unique(stored(data))) & set(np.unique(stored(data.held_out)))


def test_rows_of_a_damaged_block_are_skipped(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        data = file.create_dataset("x", data=noise(600), chunks=(10, 6, 6, 3), compression="gzip")
        place = data.id.get_chunk_info(50).byte_offset
        file.flush()
    raw = bytearray((tmp_path / "a.h5").read_bytes())
    raw[place : place + 40] = bytes(40)
    (tmp_path / "a.h5").write_bytes(raw)
    data = opened(tmp_path / "a.h5", held_out=0)
    assert len(data) + len(data.skipped) == 600
    assert 10 <= len(data.skipped) <= 256


def test_what_holds_no_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"holds x \(4,\): store images as"):
        opened(hdf5(tmp_path / "a.h5", x=np.zeros(4)))
    with pytest.raises(DataError, match="may be one colour image"):
        opened(hdf5(tmp_path / "b.h5", x=np.zeros((80, 90, 3), np.uint8)))
    with pytest.raises(DataError, match=r"labels y are float64"):
        opened(hdf5(tmp_path / "c.h5", x=noise(4), y=np.zeros(4)))
    raw = hdf5(tmp_path / "d.h5", x=noise(4)).read_bytes()
    (tmp_path / "d.h5").write_bytes(raw[: len(raw) // 2])
    with pytest.raises(DataError, match=r"d\.h5 cannot be read"):
        opened(tmp_path / "d.h5")


@pytest.mark.parametrize(
    ("suffix", "package", "extra"), [("mp4", "av", "video"), ("h5", "h5py", "hdf5")]
)
def test_a_library_that_is_not_installed_is_named(
    suffix: str, package: str, extra: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    (tmp_path / f"a.{suffix}").write_bytes(b"x")
    for source in (tmp_path, tmp_path / f"a.{suffix}"):
        with pytest.raises(DataError, match=rf"pip install 'energan\[{extra}\]'"):
            opened(source)


@pytest.mark.parametrize("suffix", ["mp4", "h5", "zip", "tar"])
def test_pipes_are_not_waited_for(suffix: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / f"a.{suffix}")
    with pytest.raises(DataError, match="it is not a regular file"):
        opened(tmp_path / f"a.{suffix}")


# --- folders of .npy ------------------------------------------------------------------------------


def test_each_file_is_one_image(tmp_path: Path) -> None:
    images = noise(12, 9, 9)
    for number, image in enumerate(images):
        folder = tmp_path / ("cat" if number < 6 else "dog")
        folder.mkdir(exist_ok=True)
        np.save(folder / f"{number:02}.npy", image.transpose(2, 0, 1) if number % 2 else image)
    (tmp_path / "cat" / "torn.npy").write_bytes(b"\x93NUMPY\1\0")
    data = opened(tmp_path, held_out=0)
    order = [row for row in fixed_order(13).tolist() if row != 6]
    np.testing.assert_array_equal(
        stored(data), np.stack([images[row - (row > 6)] for row in order])
    )
    assert [where for where, _ in data.skipped] == ["cat/torn.npy"]
    assert facts(data, "arrays") == [
        "6 of 12 images: (C, H, W) of 3 bands", "6 of 12 images: (H, W, C) of 3 bands",
    ]  # fmt: skip


def test_images_win_over_arrays(tmp_path: Path) -> None:
    (tmp_path / "b.png").write_bytes(encoded(noise(1)[0]))
    for number in range(5):
        np.save(tmp_path / f"{number}.npy", noise(1)[0])
    data = opened(tmp_path)
    assert len(data) == 1
    assert facts(data, "left out")[0].startswith("5 .npy files")


def test_two_kinds_are_asked_about(tmp_path: Path) -> None:
    hdf5(tmp_path / "a.h5", x=noise(4))
    np.save(tmp_path / "b.npy", noise(1)[0])
    with pytest.raises(DataError, match=r"1 \.npy file and 1 HDF5 file: name a folder"):
        opened(tmp_path)
