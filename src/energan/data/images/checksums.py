"""What files hold, told by checksums that are remembered; and where caches live."""

import hashlib
import os
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import TypeVar

from energan.core import DataError
from energan.io.cores import threads
from energan.io.files import sha256_of

T = TypeVar("T")


def cache_folder() -> Path:
    """$ENERGAN_CACHE, else energan/ in $XDG_CACHE_HOME or ~/.cache; made if it is not there.

    Raises DataError if it cannot be made or written.
    """
    asked = os.environ.get("ENERGAN_CACHE")
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    folder = Path(asked or Path(base) / "energan").expanduser()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError) as error:
        raise DataError(
            f"the cache folder {folder} cannot be created ({error}): set ENERGAN_CACHE to a "
            "writable folder"
        ) from error
    if not os.access(folder, os.W_OK):
        raise DataError(
            f"the cache folder {folder} is not writable: set ENERGAN_CACHE to a writable folder"
        )
    return folder


def content_of(files: Sequence[Path], names: Sequence[str]) -> str:
    """sha256 (hex) of the files' names and contents, in this order.

    Checksums are remembered by path, size and time of change, so that an unchanged file is not read
    again, and a file that was only touched or moved gives the same result. (A file changed in place
    without a change of size and time goes unnoticed, as with make and rsync.)
    """
    digest = hashlib.sha256()
    for name, checksum in zip(names, _checksums(files), strict=True):
        digest.update(f"{name}\0{checksum}\n".encode("utf8", "surrogateescape"))
    return digest.hexdigest()


def _checksums(files: Sequence[Path]) -> list[str]:
    keys = [_key(file) for file in files]

    def recall(memo: sqlite3.Connection) -> dict[bytes, str]:
        asked = (memo.execute("SELECT * FROM files WHERE key = ?", (key,)) for key in keys)
        return {row[0]: str(row[1]) for found in asked for row in found}

    known: dict[bytes, str] = _with_memo(recall, {})
    new = [i for i, key in enumerate(keys) if key not in known]
    with ThreadPoolExecutor(threads()) as pool:
        made = zip([keys[i] for i in new], pool.map(lambda i: _sha256(files[i]), new), strict=True)
        rows = list(made)

    def remember(memo: sqlite3.Connection) -> None:
        with memo:
            memo.executemany("INSERT OR REPLACE INTO files VALUES (?, ?)", rows)

    _with_memo(remember, None)
    known |= dict(rows)
    return [known[key] for key in keys]


def _with_memo(use: Callable[[sqlite3.Connection], T], otherwise: T) -> T:
    """What `use` makes of the table of checksums; `otherwise` if the table cannot be used.

    It only saves time: without it files are read again. A torn one is thrown away.
    """
    file = cache_folder() / "checksums.sqlite"
    try:
        with closing(sqlite3.connect(file, timeout=60)) as memo:
            memo.execute("CREATE TABLE IF NOT EXISTS files (key BLOB PRIMARY KEY, sha256 TEXT)")
            return use(memo)
    except sqlite3.OperationalError:  # in use for too long, or on a full or failing disk
        return otherwise
    except sqlite3.DatabaseError:  # torn; a journal that stayed would spoil the next one
        for name in (file, file.with_name(file.name + "-journal")):
            name.unlink(missing_ok=True)
        return otherwise


def _key(file: Path) -> bytes:
    try:
        where = os.fsencode(os.path.realpath(file))
        stat = file.stat()
    except OSError as error:  # a link to nothing
        return where + f"\0gone {error.errno}".encode()
    except ValueError:  # no file has such a name
        return str(file).encode("utf8", "backslashreplace") + b"\0no name"
    return where + f"\0{stat.st_size} {stat.st_mtime_ns}".encode()


def _sha256(file: Path) -> str:
    try:
        return sha256_of(file)
    except OSError as error:  # it counts as unreadable later; its absence is part of the content
        return f"unreadable {error.errno}"
