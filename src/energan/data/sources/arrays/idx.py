"""The IDX files in which MNIST and Fashion-MNIST come, compressed or not, and stacked MNIST.

The format: two zero bytes, a byte for the type (8: unsigned byte), a byte for the number of
dimensions, each dimension as a big-endian 32-bit number, then the values in row-major order.
"""

import gzip
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from io import BufferedIOBase
from math import prod
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from energan.core import DataError, NoTestPart
from energan.data.source import Source
from energan.data.sources.splits import Split
from energan.io.files import open_regular
from energan.io.memory import check_memory

IMAGES = {"train": "train-images-idx3-ubyte", "test": "t10k-images-idx3-ubyte"}
LABELS = {"train": "train-labels-idx1-ubyte", "test": "t10k-labels-idx1-ubyte"}
GZIP = b"\x1f\x8b"
GZIP_GAIN = 1032
"""Largest number of bytes that one compressed byte can become."""
HELD_OUT = 10_000
"""The last 10,000 training images are the validation set of Goodfellow et al. 2014."""
STACKED_SEED = 0
BLOCK = 2**24
"""Bytes read at once, so that memory grows with the file and not with what its header claims."""


def open_idx_folder(folder: Path, split: Split = "train") -> Source:
    """The training files of `folder`, or with split "test" its t10k files.

    The last 10,000 training images are held out, or a sixth of them if that is fewer. Labels are
    None where their file is absent.
    """
    images, labels = _find(folder, IMAGES[split]), _find(folder, LABELS[split])
    if images is None:
        error = NoTestPart if split == "test" else DataError
        raise error(
            f"{folder} does not hold {IMAGES[split]} or {IMAGES[split]}.gz: name a folder that "
            "holds the original IDX files"
        )
    return _source(folder.name, images, labels, split)


def open_idx_file(path: Path) -> Source:
    """One file of images; labels come from the file beside it that its name points to, if any."""
    twin = path.name.replace("images-idx3", "labels-idx1")
    labels = _find(path.parent, twin.removesuffix(".gz")) if twin != path.name else None
    return _source(path.name, path, labels, "train")


def read_idx(path: Path, dimensions: int) -> Tensor:
    """The values of an IDX file of unsigned bytes, uint8 with that many dimensions.

    Raises DataError, naming the file, if it cannot be read, is of another kind, is torn, or is
    longer than its header says.
    """
    header = 4 + 4 * dimensions
    magic = struct.pack(">BBBB", 0, 0, 8, dimensions)
    try:
        with _open(path) as file:
            start = file.read(header)
            if start[:4] != magic:
                raise DataError(
                    f"{path} starts with 0x{start[:4].hex()}, not 0x{magic.hex()}, so it is not "
                    f"an IDX file of unsigned bytes in {dimensions} "
                    f"dimension{'s' * (dimensions > 1)}: name another file"
                )
            if len(start) < header:
                raise DataError(
                    f"{path} is truncated: it ends within its header; download it again"
                )
            shape = struct.unpack_from(f">{dimensions}I", start, 4)
            most = min(prod(shape), GZIP_GAIN * path.stat().st_size)
            check_memory(most, f"{path}, {' x '.join(map(str, shape))},", "use a smaller set")
            # no more than it says, whatever a compressed file would give
            data = _at_most(file, prod(shape) + 1)
    except DataError:
        raise
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} cannot be read ({error}): download it again") from error
    if len(data) != prod(shape):
        follow = f"at least {len(data)}" if len(data) > prod(shape) else len(data)
        raise DataError(
            f"{path} is damaged: its header says {' x '.join(map(str, shape))} = {prod(shape)} "
            f"bytes, and {follow} follow; download it again"
        )
    if prod(shape) == 0:
        raise DataError(f"{path} is empty: its header says {' x '.join(map(str, shape))}")
    return torch.frombuffer(data, dtype=torch.uint8).reshape(shape)


def is_idx(path: Path) -> bool:
    """Whether a file begins like an IDX file, or is compressed and so may be one."""
    with open_regular(path) as file:
        start = file.read(3)
    return start[:2] == GZIP or start == b"\0\0\x08"


@contextmanager
def _open(path: Path) -> Iterator[BufferedIOBase]:
    """The contents, decompressed if need be."""
    with open_regular(path) as file:
        packed = file.read(2) == GZIP
        file.seek(0)
        if not packed:
            yield file
            return
        with gzip.open(file) as unpacked:
            yield unpacked


def _at_most(file: BufferedIOBase, count: int) -> bytearray:
    """The next `count` bytes, or as many as there are, in memory that a tensor may own."""
    data = bytearray()
    while len(data) < count and (block := file.read(min(BLOCK, count - len(data)))):
        data += block
    return data


def _find(folder: Path, name: str) -> Path | None:
    paths = (folder / name, folder / f"{name}.gz")
    return next((p for p in paths if p.is_file()), None)


def _source(name: str, images_at: Path, labels_at: Path | None, split: Split) -> Source:
    images = read_idx(images_at, 3).unsqueeze(1)  # (N, H, W) -> (N, 1, H, W)
    labels = None if labels_at is None else read_idx(labels_at, 1).long()
    if labels is not None and len(labels) != len(images):
        raise DataError(
            f"{images_at} holds {len(images)} images and {labels_at} {len(labels)} labels: use "
            "images and labels of the same set"
        )
    held_out = min(HELD_OUT, len(images) // 6) if split == "train" else 0
    return Source(name, images, labels, held_out)


# --- stacked MNIST --------------------------------------------------------------------------------


def stacked_mnist(folder: Path, split: Split = "train") -> Source:
    """Three digits as the colours of one picture, 1,000 classes (Metz et al. 2017).

    uint8 (N, 3, 28, 28) from the IDX files in `folder`, as many as there are digits.

    The label of digits a, b, c is 100a + 10b + c, and its class name those three. Digits are drawn
    with replacement, by numpy's RandomState(0). The last 10,000 pictures of the training part are
    held out; they are made of the 10,000 digits that MNIST's own source holds out, and the others
    of the rest, so that no digit is in both.
    Raises DataError if the labels are missing, or are not those of digits.
    """
    digits = open_idx_folder(folder, split)
    if digits.labels is None or int(digits.labels.max()) > 9:
        raise DataError(
            f"{folder} does not hold labels from 0 to 9 beside its images: get the four original "
            "IDX files of MNIST"
        )
    assert digits.events is not None
    chosen = _draws(digits.count, digits.held_out)  # (N, 3)
    a, b, c = digits.labels[chosen].unbind(1)
    return replace(
        digits,
        events=digits.events[:, 0][chosen],
        labels=100 * a + 10 * b + c,
        class_names=tuple(f"{label:03d}" for label in range(1000)),
        stacked_digits=True,
    )


def _draws(count: int, held_out: int) -> Tensor:
    """Which digits make each picture, int64 (count, 3): the last `held_out` from the last ones."""
    # RandomState: numpy promises that its streams stay as they are in every later version.
    random = np.random.RandomState(STACKED_SEED)
    first = random.randint(0, count - held_out, (count - held_out, 3))
    last = random.randint(count - held_out, count, (held_out, 3)) if held_out else first[:0]
    return torch.from_numpy(np.concatenate([first, last]).astype(np.int64))
