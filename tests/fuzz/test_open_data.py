"""Whatever a file or a folder holds, `open_data` gives a data set whose parts fit together, or one
sentence: no other error, no end of memory, and within a time."""

import os
import resource
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from energan.core import DataError, SettingError
from energan.data import DataSet, DataSettings, open_data
from support.fuzz_files import CONTAINERS, IMAGES, containers, images

fuzz = examples.get_profile("fuzz")
SECONDS = 30
MOST = 2**30
"""Bytes that opening a few small files may add to a process."""


@contextmanager
def within_bounds() -> Iterator[None]:
    """Raises TimeoutError after SECONDS, and AssertionError for more than MOST bytes of memory."""

    def late(*args: object) -> None:
        raise TimeoutError(f"not done within {SECONDS} s")

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    old = signal.signal(signal.SIGALRM, late)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, old)
    grown = 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
    assert grown < MOST, f"{grown:,} bytes"


@contextmanager
def folder() -> Iterator[Path]:
    made = tempfile.mkdtemp()
    try:
        yield Path(made)
    finally:
        shutil.rmtree(made)


def opened(source: Path, **settings: Any) -> DataSet | None:
    """The data, whose parts fit together; None if it was refused in a sentence."""
    with within_bounds():
        try:
            data = open_data(DataSettings(source=str(source), **settings))
        except (DataError, SettingError) as refused:
            error = str(refused)
        else:
            for part in filter(None, (data, data.held_out)):
                fits_together(part)
            return data
    assert error.strip()
    assert "\n" not in error
    return None


def fits_together(data: DataSet) -> None:
    batch = data.gather(torch.arange(min(3, len(data))), conditions=data.labels is not None)
    assert batch.x.shape[1:] == data.domain.shape
    assert batch.x.isfinite().all()
    if data.domain.low is not None and data.domain.high is not None:
        assert data.domain.low - 1e-5 <= float(batch.x.min())
        assert float(batch.x.max()) <= data.domain.high + 1e-5
    if data.labels is not None:
        assert len(data.labels) == len(data)
        assert data.domain.classes is not None
        assert int(data.labels.min()) >= -1
        assert int(data.labels.max()) < data.domain.classes
    assert len(data.fingerprint) == 64
    for told in (*map(str, data.facts), *(f"{where}{why}" for where, why in data.skipped)):
        told.encode()  # it can be written and printed
        assert "\n" not in told


@fuzz
@given(containers())
def test_a_file_of_many(named: tuple[str, bytes]) -> None:
    name, content = named
    with folder() as root:
        (root / name).write_bytes(content)
        opened(root / name)


@pytest.mark.parametrize("name", sorted(CONTAINERS))
def test_every_file_of_many_is_opened_when_it_is_whole(name: str) -> None:
    for content in CONTAINERS[name]:
        with folder() as root:
            (root / name).write_bytes(content)
            (root / "x.png").write_bytes(IMAGES[".png", "RGB"])  # for cells that are paths
            assert opened(root / name) is not None


@fuzz
@given(st.lists(images(), min_size=1, max_size=6), st.sampled_from([None, 8]))
def test_images_that_are_damaged(given: list[tuple[str, bytes]], size: int | None) -> None:
    with folder() as root:
        for i, (suffix, content) in enumerate(given):
            (root / f"{i}{suffix}").write_bytes(content)
        data = opened(root, size=size, held_out=0)
        if data is not None:  # what is taken and what is left out are all
            left = {where.partition(" ")[0] for where, _ in data.skipped}
            assert len(data) + len(left) == len(given)


NAMES = st.one_of(
    st.sampled_from(["train", "test", "val", "good", "cat", "Cat", "ground_truth", "masks", "a.png",
                     "A", "B", ".hidden", "__MACOSX", "Thumbs.db", "labels.csv", "ä", "a\u0308",
                     "unlabelled", "images", "01", "1", "a b", "-n", "~", "$HOME", "x.npy",
                     "x.mat", "x.parquet", "dataset_info.json", "train-images-idx3-ubyte"]),
    st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1,
            max_size=8),
)  # fmt: skip
SUFFIX = st.sampled_from(["", ".png", ".PNG", ".jpg", ".tif", ".txt", ".csv"])
KINDS = ["image", "image", "image", "empty", "text", "pipe", "loop", "nowhere", "latin"]


@st.composite
def trees(draw: st.DrawFn) -> list[tuple[list[str], str]]:
    """(path, kind) of each entry; of folders that are its parents too."""
    path = st.lists(NAMES, min_size=1, max_size=3)
    suffixed = st.tuples(path, SUFFIX).map(lambda of: [*of[0][:-1], of[0][-1] + of[1]])
    return draw(st.lists(st.tuples(suffixed, st.sampled_from(KINDS)), min_size=1, max_size=14))


def grow(root: Path, entries: list[tuple[list[str], str]]) -> int:
    """Make the entries that can be made; how many images there are."""
    count = 0
    for i, (parts, kind) in enumerate(entries):
        path = root.joinpath(*(part for part in parts if part not in (".", "..")))
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.exists() or path.is_symlink():
                continue
            if kind == "pipe":
                os.mkfifo(path)
            elif kind == "loop":
                path.symlink_to(root)
            elif kind == "nowhere":
                path.symlink_to(root / "nowhere.png")
            elif kind == "latin":
                os.mkdir(os.path.join(os.fsencode(path.parent), b"b\xe4r%d" % i))
            else:
                content = {"image": IMAGES[".png", "RGB"], "empty": b"", "text": b"a,b\n1,2\n"}
                path.write_bytes(content[kind])
                count += kind == "image"
        except OSError:  # a name that is too long, or below a file
            continue
    return count


@fuzz
@given(trees(), st.sampled_from(["train", "test"]))
def test_folders_as_they_come(entries: list[tuple[list[str], str]], split: str) -> None:
    with folder() as root:
        count = grow(root, entries)
        data = opened(root, size=8)
        if data is not None:
            held = 0 if data.held_out is None else len(data.held_out)
            assert 0 < len(data) + held <= count


CELL = st.one_of(
    st.sampled_from(["0.png", "1.png", "2.png", "sub/3.png", "none.png", "cat", "dog", "01", "1",
                     "", "NaN", "file", "label", "tag", '"', "'", "0.png\0", "Ä", "-1", "1e999"]),
    st.text(max_size=6),
)  # fmt: skip


@fuzz
@given(
    st.lists(st.lists(CELL, max_size=4), max_size=8),
    st.sampled_from([",", ";", "\t", "|", " "]),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.sampled_from(["utf-8", "utf-8-sig", "latin-1", "utf-16", "cp1252"]),
    st.sampled_from(["", "sep=;\n", "file,label\n", "file;label\n", "image,class\n"]),
    st.booleans(),
)
def test_labels_in_a_csv(
    rows: list[list[str]], separator: str, end: str, encoding: str, head: str, quote: bool
) -> None:
    quoted = '"{}"' if quote else "{}"
    text = head + end.join(separator.join(map(quoted.format, row)) for row in rows)
    with folder() as root:
        (root / "sub").mkdir()
        for name in ("0.png", "1.png", "2.png", "sub/3.png"):
            (root / name).write_bytes(IMAGES[".png", "RGB"])
        (root / "labels.csv").write_bytes(text.encode(encoding, "replace"))
        data = opened(root, labels="labels.csv", held_out=0)
        if data is not None:
            assert len(data) == 4
