"""`energan figures`, as a user types it."""

from pathlib import Path

import pytest
from PIL import Image

from energan.report.figures import FIGURES
from support.commands import run


@pytest.mark.parametrize("kind", ["samples", "margins", "neighbours", "interpolation"])
def test_a_figure_is_written_and_said(
    kind: str, small_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    out = tmp_path / "figure.png"
    assert run("figures", kind, small_run, "-n", "5", "--out", out) == 0
    assert capsys.readouterr().out.rstrip().endswith(f": {out}")
    with Image.open(out) as image:
        assert min(image.size) > 100


def test_without_a_name_it_is_that_of_the_kind_and_a_replaced_file_is_told(
    small_run: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    for says in ("", "figure-samples.png exists and will be overwritten"):
        assert run("figures", "samples", small_run, small_run, "-n", "4") == 0
        assert (tmp_path / "figure-samples.png").is_file()
        assert says in capsys.readouterr().err


def test_figure_one_end_to_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--threads", "1", "--steps", "8", "--output.checkpoint-every", "2"]
    assert run("train", "gan-line", "--out", tmp_path / "line", *words) == 0
    assert (tmp_path / "line" / "samples" / "step-000008.png").is_file()
    capsys.readouterr()
    assert run("figures", "gan1d", tmp_path / "line", "--out", tmp_path / "one.png") == 0
    assert "at steps 2, 4, 6, 8 of line" in capsys.readouterr().out
    shown = ["--steps", "2", "8", "--out", tmp_path / "two.png"]
    assert run("figures", "gan1d", tmp_path / "line", *shown) == 0
    with Image.open(tmp_path / "one.png") as four, Image.open(tmp_path / "two.png") as two:
        assert four.width == 2 * two.width


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["gan2d"], "no figure 'gan2d' (did you mean gan1d?): choose from gan1d, neighbours"),
        (["samples"], "name the run to draw: energan figures samples RUN"),
        (["samples", "nowhere"], "nowhere holds no run"),
        (["gan1d", "RUN"], "train the recipe gan-line for this figure"),
        (["samples", "RUN", "--out", "x.gif"], "name a .png"),
        (["samples", "RUN", "--checkpoint", "99"], "has no checkpoint of step 99"),
    ],
)
def test_a_users_error_is_one_sentence(
    words: list[str], says: str, small_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert run("figures", *(small_run if word == "RUN" else word for word in words)) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("energan: ")
    assert said.err.count("\n") == 1
    assert says in said.err


def test_help_explains_each_kind(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run("figures", "--help")
    said = capsys.readouterr().out
    assert all(f"{kind} RUN" in said for kind in FIGURES)
