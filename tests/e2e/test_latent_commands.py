"""`energan interpolate`, `energan neighbours` and `energan arithmetic`."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import energan
from energan.data import DataSettings, open_data
from support.commands import refused, run


@pytest.mark.parametrize("way", ["linear", "spherical"])
def test_both_ways_join_the_same_ends(way: str, small_run: Path, tmp_path: Path) -> None:
    words = ["-n", "3", "--steps", "9", "--out", tmp_path / "x.npz"]
    assert run("interpolate", small_run, "--way", way, *words) == 0
    x = np.load(tmp_path / "x.npz")["x"].reshape(3, 9, 64)
    assert run("interpolate", small_run, *words) == 0
    straight = np.load(tmp_path / "x.npz")["x"].reshape(3, 9, 64)
    assert np.allclose(x[:, [0, -1]], straight[:, [0, -1]], atol=1e-6)
    steps = np.linalg.norm(np.diff(x, axis=1), axis=-1)
    ends = np.linalg.norm(x[:, -1] - x[:, 0], axis=-1)
    assert (steps.max(1) < ends).all()  # no step is a jump from one end to the other


def test_a_strip_is_a_picture_with_a_row_for_each_pair(small_run: Path, tmp_path: Path) -> None:
    from PIL import Image

    out = tmp_path / "strip.png"
    assert run("interpolate", small_run, "-n", "2", "--steps", "6", "--out", out) == 0
    with Image.open(out) as image:
        assert image.width > 2.5 * image.height
        assert image.info["way"] == "linear"


def test_neighbours_are_the_nearest_by_trying_all(small_run: Path, tmp_path: Path) -> None:
    assert run("neighbours", small_run, "-n", "4", "-k", "2", "--out", tmp_path / "x.npz") == 0
    x = torch.from_numpy(np.load(tmp_path / "x.npz")["x"]).reshape(4, 3, 64)
    data = open_data(DataSettings())
    real = data.gather(torch.arange(len(data))).x.flatten(1)
    samples = energan.load(small_run).sample(4).flatten(1)
    assert torch.allclose(x[:, 0], samples, atol=1e-6)
    nearest = torch.cdist(samples, real).topk(2, largest=False).values
    found = (x[:, 1:] - x[:, :1]).norm(dim=-1)
    assert torch.allclose(found, nearest, atol=1e-4)


def test_arithmetic_writes_a_picture_and_what_came_of_it(
    small_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shared_cache: Path
) -> None:
    """Of three classes that untrained samples are taken for, the sum is drawn and judged."""
    monkeypatch.setenv("ENERGAN_CACHE", str(shared_cache))
    few = ["--candidates", "300", "--draws", "8", "--threads", "1"]
    out = tmp_path / "sum.png"
    words = ["--a=-0", "--b", "-0", "--c", "-0", "--wanted", "-0", *few]
    assert run("arithmetic", small_run, *words, "--out", out) == 0
    first = json.loads(out.with_suffix(".json").read_text())
    assert first["wanted"] == "-0"
    assert first["result"]["draws"] == 8
    assert first["any_sample"]["draws"] == 300
    assert 0 <= first["result"]["low"] <= first["result"]["share"] <= first["result"]["high"] <= 1
    assert first["shown_by_candidates"]["a"] == first["any_sample"]["hits"]
    assert first["balanced_accuracy"]["0"] > 0.9
    assert run("arithmetic", small_run, *words, "--out", out) == 0
    assert json.loads(out.with_suffix(".json").read_text()) == first


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--a", "Smilin", "--b", "1", "--c", "2"], "not an attribute of the data"),
        (["--a", "1", "--b", "1"], "name three concepts"),
        ([], "name three concepts, for example --a 0 --b 1 --c 2 --wanted 0, from 0, 1, 2"),
        (["--a", ",", "--b", "1", "--c", "2"], "',' names no attribute: give some, for example 0"),
        (["--pick", "0"], "--pick"),
        (["--out", "x.jpg"], "name a .png"),
        (
            ["--a", "1", "--b", "1", "--c", "1,2", "--wanted", "1", "--candidates", "20"],
            "samples show",
        ),
        (["--a", "3", "--b", "5", "--c", "8"], "give --wanted"),
        (["--a", "-3", "--b", "-5", "--c", "-88"], "'88' is not an attribute"),
    ],
)
def test_arithmetic_that_cannot_be_is_refused(
    words: list[str],
    says: str,
    small_run: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    shared_cache: Path,
) -> None:
    monkeypatch.setenv("ENERGAN_CACHE", str(shared_cache))
    assert says in refused(capsys, "arithmetic", small_run, *words, "--threads", "1")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["interpolate", "--steps", "1"], "--steps at least 2"),
        (["interpolate", "--label", "3"], "was trained without labels"),
        (["neighbours", "-k", "0"], "at least 1"),
        (["neighbours", "--data", "/no/such"], "/no/such"),
    ],
)
def test_what_cannot_be_done_is_said(
    words: list[str], says: str, small_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert says in refused(capsys, words[0], small_run, *words[1:])
