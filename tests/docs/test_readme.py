"""The README: short, and what it shows runs."""

from pathlib import Path

import pytest

import energan
from support.markdown import ROOT, blocks

README = ROOT / "README.md"
SMALL = {"steps=2000": "steps=5", "evaluate(run)": "evaluate(run, samples=40)"}


def test_it_has_six_hundred_words_at_most() -> None:
    assert len(README.read_text(encoding="utf8").split()) <= 600


def test_its_python_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (code,) = [block.text for block in blocks(README) if block.language == "python"]
    assert len([line for line in code.splitlines() if line]) == 5
    for text, small in SMALL.items():
        assert text in code
        code = code.replace(text, small)
    names: dict[str, object] = {}
    exec(code, names)
    run, scores = names["run"], names["scores"]
    assert isinstance(run, energan.Run)
    assert tuple(names["x"].shape) == (64, 1, 8, 8)  # type: ignore[attr-defined]
    assert tuple(names["e"].shape) == (64,)  # type: ignore[attr-defined]
    assert scores["sliced_wasserstein"].value > 0  # type: ignore[index]
