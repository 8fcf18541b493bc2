"""Images decoded once: memory, cache and stream hold the same, whatever happens on the way."""

import io
import json
import os
import random
import shutil
import signal
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from energan.core import DataError
from energan.data import DataSettings, open_data
from energan.data.images import cache, decoder, store
from energan.data.images.checksums import content_of
from energan.data.images.decoding import Decoding, Notes
from energan.data.sources.folders.images import open_image_folder
from support.forks import Process
from support.image_files import encoded, noise

HOW = Decoding(size=8)


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ENERGAN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def picture(rng: np.random.Generator, side: int = 12) -> bytes:
    out = io.BytesIO()
    Image.fromarray(rng.integers(0, 256, (side, side, 3), dtype=np.uint8)).save(out, "png")
    return out.getvalue()


def pictures(folder: Path, count: int, torn: tuple[int, ...] = ()) -> Path:
    rng = np.random.default_rng(count)
    folder.mkdir(parents=True)
    for i in range(count):
        raw = picture(rng)
        (folder / f"{i:05d}.png").write_bytes(raw[: len(raw) // 2] if i in torn else raw)
    return folder


@pytest.mark.parametrize("torn", [(), (0,), (299,), (0, 1, 5, 255, 256, 257, 299)])
def test_memory_and_cache_hold_the_same_and_list_the_same(
    tmp_path: Path, torn: tuple[int, ...]
) -> None:
    source = open_image_folder(pictures(tmp_path / "p", 300, torn))
    memory = store.decode_source(source, HOW, storage="memory")
    cached = store.decode_source(source, HOW, storage="cache")
    again = store.decode_source(source, HOW, storage="cache")
    for other in (cached, again):
        assert torch.equal(other.rows, memory.rows)
        assert other.slots is not None
        assert torch.equal(other.events[other.slots], memory.events)
        assert other.skipped == memory.skipped
        assert other.digest == cached.digest
    assert [where for where, _ in memory.skipped] == [f"{i:05d}.png" for i in torn]
    assert set(memory.rows.tolist()) == set(range(300)) - set(torn)


def test_only_the_wanted_rows_are_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = open_image_folder(pictures(tmp_path / "p", 40))
    rows = torch.tensor([3, 4, 17, 39])
    whole = store.decode_source(source, HOW, storage="memory")
    calls = counted(monkeypatch)
    some = store.decode_source(source, HOW, rows, storage="cache")
    assert len(calls) == 1 + len(rows)  # one tells the shape
    assert some.slots is not None
    assert torch.equal(some.events[some.slots], whole.events[rows])


def counted(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    calls: list[bytes] = []
    decode = decoder.decode

    def count(raw: bytes, how: Decoding, notes: Notes) -> np.ndarray:
        calls.append(raw)
        return decode(raw, how, notes)

    monkeypatch.setattr(decoder, "decode", count)
    return calls


def test_data_sets_from_memory_cache_and_a_moved_folder_are_one(tmp_path: Path) -> None:
    folder = pictures(tmp_path / "p", 50, (7, 30))
    settings = DataSettings(source=str(folder), size=8)
    memory = open_data(settings)
    cached = open_data(settings.model_copy(update={"storage": "cache"}))
    assert torch.equal(memory.raw(), cached.raw())
    assert memory.fingerprint == cached.fingerprint  # so a run may be resumed from either
    assert memory.held_out is not None
    assert cached.held_out is not None
    assert torch.equal(memory.held_out.raw(), cached.held_out.raw())
    shutil.copytree(folder, tmp_path / "q")
    moved = settings.model_copy(update={"storage": "cache", "source": str(tmp_path / "q")})
    assert open_data(moved).path == cached.path  # the key is what the files hold
    assert open_data(moved).fingerprint == cached.fingerprint


def test_the_content_is_told_by_bytes_and_names_not_by_times(tmp_path: Path) -> None:
    a, b = tmp_path / "a", tmp_path / "b"
    a.write_bytes(b"one")
    b.write_bytes(b"two")
    before = content_of([a, b], ["a", "b"])
    os.utime(a, (1, 1))
    assert content_of([a, b], ["a", "b"]) == before
    assert content_of([b, a], ["b", "a"]) != before
    assert content_of([a, b], ["a", "c"]) != before
    a.write_bytes(b"uno")
    assert content_of([a, b], ["a", "b"]) != before


@pytest.mark.parametrize("damage", ["shorter", "no rows", "no index", "index"])
def test_a_damaged_cache_is_built_anew(
    tmp_path: Path, damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    source = open_image_folder(pictures(tmp_path / "p", 20))
    good = store.decode_source(source, HOW, storage="cache")
    assert good.path is not None
    bytes_before = good.path.read_bytes()
    folder = good.path.parent
    if damage == "shorter":
        os.truncate(good.path, 100)
    elif damage == "index":
        (folder / "index.json").write_text("{")
    else:
        (folder / ("rows.npy" if damage == "no rows" else "index.json")).unlink()
    again = store.decode_source(source, HOW, storage="cache")
    assert again.path is not None
    assert again.path.read_bytes() == bytes_before
    assert (folder / "index.json").exists()


def test_an_interrupted_build_goes_on_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = pictures(tmp_path / "p", 600, (300,))
    (folder / "00005.png").write_bytes(encoded(noise(1, 8, 40)[0]))  # of which much is cut off
    source = open_image_folder(folder)
    whole = store.decode_source(source, HOW, storage="memory")
    calls = counted(monkeypatch)
    finish = cache._finish

    def die(*args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cache, "_finish", die)
    with pytest.raises(KeyboardInterrupt):
        store.decode_source(source, HOW, storage="cache")
    monkeypatch.setattr(cache, "_finish", finish)
    (folder,) = (tmp_path / "cache" / "decoded").iterdir()
    lines = (folder / "done.jsonl").read_text().splitlines()
    assert len(lines) == 3  # 600 files in parts of 256
    # the last part's line was cut short by a power cut
    (folder / "done.jsonl").write_text("\n".join(lines[:2]) + "\n" + lines[2][:9])
    calls.clear()
    after = store.decode_source(source, HOW, storage="cache")
    assert len(calls) == 1 + (600 - 512)
    assert after.slots is not None
    assert torch.equal(after.events[after.slots], whole.events)
    assert after.skipped == whole.skipped
    assert after.facts == whole.facts
    assert "1 of 599 images" in {fact.subject: fact.text for fact in after.facts}["cut off"]


def builder(folder: Path, digest: Path | None = None) -> Process:
    """Decodes a folder in a process of its own, which writes the digest of what it made."""

    def build() -> None:
        source = open_image_folder(folder)
        made = store.decode_source(source, Decoding(size=64), storage="cache")
        if digest is not None:
            digest.write_text(str(made.digest))

    return Process(build)


@pytest.mark.slow
def test_killed_again_and_again_it_ends_with_the_same_bytes(tmp_path: Path) -> None:
    folder = pictures(tmp_path / "p", 1500, (5, 700))
    whole = store.decode_source(open_image_folder(folder), Decoding(size=64), storage="memory")
    rng, kills = random.Random(0), 0
    images = tmp_path / "cache" / "decoded"
    for _ in range(8):
        process = builder(folder)
        begun = time.monotonic()
        while not any(images.glob("*/images.npy")) and time.monotonic() - begun < 30:
            time.sleep(0.02)
        time.sleep(rng.uniform(0, 0.4) if kills else 0.05)
        process.kill()
        kills += process.wait() == -signal.SIGKILL
    assert kills >= 1
    made = store.decode_source(open_image_folder(folder), Decoding(size=64), storage="cache")
    assert made.slots is not None
    assert torch.equal(made.events[made.slots], whole.events)


@pytest.mark.slow
def test_two_processes_that_want_the_same_build_it_once(tmp_path: Path) -> None:
    folder = pictures(tmp_path / "p", 800)
    digests = [tmp_path / "one", tmp_path / "two"]
    both = [builder(folder, digest) for digest in digests]
    assert [process.wait() for process in both] == [0, 0]
    (made,) = (tmp_path / "cache" / "decoded").iterdir()
    digest = json.loads((made / "index.json").read_text())["digest"]
    assert [path.read_text() for path in digests] == [digest] * 2


def test_sizes_that_differ_need_a_size(tmp_path: Path) -> None:
    folder = pictures(tmp_path / "p", 3)
    (folder / "zz.png").write_bytes(picture(np.random.default_rng(0), side=9))
    with pytest.raises(DataError, match=r"different sizes.*zz\.png is 9x9.*--data\.size 64"):
        store.decode_source(open_image_folder(folder), Decoding())


def test_nothing_readable_says_what_was_tried(tmp_path: Path) -> None:
    folder = pictures(tmp_path / "p", 3, (0, 1, 2))
    with pytest.raises(DataError, match=r"no readable image \(3 were tried; the first"):
        open_data(DataSettings(source=str(folder), size=8))


def test_past_a_size_it_goes_to_the_cache_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = pictures(tmp_path / "p", 30)
    assert open_data(DataSettings(source=str(folder), size=8)).path is None
    monkeypatch.setattr(store, "CACHE_ABOVE", 30 * 8 * 8)
    assert open_data(DataSettings(source=str(folder), size=8)).path is not None


def test_a_cache_that_cannot_be_written_says_which_variable_to_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("ENERGAN_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(DataError, match="ENERGAN_CACHE"):
        open_data(DataSettings(source=str(pictures(tmp_path / "p", 20)), storage="cache", size=8))


def test_the_file_of_images_is_one_that_numpy_opens(tmp_path: Path) -> None:
    source = open_image_folder(pictures(tmp_path / "p", 20))
    made = store.decode_source(source, HOW, storage="cache")
    assert made.path is not None
    assert np.array_equal(np.load(made.path), made.events.numpy())


def test_mapped_pages_are_let_go_of_and_read_again(tmp_path: Path) -> None:
    source = open_image_folder(pictures(tmp_path / "p", 20))
    made = store.decode_source(source, HOW, storage="cache")
    before = made.events.clone()
    if made.release is not None:
        for _ in range(3):
            made.release(cache.RELEASE_AFTER // cache.AROUND + 1)
    assert torch.equal(made.events, before)


def test_too_little_room_is_said_before_anything_is_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = open_image_folder(pictures(tmp_path / "p", 20))
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=0))
    with pytest.raises(DataError, match=r"takes 0\.0 GiB.*0\.0 GiB free: set ENERGAN_CACHE"):
        store.decode_source(source, HOW, storage="cache")
