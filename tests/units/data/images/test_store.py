"""Decoding once, against its definition: any source, any rows, anything unreadable among them."""

import hashlib
import os
import random
import tempfile
import time
from itertools import accumulate
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from energan.data.images import decoder, store, survey
from energan.data.images.decoded import Decoded
from energan.data.images.decoding import Decoding, Notes
from energan.data.images.values import Unreadable
from energan.data.source import Part, Source
from energan.io import console as bar

HOW = Decoding(channels="colour")


def pixels_of(row: int) -> np.ndarray:
    """Unlike those of any other row."""
    return np.frombuffer(hashlib.sha256(str(row).encode()).digest()[:12], np.uint8).reshape(3, 2, 2)


def decode(raw: bytes, how: Decoding, notes: Notes) -> np.ndarray:
    if raw.startswith(b"torn"):
        raise Unreadable("torn")
    return pixels_of(int(raw))


def source_of(
    counts: list[int], torn: set[int] = frozenset(), read: list[int] | None = None
) -> Source:
    """Parts of `counts` images; of the torn every other has no bytes at all."""

    def part(start: int, count: int) -> Part:
        def load() -> list[bytes | None]:
            if read is not None:
                read.append(start)
            rows = range(start, start + count)
            cells = {row: (b"torn" if row % 2 else None) for row in torn}
            return [cells.get(row, str(row).encode()) for row in rows]

        return Part(start, count, load)

    starts = [0, *accumulate(counts)]
    parts = tuple(part(s, n) for s, n in zip(starts[:-1], counts, strict=True))
    key = f"{counts} {sorted(torn)}"
    return Source("some", parts=parts, where=lambda row: f"row {row}", content=lambda: key)


def images(found: Decoded) -> torch.Tensor:
    return found.events if found.slots is None else found.events[found.slots]


@st.composite
def cases(draw: st.DrawFn) -> tuple[list[int], set[int], list[int]]:
    """Sizes of parts, torn rows, wanted rows of which at least one can be read."""
    counts = draw(st.lists(st.integers(1, 150), min_size=1, max_size=5))
    total = sum(counts)
    rows = st.integers(0, total - 1)
    torn = draw(st.sets(rows, max_size=12)) | set(range(draw(st.integers(0, min(70, total - 1)))))
    wanted = draw(st.just(set(range(total))) | st.sets(rows, min_size=1))
    keep = draw(rows)
    return counts, torn - {keep}, sorted(wanted | {keep})


@settings(max_examples=40, deadline=None)
@given(cases())
def test_memory_and_cache_hold_the_readable_rows_in_order(
    case: tuple[list[int], set[int], list[int]],
) -> None:
    counts, torn, wanted = case
    source, rows = source_of(counts, torn), torch.tensor(wanted)
    kept = [row for row in wanted if row not in torn]
    true = np.stack([pixels_of(row) for row in kept])
    with (
        tempfile.TemporaryDirectory() as place,
        mock.patch.object(decoder, "decode", decode),
        mock.patch.dict(os.environ, {"ENERGAN_CACHE": place}),
    ):
        memory = store.decode_source(source, HOW, rows, storage="memory")
        built = store.decode_source(source, HOW, rows, storage="cache")
        again = store.decode_source(source, HOW, rows, storage="cache")
    for found in (memory, built, again):
        assert np.array_equal(images(found).numpy(), true)
        assert found.rows.tolist() == kept
        assert [where for where, _ in found.skipped] == [f"row {r}" for r in wanted if r in torn]
        assert found.digest == hashlib.sha256(true.tobytes()).hexdigest()


def test_images_land_in_their_places_whatever_thread_is_last(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    chance = random.Random(0)

    def slow(raw: bytes, how: Decoding, notes: Notes) -> np.ndarray:
        time.sleep(chance.choice([0, 0, 0.002]))
        return decode(raw, how, notes)

    monkeypatch.setattr(decoder, "decode", slow)
    monkeypatch.setattr(decoder, "all_threads", lambda: 6)
    found = store.decode_source(source_of([100, 1, 200]), HOW, storage="memory")
    assert np.array_equal(found.events.numpy(), np.stack([pixels_of(row) for row in range(301)]))


def test_parts_without_wanted_rows_are_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    monkeypatch.setattr(decoder, "decode", decode)
    source = source_of([10, 10, 10, 10], read=read)
    store.decode_source(source, HOW, torch.tensor([12, 19, 35]), storage="memory")
    assert set(read) == {10, 30}


def test_few_parts_are_read_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    """A part is read only once all but the last two before it are decoded: memory is bounded."""
    decoded: set[int] = set()
    behind: list[int] = []

    def watched(raw: bytes, how: Decoding, notes: Notes) -> np.ndarray:
        time.sleep(0.0005)
        decoded.add(int(raw))
        return decode(raw, how, notes)

    class Watched(list[int]):
        def append(self, start: int) -> None:
            behind.append(start - len(decoded))

    monkeypatch.setattr(decoder, "decode", watched)
    monkeypatch.setattr(survey, "look", lambda parts: iter(()))  # it reads some beforehand
    monkeypatch.setattr(decoder, "all_threads", lambda: 3)
    store.decode_source(source_of([20] * 12, read=Watched()), HOW, storage="memory")
    assert len(decoded) == 240
    assert max(behind) <= 2 * 20


@pytest.mark.parametrize("terminal", [False, True])
def test_progress_shows_names_as_they_are(
    terminal: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.setenv(name, "1") if terminal else monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(bar, "QUICK", 0.0)
    monkeypatch.setattr(bar, "BETWEEN", 0.0)
    with bar.progress("decoding a[/b][red]c", 2) as advance:
        advance()
        advance()
    assert "a[/b][red]c" in capsys.readouterr().err


def test_what_is_quick_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with bar.progress("decoding", 1) as advance:
        advance()
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(("above", "mapped"), [("0", True), ("1", False), ("", False)])
def test_the_environment_sets_where_the_cache_begins(
    above: str, mapped: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ENERGAN_CACHE", str(tmp_path))
    monkeypatch.setenv("ENERGAN_CACHE_ABOVE", above)
    monkeypatch.setattr(decoder, "decode", decode)
    assert (store.decode_source(source_of([30]), HOW).path is not None) == mapped
