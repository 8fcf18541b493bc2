"""Files as a whole: opened if they are files, written in one step, locked, told by checksums."""

import csv
import errno
import hashlib
import io
import os
import shutil
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from io import BufferedReader
from pathlib import Path

from filelock import FileLock, Timeout


def open_regular(path: Path | str) -> BufferedReader:
    """A file to read. OSError for a pipe, which would be waited for without end, for a device, and
    for a name that no file can have."""
    # a pipe opens without a writer, and is refused below
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        file = os.fdopen(os.open(path, flags), "rb")
    except ValueError as error:  # a NUL in the name, or half of a character
        raise OSError(errno.EINVAL, f"no file has such a name: {error}", str(path)) from None
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError(errno.EINVAL, "it is not a regular file", str(path))
    return file


@contextmanager
def aside(path: Path) -> Iterator[Path]:
    """A name beside `path` to write to: flushed and renamed to it at the end, gone on an error.

    A reader sees the old file or the whole new one, and a full disk leaves no torn one. The name
    keeps the suffix, since many writers go by it. An OSError names `path` and says that it cannot
    be written.
    """
    made = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield made
        with made.open("r+b") as file:  # Windows flushes no file that is open for reading alone
            os.fsync(file.fileno())
        made.replace(path)
    except OSError as error:
        if error.errno is not None:
            error.filename = str(path)  # what the user named, and not the name beside it
            error.strerror = f"cannot be written ({error.strerror})"
        raise
    finally:
        with suppress(OSError):  # its folder could not be made
            made.unlink(missing_ok=True)


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write aside, flush to the disk, rename: a reader sees the old file or the new one."""
    with aside(path) as made:
        made.write_bytes(content.encode("utf8") if isinstance(content, str) else content)


def copy_files(files: Iterable[Path], folder: Path) -> list[Path]:
    """Copies in `folder`, which is made; of files of one name the later ones get a number."""
    folder.mkdir(parents=True, exist_ok=True)
    made = []
    for file in files:
        target, number = folder / file.name, 1
        while target.exists():
            number += 1
            target = folder / f"{file.stem}-{number}{file.suffix}"
        made.append(Path(shutil.copyfile(file, target)))
    return made


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, object]]) -> None:
    """Write a table with these columns, whose rows have a value for each."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_atomically(path, text.getvalue())


@contextmanager
def locked(path: Path, wait: float | None = None) -> Iterator[bool]:
    """Hold the lock file `path`, which dies with its process; gives whether it is held.

    wait: seconds after which to go on without it; None waits as long as it takes.
    """
    lock = FileLock(path, timeout=-1 if wait is None else wait)
    try:
        lock.acquire()
    except Timeout:
        yield False
        return
    try:
        yield True
    finally:
        lock.release()


def sha256_of(path: Path) -> str:
    """Of a file's contents, 64 hexadecimal digits."""
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
