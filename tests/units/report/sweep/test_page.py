"""The page of a sweep: what it says of records, and that it bears what is missing or broken."""

import json
import re
from html import unescape
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from energan.core import Domain
from energan.errors import RunError
from energan.io import pictures
from energan.report.sweep import effects, facts, samples
from energan.report.sweep.page import write
from energan.report.sweep.records import read
from support import sweep_records as made
from support.pages import Page

I = "modified_inception_score"  # noqa: E741


def score(value: float) -> dict[str, object]:
    return {I: {"value": value, "low": value - 0.1, "high": value + 0.1, "better": "higher"}}


def strip_of(path: Path, states: list[str]) -> Path:
    """A margin sweep; the samples of each margin are one grey."""
    axes = {"model.margin": [2**i for i in range(len(states))]}
    records = []
    for i, (state, values) in enumerate(zip(states, made.combinations(axes), strict=True)):
        if state != "missing":
            done = score(float(i + 1)) if state == "done" else {}
            records.append(made.record(values, "ebgan", state, done))
        if state == "done":
            made.sample(path, records[-1]["id"], torch.full((64, 1, 32, 32), i / 4 - 1))
    return made.folder(path, "margin-sweep", axes, records, missing=states.count("missing"))


@pytest.mark.slow
def test_two_grids_on_one_page(tmp_path: Path) -> None:
    folders = made.grids(tmp_path, 60)
    page = write(folders)
    assert page == folders[0] / "report.html"
    told, source = Page(page).words(), page.read_text()
    states = [json.loads(p.read_text())["state"] for p in (folders[1] / "results").iterdir()]
    assert f"GAN: 63 trials of a grid of 6,144: {states.count('done')} done" in told
    assert "3 not there yet" in told
    assert "Mann–Whitney" in told
    assert "this shortened search" in told
    assert "compares with no other published score" in told
    assert made.SHA in told
    assert "core hours for 6,144 trials" in told
    assert not re.search(r'(?:src|srcset)="(?!data:)', source)
    links = [unescape(link) for link in re.findall(r'<a href="([^"]+)"', source)]
    assert links
    assert all((page.parent / link).exists() for link in links)
    figures = {path.name for path in (folders[0] / "figures").iterdir()}
    assert {"figure-2.png", "figure-2.json", "figure-3.png", "best-ebgan.png", "best-gan.png",
            "axes-gan.json", "ebgan-by-nlayerg.json"} <= figures  # fmt: skip
    assert not (folders[1] / "report.html").exists()


@pytest.mark.usefixtures("axes_drawn")
def test_the_headline_counts_and_names_the_best(tmp_path: Path) -> None:
    folder = strip_of(tmp_path / "s", ["done", "diverged", "failed", "done", "missing"])
    told = Page(write([folder])).words()
    assert "EBGAN: 5 trials: 2 done, 1 diverged, 1 failed, 1 not there yet." in told
    assert "Best I′: 4, at margin 8." in told
    assert "energy loss is not finite at step 140" in told
    assert "out of memory" in told


@pytest.mark.usefixtures("axes_drawn")
def test_a_sweep_that_has_only_begun(tmp_path: Path) -> None:
    folder = made.folder(tmp_path / "s", "s", {"x": [1, 2]}, [], [I], missing=2)
    told = Page(write([folder])).words()
    assert "s: 2 trials: 0 done, 2 not there yet. None has a score yet." in told
    records = [made.record({"x": 1}, "ebgan", "done", score(2.5))]
    folder = made.folder(tmp_path / "t", "t", {"x": [1, 2]}, records, [I], missing=1)
    (folder / "results" / "torn.json").write_text('{"id": ')
    told = Page(write([folder])).words()
    assert "1 record could not be read: torn.json" in told
    assert "So far only one value of each axis has a score." in told


def test_a_folder_without_a_sweep_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="holds no sweep"):
        write([tmp_path])
    with pytest.raises(RunError, match="name a sweep's folder"):
        write([])


@pytest.mark.usefixtures("axes_drawn")
def test_sweeps_of_different_metrics_stand_apart(tmp_path: Path) -> None:
    error = {"error": {"value": 0.02, "low": 0.01, "high": 0.03, "better": "lower"}}
    worse = {"error": {"value": 0.5, "low": 0.4, "high": 0.6, "better": "lower"}}
    folders = [
        strip_of(tmp_path / "a", ["done", "done"]),
        made.folder(tmp_path / "b", "ladder", {"labels": [100, 200]},
                    [made.record({"labels": 100}, "ladder", "done", worse),
                     made.record({"labels": 200}, "ladder", "done", error)], ["error"]),
    ]  # fmt: skip
    told = Page(write(folders)).words()
    assert "Best error: 0.02000, at labels 200." in told
    assert "Mann–Whitney" not in told


@pytest.mark.usefixtures("axes_drawn")
def test_no_score_that_is_infinite_is_in_a_figure(tmp_path: Path) -> None:
    records = [
        made.record({"x": 1}, "ebgan", "done", {I: {"value": None, "better": "higher"}}),
        made.record({"x": 2}, "ebgan", "done", score(1.0)),
    ]
    folder = made.folder(tmp_path / "s", "s", {"x": [1, 2]}, records, [I])
    assert "1 trial that ended without an error has no finite I′" in Page(write([folder])).words()


def test_cells_are_the_images_of_a_grid() -> None:
    for shape, count, columns in (((1, 8, 8), 12, 4), ((3, 32, 32), 64, None), ((1, 70, 90), 5, 3)):
        x = torch.rand(count, *shape) * 2 - 1
        domain = Domain(shape, -1.0, 1.0)
        found = pictures.cells(pictures.grid(x, domain, columns), shape)
        for image, one in zip(found, x, strict=False):
            alone = pictures.cells(pictures.grid(one[None], domain, 1), shape)
            assert len(alone) == 1
            np.testing.assert_array_equal(np.asarray(image), np.asarray(alone[0]))
        assert len(found) >= count


def test_the_strip_has_a_row_of_samples_for_each_margin(tmp_path: Path) -> None:
    (one,) = read([strip_of(tmp_path / "s", ["done", "diverged", "done", "missing", "done"])])
    picture = samples.draw_strip(one)
    assert picture is not None
    (tmp_path / "strip.png").write_bytes(picture.light)
    with Image.open(tmp_path / "strip.png") as opened:
        pixels = np.asarray(opened.convert("L"))
    column = pixels[:, 150]  # within the first image of each row
    rows = np.array_split(column[8:-8], 5)
    middles = [int(np.median(row)) for row in rows]
    assert middles[0] < 10
    assert abs(middles[2] - 64) < 10
    assert abs(middles[4] - 128) < 10


def test_there_is_no_strip_of_two_axes_or_of_names(tmp_path: Path) -> None:
    for axes in ({"a": [1, 2], "b": [1, 2]}, {"a": ["x", "y"]}):
        records = [made.record(v, "ebgan", "done", score(1.0)) for v in made.combinations(axes)]
        folder = made.folder(tmp_path / str(len(axes)), "s", axes, records)
        assert samples.draw_strip(read([folder])[0]) is None


def test_a_whole_grid_is_decomposed_exactly_and_a_part_is_estimated(tmp_path: Path) -> None:
    axes = {"a": [1, 2, 3], "b": ["x", "y"], "c": [True, False]}
    every = made.combinations(axes) * 1
    records = [made.record(v, "ebgan", "done", score(1.0 + v["a"] + 2 * v["c"])) for v in every]
    whole = read([made.folder(tmp_path / "w", "s", axes, records)])[0]
    found = effects.importance(whole)
    assert found is not None
    assert "exact" in found.sentences[0]
    a, c = 2 / 3, 1.0  # variances of a ∈ {1, 2, 3}, and of 2c
    assert found.numbers["axes"]["a"]["main"] == pytest.approx(a / (a + c))
    assert found.rows[0][0] == "c"
    assert found.means["a"][2][:3] == ("3", "4", "5")
    part = read([made.folder(tmp_path / "p", "s", axes, records[:-2])])[0]
    found = effects.importance(part)
    assert found is not None
    assert "Estimated from 10 trials of 12" in found.sentences[0]
    assert found.numbers["axes"]["c"]["share"] == pytest.approx(c / (a + c), abs=1e-6)


def test_what_the_whole_grid_takes(tmp_path: Path) -> None:
    axes = {"x": [1, 2, 3, 4, 5, 6, 7, 8]}
    records = [made.record({"x": x}, "ebgan", "done", score(x), 100.0 * x) for x in (1, 3)]
    one = read([made.folder(tmp_path / "s", "s", axes, records)])[0]
    told = dict(facts.times(one))
    each = (200 + 9.5) / 3600  # seconds of training and of scoring, on one thread
    assert f"about {8 * each:.4g} core hours for 8 trials" in told["The whole grid"]
    long = 8 * (12 * 200 + 9.5) / 3600  # of 12,000 steps, where these had 1,000
    assert f"about {long:.4g} core hours" in told["At the recipe's 12,000 steps"]
