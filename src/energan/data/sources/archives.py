"""Zip and tar archives, read in place: their entries are a folder's files."""

import re
import stat
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from energan.core import DataError, describe
from energan.data.facts import Fact
from energan.data.sources.splits import split_of
from energan.data.sources.tree import LINK, SPECIAL, SUFFIXES, LeftOut, Tree, is_system, suffix_of
from energan.io.files import open_regular
from energan.io.memory import free_memory
from energan.io.text import plural, printable, size_text

PACKED_TARS = (".tgz", ".tar.gz", ".tbz2", ".tar.bz2", ".txz", ".tar.xz")
LARGE, RATIO, MOST = 2**26, 200, 2**31
"""Decompression bombs: least size in bytes, least compression ratio, and largest size of an
image."""
LABELS = (".cls", ".json", ".txt")
"""Suffixes of files that may hold the class of the image of the same name."""
Read = Callable[[Path], bytes | None]


@dataclass(frozen=True, eq=False)
class Archive:
    """One archive, or the shards of one. path: of it, or of their folder; files: these.

    tree: its entries as if it were a folder. read: a file of the tree -> its bytes, None if they
    cannot be read. labels: the class of each image of which it tells one.
    """

    path: Path
    files: tuple[Path, ...]
    tree: Tree
    read: Read
    entries: int
    facts: tuple[Fact, ...] = ()
    labels: dict[Path, str] = field(default_factory=dict)


@dataclass(frozen=True)
class _Entry:
    """kind: what it is, if it is no file that is read. size, packed: bytes, as it claims."""

    name: str
    size: int
    packed: int
    kind: str = ""


def is_archive(path: Path) -> bool:
    return path.name.lower().endswith((".zip", ".tar", *PACKED_TARS))


def open_archive(path: Path) -> Archive:
    """What `path` holds. Raises DataError for an archive that is damaged, encrypted, or a bomb."""
    with open_regular(path) as file:
        is_zip = file.read(2) == b"PK"
    try:
        entries, read = _open_zip(path) if is_zip else _open_tar(path)
        found = _as_tree(path, entries)
    except (DataError, OSError):
        raise
    except Exception as error:  # zipfile and tarfile raise whatever they stumble over
        why = "not a tar archive" if isinstance(error, tarfile.ReadError) else describe(error)
        raise DataError(
            f"{path} cannot be read as an archive ({why}): it is damaged, or cut short"
        ) from None
    text = f"an archive of {plural(len(entries), 'file')}, read in place"
    return Archive(
        path, (path,), _without_wrapping(found), read, len(entries), (Fact("source", text),)
    )


def _plain(name: str) -> str:
    """a/b of ./a//b."""
    return "/".join(part for part in name.split("/") if part not in ("", "."))


# --- what it holds --------------------------------------------------------------------------------


def _as_tree(path: Path, entries: list[_Entry]) -> Tree:
    top = Tree(path)
    known: dict[tuple[str, ...], Tree] = {(): top}
    seen: set[tuple[str, ...]] = set()
    for entry in entries:
        parts = tuple(_plain(entry.name).split("/"))
        if entry.name.startswith("/") or ".." in parts or re.match(r"[A-Za-z]:", entry.name):
            raise DataError(
                f"{path} holds an entry outside its folder ({describe(entry.name)}) and is not "
                "read: make the archive again from the folder itself"
            )
        hidden = next((n for n, part in enumerate(parts, 1) if is_system(part)), None)
        parts, kind = parts[:hidden], "hidden or system entry" if hidden else entry.kind
        if parts in seen:
            if hidden:
                continue
            kind = "repeated entry"
        seen.add(parts)
        if kind:
            top.left_out.setdefault(kind, LeftOut()).add(printable("/".join(parts)))
            continue
        _put(parts, entry, path, known)
    for folder in known.values():
        folder.images.sort()
        folder.others.sort()
        folder.folders.sort(key=lambda below: below.name)
    return top


def _put(
    parts: tuple[str, ...], entry: _Entry, path: Path, known: dict[tuple[str, ...], Tree]
) -> None:
    for depth in range(1, len(parts)):
        if parts[:depth] not in known:
            made = known[parts[:depth]] = Tree(path.joinpath(*parts[:depth]))
            known[parts[: depth - 1]].folders.append(made)
    folder = known[parts[:-1]]
    if suffix_of(parts[-1]) not in SUFFIXES:
        folder.others.append(parts[-1])
        return
    if entry.size > MOST or entry.size > max(LARGE, RATIO * entry.packed):
        raise DataError(
            f"{path}: {describe(entry.name)} is {size_text(entry.size)} unpacked, as "
            "decompression bombs are: leave it out of the archive"
        )
    folder.images.append(parts[-1])
    for depth in range(len(parts)):
        known[parts[:depth]].count += 1


def _without_wrapping(tree: Tree) -> Tree:
    """The one folder that an archive of a folder has at its top, or the folder that has more."""
    while not tree.images and len(tree.folders) == 1 and not split_of(tree.folders[0].name):
        inner = tree.folders[0]
        inner.left_out, inner.others = tree.left_out, [*inner.others, *tree.others]
        tree = inner
    return tree


# --- zip ------------------------------------------------------------------------------------------


def _open_zip(path: Path) -> tuple[list[_Entry], Read]:
    packed = zipfile.ZipFile(path)
    infos = {_plain(info.filename.replace("\\", "/")): info for info in packed.infolist()}
    entries = []
    for info in packed.infolist():
        if info.is_dir():
            continue
        if info.flag_bits & 1:
            raise DataError(
                f"{path} is encrypted: unpack it with its password, and name the folder"
            )
        link = stat.S_ISLNK(info.external_attr >> 16)
        name = info.filename.replace("\\", "/")
        entries.append(_Entry(name, info.file_size, info.compress_size, LINK if link else ""))

    def read(file: Path) -> bytes | None:
        try:
            return packed.read(infos[file.relative_to(path).as_posix()])
        except Exception:  # a wrong checksum, a packing that is not known
            return None

    return entries, read


# --- tar ------------------------------------------------------------------------------------------


def _open_tar(path: Path) -> tuple[list[_Entry], Read]:
    """One that is not compressed is read in place, of others the images are kept in memory."""
    with open_regular(path) as file:
        try:
            with tarfile.open(fileobj=file, mode="r:") as tar:
                members = list(_members(tar, path, None))
                file.seek(tar.offset)
                if file.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
                    raise ValueError("it has no end")
        except tarfile.ReadError:
            status = path.stat()
            entries, kept = _unpacked(path, status.st_size, status.st_mtime_ns)
            return entries, lambda file: kept.get(file.relative_to(path).as_posix())
    places = {_plain(member.name): (member.offset_data, member.size) for member, _ in members}

    def read(file: Path) -> bytes | None:
        start, size = places[file.relative_to(path).as_posix()]
        try:
            with open_regular(path) as opened:
                opened.seek(start)
                found = opened.read(size)
        except OSError:
            return None
        return found if len(found) == size else None

    return [entry for _, entry in members], read


def _members(
    tar: tarfile.TarFile, path: Path, most: int | None
) -> Iterator[tuple[tarfile.TarInfo, _Entry]]:
    for member in tar:
        if most is not None and member.offset_data + member.size > most:
            raise DataError(
                f"{path} takes more than {size_text(most)} unpacked, the most that is read into "
                "memory: unpack it, and name the folder"
            )
        if member.isdir():
            continue
        kind = "" if member.isreg() and member.sparse is None else SPECIAL[2]
        kind = LINK if member.issym() or member.islnk() else SPECIAL[0] if member.isfifo() else kind
        yield member, _Entry(member.name, member.size, member.size, kind)


@lru_cache(maxsize=1)
def _unpacked(path: Path, size: int, changed: int) -> tuple[list[_Entry], dict[str, bytes]]:
    """The entries of a compressed one, and the bytes of its images and labels."""
    most = min(free_memory() // 2, max(LARGE, RATIO * size))
    entries: list[_Entry] = []
    kept: dict[str, bytes] = {}
    with open_regular(path) as file, tarfile.open(fileobj=file, mode="r:*") as tar:
        for member, entry in _members(tar, path, most):
            entries.append(entry)
            if not entry.kind and suffix_of(member.name) in SUFFIXES | {*LABELS}:
                content = tar.extractfile(member)
                kept[_plain(member.name)] = content.read() if content else b""
    return entries, kept
