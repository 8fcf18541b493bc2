"""The page that shows runs: what it holds, that it stands alone, and that it bears broken runs."""

import base64
import io
import json
import re
import shutil
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import energan
from energan.report import html
from energan.report.html import Pen
from energan.report.page import write_report

QUIET = {"log_every": 5, "sample_every": 10, "checkpoint_every": 15, "tensorboard": False}
SMALL = {"generator": [16], "encoder": [16], "margin": "linear(2.5, 1, 30)"}


class Page(HTMLParser):
    """Tags with their attributes, and the text outside <style>."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.text, self._style = "", False
        self.source = path.read_text(encoding="utf8")
        self.feed(self.source)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self._style = tag == "style"
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        self._style = False

    def handle_data(self, data: str) -> None:
        self.text += "" if self._style else data

    def words(self) -> str:
        return " ".join(self.text.split())

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for found, attributes in self.tags if found == tag]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "digits"
    energan.train(
        "ebgan-digits", steps=30, out=out, model=SMALL, engine={"threads": 1}, output=QUIET,
        progress=False,
    )  # fmt: skip
    return out


@pytest.fixture(scope="module")
def points(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "ring"
    energan.train(
        "gan-ring", steps=30, out=out, engine={"threads": 1}, output=QUIET, progress=False
    )
    return out


@pytest.fixture
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures are drawn, and not made pictures of, which takes the most time."""
    from matplotlib.figure import Figure

    file = io.BytesIO()
    Image.new("L", (1, 1)).save(file, "PNG")

    def draw_only(draw: Any, size: tuple[float, float], theme: str, face: str) -> bytes:
        draw(Figure(figsize=size).add_subplot(), Pen("k", "k"))
        return file.getvalue()

    monkeypatch.setattr(html, "_render_figure", draw_only)


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "digits"))


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


def assert_stands_alone(page: Page) -> None:
    """Nothing in the page is fetched from anywhere, and each picture can be decoded."""
    for tag, attributes in page.tags:
        for name in ("src", "srcset", "href", "action", "data", "poster"):
            assert attributes.get(name, "data:").startswith("data:"), (tag, name)
    assert not page.all("script")
    assert not re.search(r"@import|url\(", page.source)
    sources = [i["src"] for i in page.all("img")] + [s["srcset"] for s in page.all("source")]
    for source in sources:
        kind, _, data = source.partition(",")
        assert kind == "data:image/png;base64"
        Image.open(io.BytesIO(base64.b64decode(data))).load()


def headings(page: Page) -> list[str]:
    return [unescape(h) for h in re.findall(r"<h2>(.*?)</h2>", page.source)]


def test_a_page_of_images_has_every_section_and_stands_alone(run: Path) -> None:
    evaluated(run, evaluation(15, 8.0, 30.0), evaluation(30, 7.0, 20.0))
    path = write_report([run])
    assert path == run / "report.html"
    page = Page(path)
    assert headings(page) == [
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


@pytest.mark.usefixtures("_quick")
def test_the_header_says_what_the_run_is(run: Path) -> None:
    words = Page(write_report([run], data=False)).words()
    config = json.loads((run / "config.json").read_text())
    for said in ("ebgan-digits", "finished", "30 of 30", config["hash"], "energan 0.1.0",
                 "1 × 8 × 8", "step 30, averaged (EMA) weights", "linear(2.5, 1, 30)",
                 "model.energy_optimiser.lr"):  # fmt: skip
        assert said in words


@pytest.mark.usefixtures("_quick")
def test_scores_have_intervals_the_best_in_bold_and_their_protocol(run: Path) -> None:
    evaluated(run, evaluation(15, 8.0, 30.0), evaluation(30, 7.0, 20.0, "raw"))
    page = Page(write_report([run], data=False))
    assert re.findall(r'class="best">([^<]*)<', page.source) == ["8", "20"]
    words = page.words()
    for said in ("7.500 – 8.500", "9.730", "Inception score ↑", "Fréchet distance ↓",
                 "step 15, EMA", "step 30, raw", "95% bootstrap over samples",
                 "test accuracy 99.12%", "180 events", "1,000 samples of seed 0"):  # fmt: skip
        assert said in words
    assert "not scored by one protocol" not in words


@pytest.mark.usefixtures("_quick")
def test_scores_by_unlike_protocols_are_said_to_be(run: Path) -> None:
    other = evaluation(30, 7.0, 20.0)
    other["reference"]["sha256"] = "ffff"
    evaluated(run, evaluation(15, 8.0, 30.0), other)
    assert "not scored by one protocol" in Page(write_report([run], data=False)).words()


@pytest.mark.usefixtures("_quick")
def test_without_scores_the_page_says_how_to_make_them(run: Path) -> None:
    assert f"energan evaluate {run}" in Page(write_report([run], data=False)).words()


@pytest.mark.usefixtures("_quick")
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
    assert "What differs" in headings(page)
    assert "Nothing to show" in page.words()  # points have no images between latents
    files = {file.name for file in (tmp_path / "page-figures").iterdir()}
    assert files >= {"curves-loss-energy.png", "digits-samples.png", "ring-energy-map.png"}
    assert not (run / "report.html").exists()


@pytest.mark.usefixtures("_quick")
def test_runs_of_one_name_are_told_apart(run: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(run, tmp_path / "more" / "digits"))
    page = Page(write_report([run, other], tmp_path / "page.html", data=False))
    assert "more/digits" in page.words()
    assert len({file.name for file in (tmp_path / "page-figures").glob("*digits-samples.png")}) == 2


def test_points_get_a_scatter_and_a_map_and_no_image_sections(points: Path, tmp_path: Path) -> None:
    page = Page(write_report([points], tmp_path / "ring.html"))
    titles = {image["alt"] for image in page.all("img")}
    assert titles >= {"Samples and data", "Energy map"}
    assert "Interpolation" not in headings(page)
    assert "2 ln 2" in page.words()  # what the logistic loss settles at, and not a margin
    assert_stands_alone(page)


@pytest.mark.usefixtures("_quick")
@pytest.mark.parametrize("name", ['<b>&"x', "_$a$ 日本", "a" * 120])
def test_names_are_escaped(run: Path, tmp_path: Path, name: str) -> None:
    odd = Path(shutil.copytree(run, tmp_path / "odd" / name))
    page = Page(write_report([odd, run], tmp_path / "page.html", data=False))
    assert_stands_alone(page)
    assert name in page.words()
    assert "<b>&" not in page.source


@pytest.mark.usefixtures("_quick")
def test_two_reports_of_one_run_are_the_same(run: Path, tmp_path: Path) -> None:
    one, two = (write_report([run], tmp_path / f"{n}.html") for n in ("one", "two"))
    assert one.read_bytes() == two.read_bytes()
