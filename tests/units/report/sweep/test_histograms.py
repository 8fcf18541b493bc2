"""Histograms of searches: bins, shares, what diverged, and the panels of the paper's figures."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from energan.report.sweep import histograms
from energan.report.sweep.distributions import draw_axis, draw_sweeps
from energan.report.sweep.histograms import Group
from energan.report.sweep.records import SweepRecords, read
from support import sweep_records as made

I = "modified_inception_score"  # noqa: E741
NUMBERS = st.floats(-1e6, 1e6) | st.floats(0, 1) | st.sampled_from([0.0, 0.3, 0.1 * 3])
SCORES = st.lists(NUMBERS, min_size=1, max_size=80)


def score(value: float) -> dict[str, Any]:
    return {I: {"value": value, "low": value, "high": value, "better": "higher"}}


def searched(path: Path, values: list[float | None], axis: str = "x") -> SweepRecords:
    """A sweep of one axis with these scores; None diverged."""
    records = [
        made.record(
            {axis: i}, "ebgan", "diverged" if v is None else "done", {} if v is None else score(v)
        )
        for i, v in enumerate(values)
    ]
    return read([made.folder(path, "s", {axis: list(range(len(values)))}, records, [I])])[0]


@given(SCORES, st.integers(0, 5))
def test_each_run_is_in_one_bin(scores: list[float], apart: int) -> None:
    group = Group("a", np.array(scores), apart=apart)
    ends = histograms.edges([group], "error")
    widths = np.diff(ends)
    assert (widths > 0).all()
    np.testing.assert_allclose(widths, widths[0], rtol=1e-6)
    assert len(widths) <= 60
    total = histograms.shares(group, ends).sum() + 100 * apart / group.n
    assert total == pytest.approx(100)


def test_more_runs_have_finer_bins_and_few_have_some() -> None:
    rng = np.random.default_rng(0)
    counts = [
        len(histograms.edges([Group("a", rng.uniform(size=n))], "error")) - 1
        for n in (1, 3, 24, 512, 6144)
    ]
    assert counts[0] == 1
    assert all(2 <= count <= 10 for count in counts[1:3])
    assert counts[2:] == sorted(counts[2:])
    assert counts[-1] > 20


def test_equal_scores_are_one_bin_around_them() -> None:
    for value in (0.0, 3.7, -2.0, 5e-324, -1e-310):
        ends = histograms.edges([Group("a", np.full(9, value))], "error")
        assert len(ends) == 2
        assert ends[0] <= value <= ends[1]


def test_bins_of_the_modified_score_begin_at_its_worst() -> None:
    groups = [Group("a", np.array([3.0, 4, 5]))]
    assert histograms.edges(groups, I)[0] == 0
    assert histograms.edges(groups, "error")[0] > 0


def test_diverged_runs_count_at_the_worst_score(tmp_path: Path) -> None:
    group = histograms.group_of(searched(tmp_path / "a", [2.0, None, 3.0, None]))
    assert sorted(group.scores) == [0, 0, 2, 3]
    assert (group.n, group.diverged, group.apart) == (4, 2, 0)


@pytest.mark.usefixtures("axes_drawn")
def test_diverged_runs_without_a_worst_score_are_a_bar_apart(tmp_path: Path) -> None:
    rows = [("done", 5.0), ("diverged", None), ("failed", None), ("done", 6.0)]
    records = [
        made.record(
            {"x": i},
            "ebgan",
            state,
            {"frechet_distance": {"value": v, "better": "lower"}} if v else {},
        )
        for i, (state, v) in enumerate(rows)
    ]
    folder = made.folder(tmp_path / "s", "s", {"x": [0, 1, 2, 3]}, records, ["frechet_distance"])
    (one,) = read([folder])
    (picture, numbers), *_ = draw_sweeps([one])
    (group,) = numbers["panels"][0]["groups"]
    assert (group["runs"], group["diverged_in_a_bin_of_their_own"]) == (3, 1)
    assert group["failed_left_out"] == 1
    assert sum(group["percent"]) == pytest.approx(200 / 3)
    assert "1 EBGAN run diverged" in picture.caption
    assert "1 EBGAN run failed" in picture.caption


@pytest.mark.usefixtures("axes_drawn")
def test_the_panels_of_figures_2_and_3(tmp_path: Path) -> None:
    sweeps = read(made.grids(tmp_path, 120))
    (first, two), (second, three) = draw_sweeps(sweeps)
    assert (first.name, second.name) == ("figure-2", "figure-3")
    for panel, most in zip(two["panels"], (5, 4, 3), strict=True):
        for group, one in zip(panel["groups"], sweeps, strict=True):
            allowed = [
                r
                for r in one.records
                if r["state"] != "failed"
                if max(r["values"]["nLayerG"], r["values"]["nLayerD"]) <= most
            ]
            assert group["runs"] == len(allowed) == sum(group["counts"])
            assert sum(group["percent"]) == pytest.approx(100, abs=1e-3)
    assert len(three["panels"]) == 12
    gan, ebgan = sweeps[1], sweeps[0]
    for panel in three["panels"]:
        own, behind = panel["groups"]
        assert (own["label"], behind["label"]) == ("GAN", "EBGAN")
        assert behind["runs"] == len([r for r in ebgan.records if r["state"] != "failed"])
    runs = sum(panel["groups"][0]["runs"] for panel in three["panels"])
    assert runs == len([r for r in gan.records if r["state"] != "failed"])


@pytest.mark.usefixtures("axes_drawn")
@pytest.mark.parametrize(("which", "names"), [(0, ["figure-2"]), (1, ["figure-2", "figure-3"])])
def test_one_of_the_grids_alone(tmp_path: Path, which: int, names: list[str]) -> None:
    folder = made.grids(tmp_path, 30)[which]
    drawn = draw_sweeps(read([folder]))
    assert [picture.name for picture, _ in drawn] == names
    assert all(len(panel["groups"]) == 1 for _, numbers in drawn for panel in numbers["panels"])


@pytest.mark.usefixtures("axes_drawn")
def test_a_group_for_each_value_of_an_axis(tmp_path: Path) -> None:
    one = searched(tmp_path / "a", [2.0, None, 3.0])
    found = draw_axis(one, "x")
    assert found is not None
    groups = found[1]["panels"][0]["groups"]
    assert [(g["label"], g["runs"]) for g in groups] == [("0", 1), ("1", 1), ("2", 1)]
    assert draw_axis(searched(tmp_path / "b", [1.0] * 20), "x") is None
