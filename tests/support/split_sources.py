"""Small sources of images with a training and a test part, in each form that a user may have."""

import io
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from support.image_files import encoded, noise

TRAIN, TEST, SIDE = 60, 12, 16


def idx_files(folder: Path) -> Path:
    """The files of MNIST; returns the test images'."""
    for name, count in (("train", TRAIN), ("t10k", TEST)):
        images = noise(count, SIDE, SIDE)[..., 0]
        (folder / f"{name}-images-idx3-ubyte").write_bytes(_idx(images))
        (folder / f"{name}-labels-idx1-ubyte").write_bytes(_idx(np.arange(count) % 3))
    return folder / "t10k-images-idx3-ubyte"


def parquet_files(folder: Path) -> Path:
    for name, count in (("train", TRAIN), ("test", TEST)):
        cells = [encoded(image) for image in noise(count, SIDE, SIDE)]
        pq.write_table(pa.table({"image": cells, "label": np.arange(count) % 3}),
                       folder / f"{name}.parquet")  # fmt: skip
    return folder / "test.parquet"


def image_folders(folder: Path) -> Path:
    _write_images(folder, noise(TRAIN, SIDE, SIDE), noise(TEST, SIDE, SIDE))
    return folder / "test"


def pair_folders(folder: Path) -> Path:
    """Files with two images side by side."""
    _write_images(folder, noise(TRAIN, SIDE, 2 * SIDE), noise(TEST, SIDE, 2 * SIDE))
    return folder / "test"


FORMS: dict[str, Callable[[Path], Path]] = {
    "idx": idx_files, "parquet": parquet_files, "folders": image_folders, "pairs": pair_folders,
}  # fmt: skip
"""Each writes a source into a folder and returns the file or the folder of its test images."""


def tear(test: Path) -> None:
    """A file cut short, or a folder in which every file is."""
    for file in sorted(test.iterdir()) if test.is_dir() else [test]:
        file.write_bytes(file.read_bytes()[:40])


def _idx(array: np.ndarray) -> bytes:
    out = io.BytesIO()
    out.write(struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape))
    out.write(array.astype(np.uint8).tobytes())
    return out.getvalue()


def _write_images(folder: Path, train: np.ndarray, test: np.ndarray) -> None:
    for name, images in (("train", train), ("test", test)):
        (folder / name).mkdir()
        for i, image in enumerate(images):
            (folder / name / f"{i:02}.png").write_bytes(encoded(image))
