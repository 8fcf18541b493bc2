"""How numbers, times, sizes and values are written."""

import math
import os

from energan.io.text import (
    duration,
    elapsed,
    number,
    plural,
    printable,
    range_text,
    settings_text,
    size_text,
    value_text,
    weights_text,
)


def test_numbers_are_short_and_have_a_minus() -> None:
    assert [number(v) for v in (8.1234567, -0.5, 12345.6, 3.0, None, "inf", 1e-7)] == [
        "8.123", "−0.5000", "12,346", "3", "–", "inf", "1.000e−07",
    ]  # fmt: skip
    assert range_text(-0.5, None) == "−0.5000 – –"


def test_expected_times_are_rough_and_measured_ones_exact() -> None:
    expected = (45.4, 99 * 60, 5.2 * 3600, 3.4 * 86400, None, math.inf)
    assert [duration(s) for s in expected] == ["45 s", "99 min", "5.2 h", "3.4 days", "?", "?"]
    measured = (4.25, 59.94, 65.2, 5 * 3600 + 12 * 60, math.nan)
    assert [elapsed(s) for s in measured] == ["4.25 s", "59.9 s", "1 min 05 s", "5 h 12 min", "–"]


def test_counts_and_sizes() -> None:
    assert [plural(n, "trial") for n in (0, 1, 1200)] == ["0 trials", "1 trial", "1,200 trials"]
    assert [size_text(n) for n in (3.4e6, 1.25e10)] == ["3 MB", "12.5 GB"]
    assert [weights_text(w) for w in ("ema", "raw")] == ["EMA", "raw"]


def test_settings_are_named_by_their_ends_where_these_differ() -> None:
    values = {"model.margin": 8.0, "training.lr": None, "model.encoder": [128, 64], "x": []}
    assert settings_text(values, list(values)) == "margin=8 lr=none encoder=128-64 x=none"
    assert settings_text({"a.lr": 1, "b.lr": 2}, ["a.lr", "b.lr"]) == "a.lr=1 b.lr=2"
    assert value_text({"name": "adam", "lr": 0.1}) == "name:adam,lr:0.1"


def test_names_of_files_can_be_printed_whatever_bytes_they_hold() -> None:
    names = [b"a\xffb.png", b"a\nb\x1b[31m", "日本 ü\u202f.png".encode(), b"B\xe4r"]
    assert [printable(os.fsdecode(name)) for name in names] == [
        "a\\xffb.png", "a\\nb\\x1b[31m", "日本 ü\u202f.png", "B\\xe4r",
    ]  # fmt: skip
    assert printable("\ud800") == "\\ud800"
