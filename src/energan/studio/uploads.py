"""What is sent to the studio: how much, how large, and what the decoder makes of it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from energan.data.images.reading import header_of
from energan.errors import DataError
from energan.io.documents import read_bytes
from energan.io.text import size_text

MOST_FILES = 2_000
MOST_BYTES = 64 * 2**20
"""Of one file."""
MOST_PIXELS = 100_000_000
"""Of one image."""
MOST_TOGETHER = 4 * 2**30
"""Bytes that all uploads may take until the studio ends."""


@dataclass(frozen=True)
class Uploads:
    """Files that hold images, and (name, reason) of those that do not."""

    files: tuple[Path, ...]
    skipped: tuple[tuple[str, str], ...]


def check_image(content: bytes) -> str | None:
    """Why the contents of a file are not taken for an image; None if they are."""
    if len(content) > MOST_BYTES:
        return f"it is larger than {size_text(MOST_BYTES)}"
    header = header_of(content)
    if header is None:
        return "it is empty, or not an image"
    width, height = header.size
    if width * height * max(1, header.pages) > MOST_PIXELS:
        pages = f" of {header.pages} pages" if header.pages > 1 else ""
        return f"{width}x{height}{pages} is more than {MOST_PIXELS:,} pixels"
    return None


def check_count(count: int) -> None:
    """Raise DataError for more files than a studio takes at once, and for none."""
    if not count:
        raise DataError("there are no images yet: drop some, or choose files")
    if count > MOST_FILES:
        raise DataError(f"{count:,} files: give at most {MOST_FILES:,} at once")


def check_files(paths: Sequence[str] | None, uploads: Path | None) -> Uploads:
    """Files that a page was given, in their order.

    Raises DataError if there are none or too many, if none is an image, and for paths that are no
    uploads.
    """
    found, skipped = [], []
    check_count(len(paths or ()))
    for path in map(Path, paths or ()):
        if uploads is None or not path.resolve().is_relative_to(uploads):
            raise DataError("this file was not uploaded")
        reason = _reason(path)
        if reason is None:
            found.append(path)
        else:
            skipped.append((path.name, reason))
    if not found:
        name, reason = skipped[0]
        raise DataError(f"none of the files can be read; the first, {name}: {reason}")
    return Uploads(tuple(found), tuple(skipped))


def _reason(path: Path) -> str | None:
    if path.stat().st_size > MOST_BYTES:
        return f"it is larger than {size_text(MOST_BYTES)}"
    return check_image(read_bytes(path, error=DataError, most=MOST_BYTES))


def bytes_in(folder: Path) -> int:
    """Of all files below a folder."""
    return sum(path.stat().st_size for path in _files(folder))


def _files(folder: Path) -> Iterable[Path]:
    return (path for path in folder.rglob("*") if path.is_file())
