"""Files that are no data, or claim to be more than they are: each is refused in one sentence."""

import gzip
import io
import json
import os
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import scipy.io
import scipy.sparse

from energan.core import DataError
from energan.data import DataSet, DataSettings, open_data
from energan.data.sources import tables
from energan.data.sources.arrays import idx, mat
from energan.data.sources.arrays import numpy_files as array_files
from energan.io import memory
from support.image_files import encoded, noise

GREY = np.random.default_rng(0).integers(0, 256, (20, 4, 5), dtype=np.uint8)
CELLS = [encoded(image) for image in noise(6)]
CELL = np.empty(20, object)
CELL[:] = ["a"] * 20
HUGE = 10**30


def npy(shape: object, kind: object = "|u1", version: int = 1, values: bytes = b"") -> bytes:
    """An .npy whose header says this."""
    text = f"{{'descr': {kind!r}, 'fortran_order': False, 'shape': {shape!r}, }}".encode() + b"\n"
    size = struct.pack("<H" if version == 1 else "<I", len(text))
    return b"\x93NUMPY" + bytes([version, 0]) + size + text + values


def npz(**members: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in members.items():
            packed.writestr(f"{name}.npy", content)
    return buffer.getvalue()


def saved(**arrays: Any) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def images(values: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, values)
    return buffer.getvalue()


def matlab(**arrays: Any) -> bytes:
    buffer = io.BytesIO()
    scipy.io.savemat(buffer, arrays)
    return buffer.getvalue()


def parquet(columns: dict[str, Any] | pa.Table, features: dict[str, Any] | None = None) -> bytes:
    """features: of the note that the hub's files carry."""
    table = columns if isinstance(columns, pa.Table) else pa.table(columns)
    if features is not None:
        note = json.dumps({"info": {"features": features}})
        table = table.replace_schema_metadata({"huggingface": note})
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    return buffer.getvalue()


def twice(name: str, other: Any) -> pa.Table:
    return pa.Table.from_arrays([pa.array(CELLS), pa.array(other), pa.array(other)],
                                ["image", name, name])  # fmt: skip


BINARY = {"dtype": "binary", "_type": "Value"}
CLASSES = {"names": ["a", "b"], "_type": "ClassLabel"}
PATHS = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
MAP = pa.map_(pa.string(), pa.int64())
ALONE = np.zeros((48, 64, 3), np.uint8)
REFUSED: dict[str, tuple[str, bytes, str]] = {
    "labels beyond int64": (
        "a.npz", saved(x=GREY, y=np.full(20, 2**63, np.uint64)), "label 9223372036854775808 is"),
    "labels with gaps": ("a.npz", saved(x=GREY, y=np.arange(20) * 10**9), "label 19000000000 is"),
    "labels that are fractions": ("a.npz", saved(x=GREY, y=np.zeros(20)), "labels are float64"),
    "labels that are texts": ("a.npz", saved(x=GREY, y=np.array(["a"] * 20)), "labels are <U1"),
    "labels that are complex": ("a.npz", saved(x=GREY, y=np.zeros(20, complex)), "are complex128"),
    "labels that are records": (
        "a.npz", saved(x=GREY, y=np.zeros(20, [("a", int)])), "labels are"),
    "negative labels": ("a.npz", saved(x=GREY, y=np.arange(20) - 7), "label -7 is negative"),
    "labels that are no array": (
        "a.npz", npz(x=images(GREY), y=b"hello"), r"\(y: it is not an array\)"),
    "events that are no array": ("a.npz", npz(x=b"hello"), r"\(x: it is not an array\)"),
    "an empty member": ("a.npz", npz(x=b""), r"\(x: it is not an array\)"),
    "objects": ("a.npz", saved(x=CELL), "it holds objects"),
    "more rows than there are": ("a.npy", npy((HUGE, 4, 4)), "no array has the shape"),
    "more rows in a member": ("a.npz", npz(x=npy((HUGE, 4, 4))), "x: no array has the shape"),
    "more bytes than there are": ("a.npy", npy((10**10, 4, 4)), "160.0 GB, and 0 bytes follow"),
    "fewer bytes than there are": (
        "a.npy", npy((2, 4, 4), values=bytes(33)), "32 bytes, and 33 bytes follow"),
    "a negative shape": ("a.npy", npy((-5, 4, 4)), r"no array has the shape \(-5, 4, 4\)"),
    "a truth value for a shape": ("a.npy", npy((True, 4, 4), values=bytes(16)), "no array has"),
    "none for a shape": ("a.npy", npy(None), "cannot be read as arrays"),
    "no rows, and many": ("a.npy", npy((HUGE, 0, 4)), "no array has the shape"),
    "texts of no letters": ("a.npy", npy((HUGE,), "|S0"), "it holds nothing"),
    "records": ("a.npy", npy((4,), [("a", "|u1")], values=bytes(4)), "save images as uint8"),
    "records with names in UTF-8": ("a.npy", npy((4,), version=3), "has format 3.0"),
    "a version that is not yet": ("a.npy", npy((4,), version=9), "has format 9.0"),
    "a large cell": ("a.npy", npy((4,), ("|u1", (10**5, 10**5))), "cannot be read as arrays"),
    "code in a header": ("a.npy", npy((4,)).replace(b"(4,)", b"f(4)"), "cannot be read as arrays"),
    "nesting in a header": ("a.npy", npy((4,)).replace(b"(4,)", b"(" * 4000), "cannot be read"),
    "times": ("a.npy", npy((4, 4), "<M8[s]", values=bytes(128)), "save images as uint8"),
    "one image": ("a.npy", images(ALONE), r"\(48, 64, 3\), which may be one colour image"),
    "one image, channels first": ("a.npy", images(ALONE.transpose(2, 0, 1)), "or 3 grey images"),
    "one image with alpha": ("a.npy", images(np.zeros((48, 64, 4), np.uint8)), "one image"),
    "one grey image with its channel": ("a.npy", images(ALONE[..., :1]), "one image"),
    "one image of nine bands": ("a.npy", images(np.zeros((300, 400, 9), np.uint8)), "one image"),
    "one image of fractions": ("a.npz", saved(x=np.zeros((48, 64, 3))), "one image"),
    "one image of MATLAB's": ("a.mat", matlab(images=ALONE), "one image"),
    "MATLAB's cells": ("a.mat", matlab(images=CELL), "images is .* of MATLAB's class cell"),
    "MATLAB's structures": ("a.mat", matlab(faces={"a": GREY}), "faces is .* class struct"),
    "MATLAB's texts": ("a.mat", matlab(x=np.array(["ab", "cd"])), "x is .* class char"),
    "MATLAB's complex numbers": ("a.mat", matlab(images=GREY + 1j), "images holds complex"),
    "MATLAB's sparse ones": (
        "a.mat", matlab(images=scipy.sparse.eye(16).tocsc()), "images is .* class sparse"),
    "MATLAB's single number": ("a.mat", matlab(images=5), "images is a single number"),
    "MATLAB's empty array": ("a.mat", matlab(images=np.zeros((0, 4, 4))), r"images is \(0, 4, 4\)"),
    "MATLAB's numbers of no type": (
        "a.mat", matlab(images=GREY).replace(b"images\0\0\2\0\0\0", b"images\0\0\xff\xff\0\0"),
        "numbers of type 65535, which does not exist"),
    "labels alone": ("a.mat", matlab(labels=np.arange(20)), "holds no array of images"),
    "a header of MATLAB's alone": ("a.mat", matlab()[:128], "holds no array of images"),
    "two columns of images": (
        "a.parquet", parquet(pa.Table.from_arrays([pa.array(CELLS)] * 2, ["image"] * 2)),
        "two columns named image"),
    "two columns of labels": ("a.parquet", parquet(twice("label", [1] * 6)), "named label"),
    "two columns of another name": ("a.parquet", parquet(twice("n", [1] * 6)), "named n:"),
    "structures for images": (
        "a.parquet", parquet({"image": [{"a": {"b": [{"c": 1}]}}] * 6}), "no column of images"),
    "maps for images": (
        "a.parquet",
        parquet({"image": pa.array([[("a", 1)]] * 6, MAP)}),
        "no column of images"),
    "images that are missing": (
        "a.parquet", parquet({"image": pa.array([None] * 6, pa.binary())}), "no readable image"),
    "nothing for images": ("a.parquet", parquet({"image": [None] * 6}), "no column of images"),
    "texts for bytes": (
        "a.parquet", parquet({"image": [{"bytes": "ab", "path": "x"}] * 6}), "no readable image"),
    "numbers for bytes": (
        "a.parquet", parquet({"image": [{"bytes": [3000], "path": "x"}] * 6}), "no readable image"),
    "a NUL in a path": (
        "a.parquet", parquet({"image": pa.array([{"path": "a\0b"}] * 6, PATHS)}), "no readable"),
    "a device for a path": (
        "a.parquet", parquet({"image": pa.array([{"path": "/dev/zero"}] * 6, PATHS)}), "readable"),
    "fewer names of classes than labels": (
        "a.parquet",
        parquet({"image": CELLS, "label": [0, 1, 7] * 2}, {"image": BINARY, "label": CLASSES}),
        "the label label is 7 in some rows, but there are 2 class names, for 0 to 1"),
    "an IDX file that is longer unpacked": (
        "train-images-idx3-ubyte.gz",
        gzip.compress(struct.pack(">BBBB3I", 0, 0, 8, 3, 9, 4, 4) + bytes(10**8)),
        "9 x 4 x 4 = 144 bytes, and at least 145 follow"),
}  # fmt: skip


def opened(path: Path, **settings: Any) -> DataSet:
    return open_data(DataSettings(source=str(path), **settings))


@pytest.mark.parametrize("case", REFUSED)
def test_it_is_refused_in_a_sentence(tmp_path: Path, case: str) -> None:
    name, content, message = REFUSED[case]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message) as raised:
        opened(tmp_path / name)
    assert name in str(raised.value)
    assert "\n" not in str(raised.value)


OPENED: dict[str, tuple[str, bytes]] = {
    "a text beside the arrays": ("a.npz", saved(x=GREY[..., None])),
    "structures beside the images": (
        "a.parquet", parquet({"image": CELLS, "n": [{"a": {"b": [{"c": 1}]}}] * 6})),
    "maps beside the images": (
        "a.parquet", parquet({"image": CELLS, "m": pa.array([[("a", 1)]] * 6, MAP)})),
    "images in a dictionary": (
        "a.parquet", parquet({"image": pa.array(CELLS).dictionary_encode()})),
    "a note of the hub's that is none": ("a.parquet", parquet({"image": CELLS}, {"image": BINARY})),
}  # fmt: skip


@pytest.mark.parametrize("case", OPENED)
def test_what_stands_beside_does_no_harm(tmp_path: Path, case: str) -> None:
    name, content = OPENED[case]
    path = tmp_path / name
    path.write_bytes(content)
    if name == "a.npz":
        with zipfile.ZipFile(path, "a") as packed:
            packed.writestr("readme.txt", b"hello")
    data = opened(path)
    events = len(data) + (0 if data.held_out is None else len(data.held_out))
    assert events == (20 if name == "a.npz" else 6)
    assert not data.skipped


@pytest.mark.parametrize("note", [b"\xff", b"[]", b'{"info":{"features":5}}', b'{"info":{}}'])
def test_a_note_that_is_none_is_passed_over(tmp_path: Path, note: bytes) -> None:
    table = pa.table({"image": CELLS, "label": [0, 1] * 3})
    pq.write_table(table.replace_schema_metadata({"huggingface": note}), tmp_path / "a.parquet")
    data = opened(tmp_path / "a.parquet")
    assert data.labels is not None
    assert sorted(data.labels.tolist()) == [0, 0, 0, 1, 1, 1]


def test_labels_in_a_dictionary_are_classes(tmp_path: Path) -> None:
    labels = pa.array(["b", "a", "b", "a", "a", "a"]).dictionary_encode()
    pq.write_table(pa.table({"image": CELLS, "label": labels}), tmp_path / "a.parquet")
    data = opened(tmp_path / "a.parquet")
    assert data.class_names == ("a", "b")
    assert data.labels is not None
    assert sorted(data.labels.tolist()) == [0, 0, 0, 0, 1, 1]


def test_what_a_table_is_read_for_is_told(tmp_path: Path) -> None:
    columns = {"image": CELLS, "label": [None, 1] * 3, "n": range(6), "wet": [True, False] * 3}
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    told = {fact.subject: fact for fact in opened(tmp_path / "a.parquet").facts}
    assert told["images"].text == "column image of 6 rows"
    assert told["attributes"].text == "columns wet"
    assert told["left out"].text == "columns n"
    assert told["labels"].warning
    assert "label is missing in 3 rows" in told["labels"].text


@pytest.mark.parametrize(
    ("labels", "why"),
    [
        (np.arange(7), "holds 7 values for 20 images"),
        (np.arange(20) - 1, "holds negative values"),
        (np.full(20, np.nan), "values that are not real numbers"),
    ],
)
def test_labels_of_matlab_that_are_left_out_are_told(
    tmp_path: Path, labels: np.ndarray, why: str
) -> None:
    (tmp_path / "a.mat").write_bytes(matlab(images=GREY, labels=labels, other=np.ones(3)))
    data = opened(tmp_path / "a.mat")
    assert data.labels is None
    told = {fact.subject: fact for fact in data.facts}
    assert told["labels"].warning
    assert why in told["labels"].text
    assert told["left out"].text == "all but images: other"


def test_labels_of_matlab_that_are_texts_are_told(tmp_path: Path) -> None:
    labels = {"labels": CELL, "y": np.full(20, 1j)}
    (tmp_path / "a.mat").write_bytes(matlab(images=GREY, folds={"a": 1}, **labels))
    data = opened(tmp_path / "a.mat")
    assert data.labels is None
    assert [str(fact) for fact in data.facts] == ["left out: all but images: folds, labels, y"]


NAMES = ("a.npy", "a.npz", "a.mat", "a.parquet", "a.arrow", "a.png", "train-images-idx3-ubyte")


@pytest.mark.parametrize("kind", ["pipe", "device"])
@pytest.mark.parametrize("name", NAMES)
def test_only_files_are_opened(tmp_path: Path, name: str, kind: str) -> None:
    """A pipe would be waited for without end, and a device gives bytes without end."""
    if kind == "pipe":
        os.mkfifo(tmp_path / name)
    else:
        (tmp_path / name).symlink_to("/dev/zero")
    with pytest.raises(DataError, match=name):
        opened(tmp_path / name)


@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_a_pipe_among_images_is_left_out(tmp_path: Path, kind: str) -> None:
    for i, cell in enumerate(CELLS):
        (tmp_path / f"{i}.png").write_bytes(cell)
    os.mkfifo(tmp_path / "a.png") if kind == "pipe" else (tmp_path / "a.png").symlink_to(
        "/dev/zero"
    )
    for storage in ("memory", "cache"):
        data = opened(tmp_path, storage=storage)
        assert len(data) == 6
        what = "named pipe" if kind == "pipe" else kind
        assert f"left out: 1 {what} (a.png)" in map(str, data.facts)


WRITERS: dict[str, tuple[Any, Callable[[], bytes]]] = {
    "a.npy": (array_files, lambda: images(GREY)),
    "a.npz": (array_files, lambda: saved(x=GREY)),
    "a.mat": (mat, lambda: matlab(images=GREY)),
    "a.parquet": (tables, lambda: parquet({"image": CELLS})),
    "train-images-idx3-ubyte": (
        idx, lambda: struct.pack(">BBBB3I", 0, 0, 8, 3, 20, 4, 5) + GREY.tobytes()),
}  # fmt: skip


@pytest.mark.parametrize("name", WRITERS)
def test_what_fits_in_no_memory_is_told_beforehand(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / name).write_bytes(WRITERS[name][1]())
    monkeypatch.setattr(memory, "free_memory", lambda: 10)
    with pytest.raises(DataError, match="bytes, and 10 bytes are free: "):
        opened(tmp_path / name)


def test_what_fits_in_no_memory_decoded_is_told_beforehand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for i, cell in enumerate(CELLS):
        (tmp_path / f"{i}.png").write_bytes(cell)
    monkeypatch.setattr(memory, "free_memory", lambda: 6 * 3 * 64)
    assert len(opened(tmp_path, size=8)) == 6
    with pytest.raises(DataError, match=r"would take 1,458 bytes, and 1,152 bytes are free: lower"):
        opened(tmp_path, size=9)
    with pytest.raises(DataError, match=r"digits, at 8192x8192, would take 241.2 GB, and"):
        open_data(DataSettings(source="digits", size=8192))


@pytest.mark.parametrize("name", ["a\nb", "a\x1b[31mb", "a\u2028b"])
def test_names_of_arrays_stay_on_one_line(tmp_path: Path, name: str) -> None:
    (tmp_path / "a.npz").write_bytes(saved(**{name: GREY, "other": GREY}))
    with pytest.raises(DataError, match=r"holds a\\.*b, other: name") as raised:
        opened(tmp_path / "a.npz")
    assert str(raised.value).isprintable()
