"""The page that shows runs: what it holds, that it stands alone, and that it bears broken runs."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from energan.report.page import write_report
from energan.version import __version__
from support.pages import Page, assert_stands_alone


def evaluation(step: int, score: float, distance: float, weights: str = "ema") -> dict[str, Any]:
    def metric(name: str, value: float, better: str | None, **more: Any) -> dict[str, Any]:
        return {"name": name, "value": value, "better": better, "details": {}, **more}

    return {
        "step": step, "weights": weights, "seed": 0, "samples": 1000, "energan": "0.1.0",
        "extractor": {"name": "classifier", "sha256": "3fa9c02be81dd1207", "test_accuracy": 0.9912},
        "reference": {"source": "digits", "split": "held-out", "events": 180, "sha256": "00112233"},
        "metrics": [
            metric("inception_score", score, "higher", low=score - 0.5, high=score + 0.5,
                   interval="95% bootstrap over samples", real=9.73),
            metric("frechet_distance", distance, "lower"),
            metric("class_coverage", 3.0, "higher", real=4.0,
                   details={"shares": [0.5, 0.3, 0.2, 0.0], "names": ["cat", "dog", "<i>", "$x"]}),
        ],
    }  # fmt: skip


def evaluated(run: Path, *evaluations: dict[str, Any]) -> None:
    (run / "metrics.json").write_text(json.dumps({"format": 1, "evaluations": evaluations}))


def test_a_page_of_images_has_every_section_and_stands_alone(run: Path) -> None:
    evaluated(run, evaluation(15, 8.0, 30.0), evaluation(30, 7.0, 20.0))
    path = write_report([run])
    assert path == run / "report.html"
    page = Page(path)
    assert page.headings() == [
        "Scores", "Curves", "Samples over time", "Samples and their energy", "Interpolation",
        "Nearest neighbours", "Reconstructions", "Class coverage",
    ]  # fmt: skip
    assert_stands_alone(page)
    titles = {image["alt"] for image in page.all("img")}
    assert titles >= {
        "Losses", "Energies", "Step 10", "Step 30", "Fresh samples", "Lowest energy",
        "Highest energy", "Interpolation, linear", "Interpolation, spherical",
        "Nearest training images", "Worst reconstructions", "Best reconstructions",
    }  # fmt: skip
    files = {file.name for file in (run / "report").iterdir()}
    assert files >= {"curves-losses.png", "curves-energies.png", "samples.png", "classes.png"}


@pytest.mark.usefixtures("axes_drawn")
def test_the_header_says_what_the_run_is(run: Path) -> None:
    words = Page(write_report([run], data=False)).words()
    config = json.loads((run / "config.json").read_text())
    for said in ("ebgan-digits", "finished", "30 of 30", config["hash"], f"energan {__version__}",
                 "1 × 8 × 8", "step 30, averaged (EMA) weights", "linear(2.5, 1, 30)",
                 "model.energy_optimiser.lr"):  # fmt: skip
        assert said in words


@pytest.mark.usefixtures("axes_drawn")
def test_scores_have_intervals_the_best_in_bold_and_their_protocol(run: Path) -> None:
    evaluated(run, evaluation(15, 8.0, 30.0), evaluation(30, 7.0, 20.0, "raw"))
    page = Page(write_report([run], data=False))
    assert re.findall(r'class="best">([^<]*)<', page.source) == ["8", "20"]
    words = page.words()
    for said in ("7.500 – 8.500", "9.730", "Inception score ↑", "Fréchet distance ↓",
                 "step 15, EMA", "step 30, raw", "95% bootstrap over samples",
                 "test accuracy 99.12%", "180 examples", "1,000 samples of seed 0"):  # fmt: skip
        assert said in words
    assert "not scored by one protocol" not in words


@pytest.mark.usefixtures("axes_drawn")
def test_scores_by_unlike_protocols_are_said_to_be(run: Path) -> None:
    other = evaluation(30, 7.0, 20.0)
    other["reference"]["sha256"] = "ffff"
    evaluated(run, evaluation(15, 8.0, 30.0), other)
    assert "not scored by one protocol" in Page(write_report([run], data=False)).words()


@pytest.mark.usefixtures("axes_drawn")
def test_without_scores_the_page_says_how_to_make_them(run: Path) -> None:
    assert f"energan evaluate {run}" in Page(write_report([run], data=False)).words()


@pytest.mark.usefixtures("axes_drawn")
@pytest.mark.parametrize(
    "stored",
    ["{", "[]", '{"evaluations": 3}', '{"evaluations": [1, {"metrics": [2, {"name": 3}]}]}',
     '{"evaluations": [{"metrics": [{"name": "x"}, {"name": "y", "value": "nan", "low": 1}]}]}',
     '{"evaluations": [{"metrics": [{"name": "class_coverage", "details": {"shares": ["a"]}}]}]}'],
)  # fmt: skip
def test_a_damaged_metrics_file_does_not_stop_the_page(run: Path, stored: str) -> None:
    (run / "metrics.json").write_text(stored)
    assert_stands_alone(Page(write_report([run], data=False)))


def test_several_runs_stand_side_by_side(run: Path, points: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(run, tmp_path / "other"))
    evaluated(run, evaluation(30, 8.0, 30.0))
    evaluated(other, evaluation(30, 7.0, 20.0))
    path = write_report([run, other, points], tmp_path / "page.html")
    page = Page(path)
    assert_stands_alone(page)
    assert "3 runs" in page.words()
    assert "What differs" in page.headings()
    assert "Nothing to show" in page.words()  # points have no images between latents
    files = {file.name for file in (tmp_path / "page-figures").iterdir()}
    assert files >= {"curves-loss-energy.png", "digits-samples.png", "ring-energy-map.png"}
    assert not (run / "report.html").exists()


@pytest.mark.usefixtures("axes_drawn")
def test_runs_of_one_name_are_told_apart(run: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(run, tmp_path / "more" / "digits"))
    page = Page(write_report([run, other], tmp_path / "page.html", data=False))
    assert "more/digits" in page.words()
    assert len({file.name for file in (tmp_path / "page-figures").glob("*digits-samples.png")}) == 2


def test_points_get_a_scatter_and_a_map_and_no_image_sections(points: Path, tmp_path: Path) -> None:
    page = Page(write_report([points], tmp_path / "ring.html"))
    titles = {image["alt"] for image in page.all("img")}
    assert titles >= {"Samples and data", "Energy map"}
    assert "Interpolation" not in page.headings()
    assert "2 ln 2" in page.words()  # what the logistic loss settles at, and not a margin
    assert_stands_alone(page)


@pytest.mark.usefixtures("axes_drawn")
@pytest.mark.parametrize("name", ['<b>&"x', "_$a$ 日本", "a" * 120])
def test_names_are_escaped(run: Path, tmp_path: Path, name: str) -> None:
    odd = Path(shutil.copytree(run, tmp_path / "odd" / name))
    page = Page(write_report([odd, run], tmp_path / "page.html", data=False))
    assert_stands_alone(page)
    assert name in page.words()
    assert "<b>&" not in page.source


@pytest.mark.usefixtures("axes_drawn")
def test_two_reports_of_one_run_are_the_same(run: Path, tmp_path: Path) -> None:
    one, two = (write_report([run], tmp_path / f"{n}.html") for n in ("one", "two"))
    assert one.read_bytes() == two.read_bytes()
