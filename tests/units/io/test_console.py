"""Lines and tables of a terminal."""

import pytest

from energan.io.console import figure, say, show, table_of


def test_names_are_shown_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    """What reads as rich's markup, or as one of its names of emoji, is part of a file's name."""
    names = ("a[1].png", "[bold].png", ":car:.png")
    table = table_of("file")
    for name in names:
        table.add_row(name)
        say(name)
    show(table)
    said = capsys.readouterr()
    assert [line.strip() for line in said.out.splitlines()] == ["file", *names]
    assert said.err.splitlines() == [*names]


def test_figures_have_four_digits() -> None:
    assert [figure(value) for value in (None, 0.0, 12.34567, 1e-9)] == ["", "0", "12.35", "1e-09"]
