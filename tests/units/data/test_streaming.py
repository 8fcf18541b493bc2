"""Streamed tables: every image once an epoch, the same batches whatever was asked before."""

import io
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from energan.core import DataError
from energan.data import DataSettings, open_data
from energan.data.streaming import StreamedSet, is_held_out
from support.image_files import tiff

ROWS, GROUP = 120, 20


@pytest.fixture(autouse=True)
def awake(monkeypatch: pytest.MonkeyPatch) -> None:
    """The library sleeps five seconds after each epoch, for the sake of remote files."""
    import datasets

    monkeypatch.setattr(datasets.config, "SLEEP_TIME_ON_THREADS_SHUTDOWN", 0)


def png(value: int, torn: bool = False) -> bytes:
    out = io.BytesIO()
    Image.fromarray(np.full((4, 4), value % 256, np.uint8)).resize((4 + value // 256, 4)).save(
        out, "png"
    )
    raw = out.getvalue()
    return raw[:30] if torn else raw


def table(folder: Path, rows: int = ROWS, files: int = 2, torn: tuple[int, ...] = ()) -> Path:
    """Grey images whose pixels tell their row, over `files` Parquet files in small groups."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder.mkdir()
    for f in range(files):
        mine = range(f * rows // files, (f + 1) * rows // files)
        cells = [{"bytes": png(i, i in torn), "path": None} for i in mine]
        made = pa.table({"image": cells, "label": [i % 3 for i in mine]})
        pq.write_table(made, folder / f"train-{f:05d}.parquet", row_group_size=GROUP)
    return folder


def opened(folder: Path, **settings: Any) -> StreamedSet:
    found = open_data(DataSettings(source=str(folder), storage="stream", size=4, **settings))
    assert isinstance(found, StreamedSet)
    return found


def shown(feed: Any, steps: range) -> list[int]:
    """The pixels of the images in these batches: which images they were, up to rows + 256."""
    return [int(v) for step in steps for v in ((feed(step).x[:, 0, 0, 0] + 1) * 127.5).round()]


def expected(rows: range, torn: tuple[int, ...] = ()) -> Counter[int]:
    return Counter(i % 256 for i in rows if i not in torn and not is_held_out(png(i)))


def test_an_epoch_holds_each_image_that_is_not_held_out_once(tmp_path: Path) -> None:
    data = opened(table(tmp_path / "t", 100))
    feed = data.feed([0], 7)
    kept = expected(range(100))
    # an epoch is as long as the set less one in fifty, whatever share was held out
    assert len(data) == 98
    first, second = shown(feed, range(14)), shown(feed, range(14, 28))
    for epoch in (first, second):
        assert set(epoch) <= set(kept)
        # what is missing or comes twice is the difference of the two lengths
        assert len(set(epoch)) >= min(98, len(kept)) - max(0, len(kept) - 98)
        assert max(Counter(epoch).values()) <= 2
    assert first != second  # each epoch has an order of its own


def test_batches_do_not_depend_on_what_was_asked_before(tmp_path: Path) -> None:
    folder = table(tmp_path / "t")
    data = opened(folder, mirror=True)
    feed = data.feed([3], 7)
    line = [feed(step).x for step in range(22)]  # more than an epoch
    for start in (0, 9, 20):
        late = opened(folder, mirror=True).feed([3], 7)
        assert torch.equal(late(start).x, line[start])
        assert torch.equal(feed(start).x, line[start])
    assert not torch.equal(data.feed([4], 7)(0).x, line[0])


def test_substeps_are_batches_of_their_own(tmp_path: Path) -> None:
    folder = table(tmp_path / "t")
    one, two = opened(folder).feed([0], 4), opened(folder).feed([0], 4)
    assert torch.equal(one(3, 1, 2).x, two(7).x)


@pytest.mark.parametrize("files", [1, 2])
def test_ranks_read_different_images(tmp_path: Path, files: int) -> None:
    folder = table(tmp_path / "t", 240, files)
    parts = [shown(opened(folder).feed([0], 10, share=(r, 2)), range(11)) for r in range(2)]
    assert not set(parts[0]) & set(parts[1])


def test_what_cannot_be_read_is_replaced_by_its_neighbour(tmp_path: Path) -> None:
    torn = tuple(range(0, 250, 3))
    data = opened(table(tmp_path / "t", 250, torn=torn))
    seen = set(shown(data.feed([0], 10), range(20)))
    assert seen <= set(expected(range(250), torn))
    assert len(seen) > 100


def test_held_out_images_are_never_trained_on(tmp_path: Path) -> None:
    data = opened(table(tmp_path / "t", 250))
    assert data.held_out is not None
    held = {int(v) for v in data.held_out.raw()[:, 0, 0, 0]}
    assert held == {i for i in range(250) if is_held_out(png(i))}
    assert not held & set(shown(data.feed([0], 10), range(30)))


def test_the_first_images_serve_calibration(tmp_path: Path) -> None:
    data = opened(table(tmp_path / "t"))
    batch = data.feed([0], 50, stream="calibrate")(0)
    assert batch.x.shape == (50, 1, 4, 4)
    assert data.domain.mean is not None


def test_a_folder_of_the_hubs_form_streams_and_opens_by_the_hubs_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ENERGAN_CACHE", str(tmp_path / "cache"))
    inner = tmp_path / "owner-name"
    inner.mkdir()
    table(inner / "data")
    (inner / "README.md").write_text("# a data set\n")
    streamed = opened(f"hub:{inner}")  # type: ignore[arg-type]
    assert len(streamed) == ROWS * 49 // 50
    assert streamed.feed([0], 8)(0).x.shape == (8, 1, 4, 4)
    whole = open_data(DataSettings(source=f"hub:{inner}", size=4))
    local = open_data(DataSettings(source=str(inner / "data"), size=4))
    assert torch.equal(whole.raw(), local.raw())
    assert whole.labels is not None
    assert torch.equal(whole.labels, local.labels)


def test_what_a_stream_cannot_serve_is_refused(tmp_path: Path) -> None:
    folder = table(tmp_path / "t")
    for settings in ({"limit": 5}, {"classes": ("1",)}, {"pad": 8}, {"held_out": 4}):
        with pytest.raises(DataError, match=r"set data\.storage to cache"):
            opened(folder, **settings)
    with pytest.raises(DataError, match="one run at a time"):
        opened(folder).feed([0, 1], 4)
    with pytest.raises(DataError, match="cannot be streamed"):
        open_data(DataSettings(source="digits", storage="stream"))


def test_the_fingerprint_tells_the_files_and_the_preparation(tmp_path: Path) -> None:
    a, b = table(tmp_path / "a"), table(tmp_path / "b", 200)
    assert opened(a).fingerprint == opened(a).fingerprint
    assert opened(a).fingerprint != opened(b).fingerprint
    assert opened(a).fingerprint != opened(a, mirror=True).fingerprint


@pytest.mark.parametrize("kind", ["uint16", "float32", "window"])
def test_deep_images_are_streamed_at_their_depth(kind: str, tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    dtype = "uint16" if kind == "uint16" else "float32"
    values = np.linspace(0, 60000, ROWS).astype(dtype)
    cells = [{"bytes": tiff(np.full((4, 4), value)), "path": None} for value in values]
    (tmp_path / "deep").mkdir()
    pq.write_table(pa.table({"image": cells}), tmp_path / "deep" / "train.parquet")
    if kind == "float32":
        with pytest.raises(DataError, match=r"float32 values, and the other images"):
            opened(tmp_path / "deep")
        return
    window = None if kind == "uint16" else (0, 60000)
    found = opened(tmp_path / "deep", intensity=window)
    x = found.feed([0], 8)(0).x[:, 0, 0, 0]
    known = torch.from_numpy(values / (65535 if window is None else 60000)) * 2 - 1
    assert all((known - value).abs().min() < 1e-4 for value in x)
    assert len(x.unique()) > 4
