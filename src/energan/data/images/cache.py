"""Decoded images in a file of their own, mapped into memory, that later runs find again.

CACHE/decoded/KEY/
    images.u8      the images of all rows, one slot each, uint8 (C, H, W)
    done.jsonl     while it is built: one line for each part whose images are written
    rows.i64       the slots that hold an image
    index.json     shape, what was left out, checksum; written last: its presence means complete

KEY tells the content of the source's files, the way of decoding and the rows. A build that was
killed goes on where it was; a second process that wants the same waits for the first.
"""

import fcntl
import hashlib
import json
import mmap
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from energan.core import DataError, describe
from energan.data.images.checksums import cache_folder
from energan.data.images.decoded import Decoded
from energan.data.images.decoder import Decoder, Shape, list_skipped, wanted_parts
from energan.data.images.decoding import Decoding, Pixels
from energan.data.source import Part, Source
from energan.io.console import say

FORMAT = 1
AROUND = 64 * 2**10
"""Bytes that the system maps around each page that is touched."""
RELEASE_AFTER = 64 * 2**20
"""Bytes read after which the mapped pages are let go of, so that they never fill memory."""


def open_cache(source: Source, how: Decoding, rows: Tensor, shape: Shape) -> Decoded:
    """The cache of these images, built first if it is not there; DataError if it cannot be."""
    folder = folder_of(source, how, rows)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _lock(folder, source.name):
            index = _index(folder)
            if index is None:
                _build(folder, source, how, rows, shape)
                index = _index(folder)
                assert index is not None
        return _opened(folder, source, rows, index)
    except OSError as error:
        raise DataError(
            f"the cache {folder} cannot be used ({describe(error)}): free some space or memory, or "
            "set ENERGAN_CACHE to a folder elsewhere; what is decoded already is kept"
        ) from error


def folder_of(source: Source, how: Decoding, rows: Tensor) -> Path:
    """Where the cache of these images is, or would be. `how` is resolved."""
    numbers = hashlib.sha256(rows.numpy().tobytes()).hexdigest()
    key = json.dumps([FORMAT, source.content(), asdict(how), numbers])
    return cache_folder() / "decoded" / hashlib.sha256(key.encode()).hexdigest()[:24]


@contextmanager
def _lock(folder: Path, name: str) -> Iterator[None]:
    """Hold the cache; the lock dies with the process that holds it."""
    with (folder / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"another process decodes {name}: waiting for it")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _index(folder: Path) -> dict[str, Any] | None:
    """What is in a finished cache; None if it is not finished, or damaged."""
    try:
        index: dict[str, Any] = json.loads((folder / "index.json").read_text(encoding="utf8"))
        sizes = {name: (folder / name).stat().st_size for name in ("images.u8", "rows.i64")}
    except (OSError, ValueError):
        return None
    if sizes == index.get("sizes") and _sha256(folder / "rows.i64") == index.get("rows"):
        return index
    say(f"the cache {folder} is damaged: it is built anew")
    (folder / "index.json").unlink()
    (folder / "done.jsonl").unlink(missing_ok=True)
    return None


def _build(folder: Path, source: Source, how: Decoding, rows: Tensor, shape: Shape) -> None:
    size = torch.Size(shape).numel()
    slots = {row: slot for slot, row in enumerate(rows.tolist())}
    images, done = folder / "images.u8", folder / "done.jsonl"
    if not images.exists() or images.stat().st_size != len(rows) * size:
        done.unlink(missing_ok=True)  # it tells of images that are no longer there
    parts, skipped = _left(done, list(wanted_parts(source, rows)))
    needed = len(rows) * size - (images.stat().st_blocks * 512 if images.exists() else 0)
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise DataError(
            f"decoded, {source.name} takes {len(rows) * size / 2**30:.1f} GiB, and {folder} has "
            f"{free / 2**30:.1f} GiB free: set ENERGAN_CACHE to a larger disk, or --data.storage "
            "stream to decode on the way"
        )
    decoder = Decoder(source, how, shape)
    decoder.skipped |= skipped
    with images.open("ab"):
        pass
    descriptor = os.open(images, os.O_RDWR)
    try:
        os.ftruncate(descriptor, len(rows) * size)

        def put(row: int, pixels: Pixels) -> None:
            _write(descriptor, pixels.tobytes(), slots[row] * size)

        def after(part: Part, wanted: list[int]) -> None:
            # The images first, then the line that says so: a power cut finds no line too many.
            os.fdatasync(descriptor)
            mine = {str(r): decoder.skipped[r] for r in wanted if r in decoder.skipped}
            with done.open("a", encoding="utf8") as file:
                file.write(json.dumps({"part": part.start, "skipped": mine}) + "\n")

        decoder.run(parts, put, after)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    _finish(folder, source, how, rows, shape, decoder.skipped)


def _write(descriptor: int, data: bytes, at: int) -> None:
    while data:
        written = os.pwrite(descriptor, data, at)
        data, at = data[written:], at + written


def _left(
    done: Path, parts: list[tuple[Part, list[int]]]
) -> tuple[list[tuple[Part, list[int]]], dict[int, str]]:
    """The parts still to decode, and what was left out of those that are done."""
    finished: set[int] = set()
    skipped: dict[int, str] = {}
    if done.exists():
        text = done.read_text(encoding="utf8")
        for line in text.split("\n")[:-1]:  # what follows the last line's end was cut short
            entry = json.loads(line)
            finished.add(entry["part"])
            skipped |= {int(row): reason for row, reason in entry["skipped"].items()}
        if not text.endswith("\n") and text:
            done.write_text(text[: text.rfind("\n") + 1], encoding="utf8")
    return [(part, rows) for part, rows in parts if part.start not in finished], skipped


def _finish(
    folder: Path,
    source: Source,
    how: Decoding,
    rows: Tensor,
    shape: Shape,
    skipped: dict[int, str],
) -> None:
    kept = np.array([s for s, row in enumerate(rows.tolist()) if row not in skipped], np.int64)
    with (folder / "rows.i64").open("wb") as file:
        file.write(kept.tobytes())
        file.flush()
        os.fsync(file.fileno())
    index = {
        "name": source.name,
        "shape": shape,
        "decoding": asdict(how),
        "skipped": list_skipped(source, skipped),
        "digest": _digest(folder / "images.u8", kept, torch.Size(shape).numel()),
        "rows": _sha256(folder / "rows.i64"),
        "sizes": {n: (folder / n).stat().st_size for n in ("images.u8", "rows.i64")},
    }
    aside = folder / ".index.json"
    with aside.open("w", encoding="utf8") as text:
        json.dump(index, text, indent=1)
        text.flush()
        os.fsync(text.fileno())
    aside.replace(folder / "index.json")
    (folder / "done.jsonl").unlink(missing_ok=True)


def _sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _digest(images: Path, kept: "np.ndarray[Any, Any]", size: int) -> str:
    """sha256 of the images that are there, in order, read in runs of neighbours."""
    digest = hashlib.sha256()
    runs = np.split(kept, np.flatnonzero(np.diff(kept) != 1) + 1) if len(kept) else []
    with images.open("rb") as file:
        for run in runs:
            file.seek(int(run[0]) * size)
            left = len(run) * size
            while left:
                chunk = file.read(min(left, 1 << 22))
                digest.update(chunk)
                left -= len(chunk)
    return digest.hexdigest()


def _opened(folder: Path, source: Source, rows: Tensor, index: dict[str, Any]) -> Decoded:
    """The cache, mapped. Its events are all slots; `rows` and `slots` say which hold an image."""
    with (folder / "images.u8").open("rb") as file:
        # Copy-on-write, since torch takes only memory that may be written, and nobody writes it; so
        # no memory is set aside for copies either, which a file larger than memory would need.
        flags = mmap.MAP_PRIVATE | getattr(mmap, "MAP_NORESERVE", 0)
        mapped = mmap.mmap(file.fileno(), 0, flags=flags, prot=mmap.PROT_READ | mmap.PROT_WRITE)
    events = torch.frombuffer(mapped, dtype=torch.uint8).view(-1, *index["shape"])
    slots = torch.from_numpy(np.fromfile(folder / "rows.i64", np.int64))
    size = torch.Size(index["shape"]).numel()
    read = 0

    def release(count: int) -> None:
        nonlocal read
        read += count * max(size, AROUND)
        if read > RELEASE_AFTER:
            read = 0
            mapped.madvise(mmap.MADV_DONTNEED)

    return Decoded(
        events,
        rows[slots],
        tuple((where, reason) for where, reason in index["skipped"]),
        slots=slots,
        digest=index["digest"],
        path=folder / "images.u8",
        release=release,
    )
