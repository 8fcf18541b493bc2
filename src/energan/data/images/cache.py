"""Decoded images in a file of their own, mapped into memory, that later runs find again.

CACHE/decoded/KEY/
    images.npy     the images of all rows, one slot each, (N, C, H, W)
    done.jsonl     while it is built: one line for each part whose images are written
    rows.npy       the slots that hold an image, int64
    index.json     what was left out, checksums; written last: its presence means complete

KEY tells the content of the source's files, the way of decoding and the rows. A build that was
killed goes on where it was; a second process that wants the same waits for the first.
"""

import hashlib
import json
import mmap
import os
import shutil
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.lib.format import open_memmap
from numpy.typing import NDArray
from torch import Tensor

from energan.core import DataError, describe
from energan.data.images.checksums import cache_folder
from energan.data.images.decoded import Decoded
from energan.data.images.decoder import Decoder, Shape, list_skipped, select_parts
from energan.data.images.decoding import Decoding, Notes, Pixels
from energan.data.source import Part, Source
from energan.io.console import say
from energan.io.files import aside, locked, sha256_of, write_atomically

FORMAT = 2
AROUND = 64 * 2**10
"""Bytes that the system maps around each page read."""
RELEASE_AFTER = 64 * 2**20
"""Bytes read after which the mapped pages are released, so that they never fill memory."""
IMAGES, ROWS, INDEX, DONE = "images.npy", "rows.npy", "index.json", "done.jsonl"


def open_cache(source: Source, how: Decoding, rows: Tensor, shape: Shape) -> tuple[Decoded, Notes]:
    """The cache of these images, built first if it is not there, and what was done to them.

    Raises DataError if it cannot be built.
    """
    folder = folder_of(source, how, rows)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _hold(folder, source.name):
            index = _index(folder)
            if index is None:
                _build(folder, source, how, rows, shape)
                index = _index(folder)
                assert index is not None
        return _map(folder, rows, index), Notes(index.get("notes", {}))
    except OSError as error:
        raise DataError(
            f"the cache {folder} cannot be used ({describe(error)}): free some space or memory, "
            "or set ENERGAN_CACHE to another folder; images already decoded are kept"
        ) from error


def folder_of(source: Source, how: Decoding, rows: Tensor) -> Path:
    """Where the cache of these images is, or would be. `how` is resolved."""
    numbers = hashlib.sha256(rows.numpy().tobytes()).hexdigest()
    key = json.dumps([FORMAT, source.content(), how.key(), numbers])
    return cache_folder() / "decoded" / hashlib.sha256(key.encode()).hexdigest()[:24]


@contextmanager
def _hold(folder: Path, name: str) -> Iterator[None]:
    """Within it no other process builds this cache."""
    with locked(folder / ".lock", wait=0) as held:
        if held:
            yield
            return
    say(f"another process decodes {name}: waiting for it")
    with locked(folder / ".lock"):
        yield


def _index(folder: Path) -> dict[str, Any] | None:
    """What is in a finished cache; None if it is not finished, or damaged."""
    try:
        index: dict[str, Any] = json.loads((folder / INDEX).read_text(encoding="utf8"))
        sizes = {name: (folder / name).stat().st_size for name in (IMAGES, ROWS)}
    except (OSError, ValueError):
        return None
    if sizes == index.get("sizes") and sha256_of(folder / ROWS) == index.get("rows"):
        return index
    say(f"the cache {folder} is damaged and will be rebuilt")
    (folder / INDEX).unlink()
    (folder / DONE).unlink(missing_ok=True)
    return None


def _build(folder: Path, source: Source, how: Decoding, rows: Tensor, shape: Shape) -> None:
    images, done = folder / IMAGES, folder / DONE
    dtype = np.dtype(how.depth)
    array = _open_images(images, (len(rows), *shape), dtype)
    if array is None:
        done.unlink(missing_ok=True)  # it tells of images that are no longer there
    parts, skipped, notes = _left(done, list(select_parts(source, rows)))
    size = torch.Size(shape).numel() * dtype.itemsize
    free = shutil.disk_usage(folder).free
    if sum(len(wanted) for _, wanted in parts) * size > free:
        raise DataError(
            f"{source.name} takes {len(rows) * size / 2**30:.1f} GiB decoded, and {folder} has "
            f"{free / 2**30:.1f} GiB free: set ENERGAN_CACHE to a larger disk, or use "
            "--data.storage stream to decode during training"
        )
    if array is None:
        array = open_memmap(images, mode="w+", dtype=dtype, shape=(len(rows), *shape))
    offset = array.offset
    del array
    decoder = Decoder(source, how, shape)
    decoder.skipped |= skipped
    decoder.notes += notes
    _decode_into(images, offset, size, decoder, parts, rows)
    _finish(folder, offset, size, decoder, rows)


def _open_images(
    path: Path, shape: tuple[int, ...], dtype: np.dtype[Any]
) -> "np.memmap[Any, Any] | None":
    """The images that a build has begun with; None if there are none, or of another shape."""
    try:
        found = open_memmap(path, mode="r")
    except (OSError, ValueError):
        return None
    return found if found.shape == shape and found.dtype == dtype else None


def _decode_into(
    images: Path,
    offset: int,
    size: int,
    decoder: Decoder,
    parts: list[tuple[Part, list[int]]],
    rows: Tensor,
) -> None:
    """Write each image into its slot, and a line for each part whose images are on the disk.

    By the file and not by a mapping of it: on a full disk that would end the process.
    """
    slots = {row: slot for slot, row in enumerate(rows.tolist())}
    lock = threading.Lock()
    with images.open("r+b") as file:

        def put(row: int, pixels: Pixels) -> None:
            with lock:
                file.seek(offset + slots[row] * size)
                file.write(pixels.tobytes())

        def after(part: Part, wanted: list[int], notes: Notes) -> None:
            # The images first, then the line that says so: a power cut finds no line too many.
            with lock:
                file.flush()
                os.fsync(file.fileno())
            mine = {str(r): decoder.skipped[r] for r in wanted if r in decoder.skipped}
            with (images.parent / DONE).open("a", encoding="utf8") as done:
                done.write(json.dumps({"part": part.start, "skipped": mine, "notes": notes}) + "\n")

        decoder.run(parts, put, after)


def _left(
    done: Path, parts: list[tuple[Part, list[int]]]
) -> tuple[list[tuple[Part, list[int]]], dict[int, str], Notes]:
    """The parts still to decode, and what was left out of those that are done, and done to them."""
    finished: set[int] = set()
    skipped: dict[int, str] = {}
    notes = Notes()
    if done.exists():
        text = done.read_text(encoding="utf8")
        for line in text.split("\n")[:-1]:  # what follows the last line's end was cut short
            entry = json.loads(line)
            finished.add(entry["part"])
            skipped |= {int(row): reason for row, reason in entry["skipped"].items()}
            notes += Notes(entry.get("notes", {}))
        if not text.endswith("\n") and text:
            done.write_text(text[: text.rfind("\n") + 1], encoding="utf8")
    left = [(part, rows) for part, rows in parts if part.start not in finished]
    return left, skipped, notes


def _finish(folder: Path, offset: int, size: int, decoder: Decoder, rows: Tensor) -> None:
    skipped = decoder.skipped
    kept = np.array([s for s, row in enumerate(rows.tolist()) if row not in skipped], np.int64)
    with aside(folder / ROWS) as path:
        np.save(path, kept)
    index = {
        "name": decoder.source.name,
        "decoding": decoder.how.key(),
        "notes": decoder.notes,
        "skipped": list_skipped(decoder.source, skipped),
        "digest": _digest(folder / IMAGES, offset, size, kept),
        "rows": sha256_of(folder / ROWS),
        "sizes": {name: (folder / name).stat().st_size for name in (IMAGES, ROWS)},
    }
    write_atomically(folder / INDEX, json.dumps(index, indent=1))
    (folder / DONE).unlink(missing_ok=True)


def _digest(images: Path, offset: int, size: int, kept: NDArray[np.int64]) -> str:
    """sha256 of the images that are there, in order, read in runs of neighbours."""
    digest = hashlib.sha256()
    runs = np.split(kept, np.flatnonzero(np.diff(kept) != 1) + 1) if len(kept) else []
    with images.open("rb") as file:
        for run in runs:
            file.seek(offset + int(run[0]) * size)
            left = len(run) * size
            while left:
                chunk = file.read(min(left, 1 << 22))
                digest.update(chunk)
                left -= len(chunk)
    return digest.hexdigest()


def _map(folder: Path, rows: Tensor, index: dict[str, Any]) -> Decoded:
    """The cache, mapped. Its events are all slots; `rows` and `slots` say which hold an image."""
    array = open_memmap(folder / IMAGES, mode="r")
    with warnings.catch_warnings():  # torch warns of memory that may not be written: nobody does
        warnings.simplefilter("ignore")
        events = torch.from_numpy(array)
    slots = torch.from_numpy(np.load(folder / ROWS))
    return Decoded(
        events,
        rows[slots],
        tuple((where, reason) for where, reason in index["skipped"]),
        slots=slots,
        digest=index["digest"],
        path=folder / IMAGES,
        release=_release_of(array.base, events[:1].nbytes),
    )


def _release_of(mapped: Any, size: int) -> Callable[[int], None] | None:
    """What lets go of mapped pages; None where the system has no call for it."""
    if not hasattr(mmap, "MADV_DONTNEED"):
        return None
    read = 0

    def release(count: int) -> None:
        nonlocal read
        read += count * max(size, AROUND)
        if read > RELEASE_AFTER:
            read = 0
            mapped.madvise(mmap.MADV_DONTNEED)

    return release
