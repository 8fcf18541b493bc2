"""The README is short; test_pages.py runs it."""

from support.markdown import ROOT, blocks

README = ROOT / "README.md"


def test_it_has_six_hundred_words_at_most() -> None:
    assert len(README.read_text(encoding="utf8").split()) <= 600


def test_its_python_has_five_lines() -> None:
    (code,) = [block.text for block in blocks(README) if block.language == "python"]
    assert len([line for line in code.splitlines() if line]) == 5
