"""Bytes of files of every form, whole, cut and altered."""

import gzip
import io
import struct
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import scipy.io
from hypothesis import strategies as st
from PIL import Image

RANDOM = np.random.default_rng(0)
GREY = RANDOM.integers(0, 256, (6, 4, 5), dtype=np.uint8)
PIXELS: dict[str, Any] = {
    "L": RANDOM.integers(0, 256, (9, 8), dtype=np.uint8),
    "RGB": RANDOM.integers(0, 256, (9, 8, 3), dtype=np.uint8),
    "RGBA": RANDOM.integers(0, 256, (9, 8, 4), dtype=np.uint8),
    "I;16": RANDOM.integers(0, 2**16, (9, 8), dtype=np.uint16),
    "F": RANDOM.normal(size=(9, 8)).astype(np.float32),
}
FORMATS = {
    ".png": ("PNG", ["L", "RGB", "RGBA", "I;16"]), ".jpg": ("JPEG", ["L", "RGB"]),
    ".tif": ("TIFF", list(PIXELS)), ".gif": ("GIF", ["L", "RGB"]), ".bmp": ("BMP", ["L", "RGB"]),
    ".webp": ("WEBP", ["RGB", "RGBA"]), ".ppm": ("PPM", ["L", "RGB"]),
}  # fmt: skip


def image(suffix: str, mode: str) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(PIXELS[mode]).save(buffer, FORMATS[suffix][0])
    return buffer.getvalue()


IMAGES = {(suffix, mode): image(suffix, mode) for suffix, of in FORMATS.items() for mode in of[1]}


def _written(write: Any, *args: Any, **named: Any) -> bytes:
    buffer = io.BytesIO()
    write(buffer, *args, **named)
    return buffer.getvalue()


def _table(**columns: Any) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns), buffer)
    return buffer.getvalue()


CELLS = [IMAGES[".png", "RGB"]] * 6
LABELS = np.arange(6) % 2
IDX = struct.pack(">BBBB3I", 0, 0, 8, 3, *GREY.shape) + GREY.tobytes()
CONTAINERS = {
    "a.npy": [_written(np.save, GREY), _written(np.save, GREY / 255.0),
              _written(np.save, np.ones((6, 3), ">f8"))],
    "a.npz": [_written(np.savez, x=GREY, y=LABELS), _written(np.savez_compressed, images=GREY),
              _written(np.savez, features=np.ones((6, 3)), tags=np.eye(6, 2, dtype=bool),
                       names=np.array(["a", "b"]))],
    "a.mat": [_written(scipy.io.savemat, {"images": GREY, "labels": LABELS}),
              _written(scipy.io.savemat, {"X": GREY / 255, "y": "text"}, do_compression=True),
              _written(scipy.io.savemat, {"ff": GREY[..., :4].reshape(6, -1).T}, format="4")],
    "a.parquet": [_table(image=CELLS, label=LABELS, wet=[True, False] * 3),
                  _table(image=[{"bytes": c, "path": "x"} for c in CELLS], label=list("aabbcc")),
                  _table(image=[{"bytes": None, "path": "x.png"}] * 6)],
    "train-images-idx3-ubyte": [IDX, gzip.compress(IDX)],
}  # fmt: skip


@st.composite
def altered(draw: st.DrawFn, whole: bytes) -> bytes:
    """A file cut short, with bytes changed, taken out, doubled or added."""
    raw = bytearray(whole)
    for _ in range(draw(st.integers(0, 6))):
        at = draw(st.integers(0, max(0, len(raw) - 1)))
        what = draw(st.sampled_from(["flip", "set", "number", "cut", "drop", "double", "add"]))
        if what == "flip" and raw:
            raw[at] ^= 1 << draw(st.integers(0, 7))
        elif what == "set" and raw:
            raw[at] = draw(st.sampled_from([0, 1, 0x20, 0x7F, 0x80, 0xFF]))
        elif what == "number":  # a length or a count, in either byte order
            wide = draw(st.sampled_from([0, 1, 2**31 - 1, 2**31, 2**32 - 1]))
            raw[at : at + 4] = wide.to_bytes(4, draw(st.sampled_from(["little", "big"])))
        elif what == "cut":
            del raw[at:]
        elif what == "drop":
            del raw[at : at + draw(st.integers(1, 64))]
        elif what == "double":
            raw[at:at] = raw[at : at + draw(st.integers(1, 64))]
        else:
            raw[at:at] = draw(st.binary(max_size=16))
    return bytes(raw)


@st.composite
def containers(draw: st.DrawFn) -> tuple[str, bytes]:
    """(name, bytes) of a file that holds many images or points."""
    name = draw(st.sampled_from(sorted(CONTAINERS)))
    return name, draw(altered(draw(st.sampled_from(CONTAINERS[name]))))


@st.composite
def images(draw: st.DrawFn) -> tuple[str, bytes]:
    """(suffix, bytes) of an image."""
    suffix, mode = draw(st.sampled_from(sorted(IMAGES)))
    return suffix, draw(altered(IMAGES[suffix, mode]))
