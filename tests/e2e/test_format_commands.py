"""Formats that need a library, from showing a source to its scores."""

import csv
import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from support.commands import run
from support.image_files import encoded, noise

IMAGES = noise(40, 16, 16)


def volumes(path: Path) -> Path:
    nibabel = pytest.importorskip("nibabel")
    path.mkdir()
    for number in range(10):
        slices = IMAGES[4 * number : 4 * number + 4, ..., 0].transpose(1, 2, 0).astype(np.int16)
        (path / f"{number}.nii").write_bytes(nibabel.Nifti1Image(slices, np.eye(4)).to_bytes())
    (path / "torn.nii").write_bytes(b"hello")
    return path


def photographs(path: Path) -> Path:
    heif = pytest.importorskip("pillow_heif")
    path.mkdir()
    for number, image in enumerate(IMAGES):
        out = io.BytesIO()
        heif.from_pillow(Image.fromarray(image)).save(out, quality=-1)
        (path / f"{number}.heic").write_bytes(out.getvalue())
    (path / "torn.heic").write_bytes(b"hello")
    return path


def film(path: Path) -> Path:
    av = pytest.importorskip("av")
    with av.open(str(path.with_suffix(".mkv")), "w") as out:
        stream = out.add_stream("ffv1", rate=10)
        stream.height, stream.width, stream.pix_fmt = 16, 16, "bgr0"
        for image in [*IMAGES, None]:
            frame = None if image is None else av.VideoFrame.from_ndarray(image, format="rgb24")
            for packet in stream.encode(frame):
                out.mux(packet)
    return path.with_suffix(".mkv")


def table(path: Path) -> Path:
    h5py = pytest.importorskip("h5py")
    with h5py.File(path.with_suffix(".h5"), "w") as file:
        file["x"], file["y"] = IMAGES, np.arange(len(IMAGES)) % 2
    return path.with_suffix(".h5")


def archive(path: Path) -> Path:
    with zipfile.ZipFile(path.with_suffix(".zip"), "w") as out:
        for number, image in enumerate(IMAGES):
            out.writestr(f"photos/{('cat', 'dog')[number % 2]}/{number}.png", encoded(image))
        out.writestr("photos/cat/torn.png", b"hello")
    return path.with_suffix(".zip")


TOLD = {
    volumes: "pages: 40 pages of 10 files, each read as an image",
    photographs: "train: 41 images",
    film: "frames: 40 of 1 video; frames of one video are all trained on or all held out, so "
    "none is held out of a single video",
    table: "images: 40 in 1 HDF5 file",
    archive: "source: an archive of 41 files, read in place",
}


@pytest.mark.e2e
@pytest.mark.parametrize("make", TOLD)
def test_shown_trained_on_and_scored(
    make: Callable[[Path], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = make(tmp_path / "set")
    assert run("data", "show", source, "--pages", "all", "--out", tmp_path / "grid.png") == 0
    told = capsys.readouterr().out
    assert TOLD[make] in told.splitlines()
    torn = make not in (film, table)
    assert ("skipped: 1 left out" in told) == torn
    small = ["--model.generator", "16", "--model.encoder", "16", "--threads", "1"]
    out, scores = tmp_path / "run", tmp_path / "scores.csv"
    words = ["--data", source, "--data.pages", "all", "--steps", "2", "--out", out, *small]
    assert run("train", "ebgan-folder", "--data.size", "16", *words) == 0
    other = source.rename(source.with_stem("other"))
    chosen = ["--calibrate", other, "--fpr", "0.5", "--out", scores]
    assert run("score", out, other, *chosen) == 0
    with scores.open(encoding="utf8") as file:
        assert len(list(csv.DictReader(file))) == 40
