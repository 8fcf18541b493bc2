"""What files hold, told by checksums that are remembered; and where caches live."""

import hashlib
import os
import sqlite3
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

from energan.core import DataError


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
            f"the cache folder {folder} cannot be made ({error}): set ENERGAN_CACHE to a folder "
            "that can be written"
        ) from error
    if not os.access(folder, os.W_OK):
        raise DataError(
            f"the cache folder {folder} cannot be written: set ENERGAN_CACHE to one that can"
        )
    return folder


def cores() -> int:
    """Threads for decoding and reading: the environment's word, or the cores of this process."""
    asked = os.environ.get("OMP_NUM_THREADS", "")
    # torchrun sets one thread for each process if the user set none: not the user's word
    alone = int(os.environ.get("LOCAL_WORLD_SIZE", "1") or 1) == 1
    if asked.isdigit() and int(asked) > 0 and (alone or asked != "1"):
        return int(asked)
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


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
    with closing(sqlite3.connect(cache_folder() / "checksums.sqlite", timeout=60)) as memo:
        memo.execute("CREATE TABLE IF NOT EXISTS files (key BLOB PRIMARY KEY, sha256 TEXT)")
        known = [memo.execute("SELECT sha256 FROM files WHERE key = ?", (k,)).fetchone()
                 for k in keys]  # fmt: skip
        new = [i for i, found in enumerate(known) if found is None]
        with ThreadPoolExecutor(cores()) as pool:
            made = dict(zip(new, pool.map(lambda i: _sha256(files[i]), new), strict=True))
        with memo:
            rows = [(keys[i], checksum) for i, checksum in made.items()]
            memo.executemany("INSERT OR REPLACE INTO files VALUES (?, ?)", rows)
    return [made[i] if found is None else str(found[0]) for i, found in enumerate(known)]


def _key(file: Path) -> bytes:
    where = os.fsencode(os.path.realpath(file))
    try:
        stat = file.stat()
    except OSError as error:  # a link to nothing
        return where + f"\0gone {error.errno}".encode()
    return where + f"\0{stat.st_size} {stat.st_mtime_ns}".encode()


def _sha256(file: Path) -> str:
    try:
        with file.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:  # it counts as unreadable later; its absence is part of the content
        return f"unreadable {error.errno}"
