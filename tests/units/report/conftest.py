"""Runs that the tests of reports read, trained once, and figures without their pixels."""

import io
import shutil
from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure
from PIL import Image

import energan
from energan.report import html
from energan.report.html import Theme

QUIET = {"log_every": 5, "sample_every": 10, "checkpoint_every": 15, "tensorboard": False}
SMALL = {"generator": [16], "encoder": [16], "margin": "linear(2.5, 1, 30)"}


@pytest.fixture(scope="session")
def digits_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of images; read it, or change a copy, which `run` is."""
    out = tmp_path_factory.mktemp("runs") / "digits"
    energan.train(
        "ebgan-digits", steps=30, out=out, model=SMALL, engine={"threads": 1}, output=QUIET,
        progress=False,
    )  # fmt: skip
    return out


@pytest.fixture(scope="session")
def points(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on points, to be read."""
    out = tmp_path_factory.mktemp("runs") / "ring"
    energan.train(
        "gan-ring", steps=30, out=out, engine={"threads": 1}, output=QUIET, progress=False
    )
    return out


@pytest.fixture
def run(digits_run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(digits_run, tmp_path / "digits"))


@pytest.fixture
def axes_drawn(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The axes of each figure; they are drawn, and no pictures are made, which takes long."""
    axes_of_figures: list[Any] = []
    file = io.BytesIO()
    Image.new("L", (1, 1)).save(file, "PNG")

    def draw_only(draw: Any, size: tuple[float, float], theme: str, face: str) -> bytes:
        axes = Figure(figsize=size).add_subplot()
        draw(axes, Theme("k", "k"))
        axes_of_figures.append(axes)
        return file.getvalue()

    monkeypatch.setattr(html, "_render_figure", draw_only)
    return axes_of_figures
