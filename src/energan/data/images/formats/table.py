"""Formats that Pillow does not read. A further one is a file beside this and a line here."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from energan.data.images.formats.array import is_array, read_array
from energan.data.images.formats.dicom import dataset, is_dicom, read_dicom
from energan.data.images.formats.heic import is_heic, read_heic
from energan.data.images.formats.nifti import is_nifti, read_nifti, unpack
from energan.data.images.values import RawImage


class Reader(Protocol):
    """From a file's bytes to the page `number`; without `decode` to one of that shape and type.

    Raises Unreadable, or whatever its library stumbles over.
    """

    def __call__(self, raw: bytes, number: int = 0, *, decode: bool = True) -> RawImage: ...


@dataclass(frozen=True)
class Format:
    """suffixes: of its files; is_mine: whether bytes are one. files: of them that are in memory at
    a time, for those of one file may be hundreds of megabytes.
    """

    suffixes: tuple[str, ...]
    is_mine: Callable[[bytes], bool]
    read: Reader
    files: int = 256


FORMATS = (
    Format((".heic", ".heif", ".hif"), is_heic, read_heic, 64),
    Format((".dcm", ".dicom"), is_dicom, read_dicom, 16),
    Format((".nii", ".nii.gz"), is_nifti, read_nifti, 1),
    Format((), is_array, read_array),  # an .npy may also be many images: its folder decides
)
SUFFIXES = frozenset(suffix for form in FORMATS for suffix in form.suffixes)


def format_of(raw: bytes) -> Format | None:
    """The format of a file's bytes; None of those that Pillow reads."""
    return next((form for form in FORMATS if form.is_mine(raw)), None)


def forget() -> None:
    """Let go of the files that were kept for their further pages."""
    dataset.cache_clear()
    unpack.cache_clear()


def files_at_once(suffixes: frozenset[str]) -> int:
    """How many files of these suffixes are read together."""
    sizes = (form.files for form in FORMATS if suffixes.intersection(form.suffixes))
    return min(sizes, default=256)
