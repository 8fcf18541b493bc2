"""Data sets by name: in the folder of that name in $ENERGAN_DATA, in the forms they come in."""

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from energan.core import DataError, NoTestPart
from energan.data.settings import DataSettings
from energan.data.source import Source
from energan.data.sources.arrays.idx import open_idx_folder, stacked_mnist
from energan.data.sources.arrays.mat import read_mat
from energan.data.sources.folders.images import from_files, open_image_folder
from energan.data.sources.splits import Split, fixed_order, held_out, no_test_part
from energan.data.sources.table_files import open_parquet_part
from energan.data.sources.tables import from_table
from energan.data.sources.toys import TOYS, digits
from energan.data.sources.tree import find_images, scan

Opener = Callable[[Path, DataSettings, Split], Source]


@dataclass(frozen=True)
class Named:
    """A data set that has a name.

    about: a line on what it is. form: how it is to lie in its folder; None if it comes with
    energan. crop: image size -> the box that is cut out unless the user names one. made_of: the
    set whose folder it is read from, if it has none of its own.
    """

    about: str
    open: Opener
    form: str | None = None
    crops: tuple[tuple[tuple[int, int], tuple[int, int, int, int]], ...] = ()
    made_of: str | None = None


def folder_of(name: str) -> Path | None:
    """Where the set `name` lies; None if ENERGAN_DATA is not set or has no such folder."""
    root = os.environ.get("ENERGAN_DATA")
    folder = Path(root).expanduser() / _place(name) if root else None
    return folder if folder is not None and folder.is_dir() else None


def open_named(name: str, settings: DataSettings, split: Split) -> Source:
    """The set `name`. Raises DataError, saying where it was looked for and what it is to hold."""
    found = NAMED[name]
    if found.form is None:
        if split == "test":
            raise no_test_part(name)
        return found.open(Path(), settings, split)
    opened = found.open(require_folder(name), settings, split)
    return replace(opened, name=name)


def require_folder(name: str) -> Path:
    """Where the set `name` lies. Raises DataError if it does not."""
    found, folder = NAMED[name], folder_of(name)
    if folder is None:
        root, place = os.environ.get("ENERGAN_DATA"), _place(name)
        lack = f"there is no folder {Path(root) / place}" if root else "ENERGAN_DATA is not set"
        otherwise = "" if found.made_of else ", or pass that folder as the source"
        raise DataError(
            f"{name} was not found: {lack}; set ENERGAN_DATA to the folder that holds {place}/ "
            f"with {found.form}{otherwise}"
        )
    return folder


def _place(name: str) -> str:
    """The name of the folder that the set is read from."""
    return (NAMED[name].made_of or name) if name in NAMED else name


# --- the forms they come in -----------------------------------------------------------------------


def _idx(folder: Path, settings: DataSettings, split: Split) -> Source:
    return open_idx_folder(folder, split)


def _stacked(folder: Path, settings: DataSettings, split: Split) -> Source:
    return stacked_mnist(folder, split)


def _toy(name: str) -> Opener:
    return lambda folder, settings, split: TOYS[name]()


def _table(folder: Path, settings: DataSettings, split: Split) -> Source | None:
    files = scan(folder).files(".parquet")
    table = open_parquet_part(folder, files, split)
    if table is not None:
        return from_table(table, settings, split)
    if split == "test" and files:
        raise NoTestPart(f"{folder} has no test part among its Parquet files")
    return None


def _images(folder: Path, settings: DataSettings, split: Split) -> Source:
    """Parquet, or folders of images."""
    return _table(folder, settings, split) or open_image_folder(folder, split)


def _cifar10(folder: Path, settings: DataSettings, split: Split) -> Source:
    table = _table(folder, settings, split)
    if table is not None:
        return table
    where = next((p for p in (folder / "cifar-10-batches-bin", folder) if p.is_dir()), folder)
    files = sorted(where.glob("data_batch_*.bin" if split == "train" else "test_batch.bin"))
    if not files:
        pickled = list(folder.rglob("data_batch_1"))
        why = "holds pickled Python, which is never read" if pickled else "holds no CIFAR-10"
        error = NoTestPart if split == "test" else DataError
        raise error(
            f"{folder} {why}: get the binary version (data_batch_1.bin, …) or the hub's Parquet "
            "files"
        )
    record = 1 + 3 * 32 * 32
    parts = []
    for file in files:
        values = np.fromfile(file, np.uint8)
        if not len(values) or len(values) % record:
            raise DataError(
                f"{file} is damaged: its {len(values)} bytes are not a multiple of {record}: "
                "download it again"
            )
        parts.append(values.reshape(-1, record))
    rows = torch.from_numpy(np.concatenate(parts))
    events = rows[:, 1:].reshape(-1, 3, 32, 32).contiguous()
    count = held_out(len(rows)) if split == "train" else 0
    order = fixed_order(len(rows)) if split == "train" else None
    return Source(
        "cifar10", events, rows[:, 0].long(), count, order, class_names=tuple(CIFAR10.split())
    )


def _celeba(folder: Path, settings: DataSettings, split: Split) -> Source:
    """Parquet, or the original folder of aligned faces with its list of attributes."""
    table = _table(folder, settings, split)
    if table is not None:
        return table
    listing = next(iter(sorted(folder.rglob("list_attr_celeba.txt"))), None)
    opened = open_image_folder(folder, split)
    return opened if listing is None else _with_attributes(folder, listing, split)


def _with_attributes(folder: Path, listing: Path, split: Split) -> Source:
    """Faces with the original list: a count, a line of names, then a file and its marks a line."""
    lines = listing.read_text(encoding="utf8").splitlines()
    names = tuple(lines[1].split()) if len(lines) > 1 else ()
    marks = {words[0]: words[1:] for words in map(str.split, lines[2:]) if words}
    files = [file for file in find_images(folder) if file.name in marks]
    if not files or any(len(marks[f.name]) != len(names) for f in files):
        raise DataError(
            f"{listing} does not match the images in {folder}: get both from the same place again"
        )
    if split == "test":
        raise NoTestPart("celeba has no test part of its own: use the held-out part")
    attributes = torch.tensor([[int(v) > 0 for v in marks[f.name]] for f in files])
    return replace(
        from_files("celeba", files, [file.name for file in files]),
        attributes=attributes.to(torch.uint8),
        attribute_names=names,
        held_out=held_out(len(files)),
        order=fixed_order(len(files)),
    )


def _bedrooms(folder: Path, settings: DataSettings, split: Split) -> Source:
    if next(folder.rglob("data.mdb"), None) is not None:
        raise DataError(
            f"{folder} holds LSUN's LMDB: export its images (each value is the content of a "
            ".webp file), or use the Parquet files of a hub copy"
        )
    return _images(folder, settings, split)


def _tfd(folder: Path, settings: DataSettings, split: Split) -> Source:
    file = folder / "TFD_48x48.mat"
    if not file.is_file():
        raise DataError(f"{folder} does not hold TFD_48x48.mat: ask its owners for it")
    return read_mat(file, split)


CIFAR10 = "airplane automobile bird cat deer dog frog horse ship truck"
IDX = "the four original IDX files (train-images-idx3-ubyte.gz, …)"
PICTURES = "its Parquet files (train-*.parquet), or folders of images"
NAMED: dict[str, Named] = {
    "digits": Named(
        "1,797 scans of handwritten digits, 8x8, 10 classes; included in scikit-learn",
        lambda folder, settings, split: digits(),
    ),
    "gaussian": Named("numbers from N(0, 1), 50,000 points on the line", _toy("gaussian")),
    "ring": Named("8 Gaussians on a circle in the plane, 50,000 points", _toy("ring")),
    "grid": Named("25 Gaussians on a square grid in the plane, 50,000 points", _toy("grid")),
    "moons": Named("two interleaved half circles in the plane, 50,000 points", _toy("moons")),
    "swissroll": Named("a spiral in the plane, 50,000 points", _toy("swissroll")),
    "mnist": Named("60,000 handwritten digits, 28x28, 10 classes", _idx, IDX),
    "stacked-mnist": Named(
        "three digits of MNIST as colour channels, 60,000 images, 28x28, 1,000 classes",
        _stacked,
        IDX,
        made_of="mnist",
    ),
    "fashion-mnist": Named("60,000 pieces of clothing, 28x28, 10 classes", _idx, IDX),
    "cifar10": Named(
        "50,000 photographs, 32x32, 10 classes",
        _cifar10,
        "the hub's Parquet files, or the binary version (data_batch_1.bin, …)",
    ),
    "celeba": Named(
        "faces with 40 attributes; cut to a square",
        _celeba,
        "Parquet files, or img_align_celeba/ with list_attr_celeba.txt",
        # the same square of the aligned face in both sizes it is passed on in
        (((89, 109), (7, 17, 82, 92)), ((178, 218), (14, 34, 164, 184))),
    ),
    "lsun-bedroom": Named("3 million photographs of bedrooms", _bedrooms, PICTURES),
    "imagenet": Named(
        "1.3 million photographs, 1,000 classes by WordNet ID",
        _images,
        "train/n01440764/… folders, or Parquet files",
    ),
    "facades": Named(
        "photographs of facades beside their label maps, in pairs (data.direction)",
        _images,
        "train/ and val/ (or test/) with the pairs, side by side in one file",
    ),
    "tfd": Named("the Toronto Face Database, 48x48", _tfd, "TFD_48x48.mat"),
}
