"""Options read in every command's help as a user of argparse expects."""

import dataclasses
from contextlib import suppress
from typing import Annotated, Literal

import pytest
import tyro

from energan.cli.help_text import cli
from energan.cli.main import COMMANDS
from support.commands import run


@dataclasses.dataclass
class Example:
    """An example."""

    run: Annotated[str, tyro.conf.Positional]
    """one that is required"""
    files: Annotated[list[str], tyro.conf.Positional]
    """any number"""
    name: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="OWNER/NAME")] = "a/b"
    """one with a placeholder of its own"""
    out: str | None = None
    """a text that
    goes on in the next line"""
    kind: Literal["a", "b"] | None = None
    size: tuple[int, int] | int | None = 3
    box: tuple[int, int] | None = None
    rate: float = 0.5
    tags: tuple[str, ...] = ()
    quick: bool = False


def test_placeholders_and_defaults(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli(Example, ["--help"], "example")
    said = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert said.startswith("usage: example [-h] [OPTIONS] RUN [FILES ...] OWNER/NAME An example.")
    assert "--out STR a text that goes on in the next line --kind {a,b}" in said
    assert "--size INT INT | INT | None (default: 3)" in said
    assert "--box INT INT --rate FLOAT (default: 0.5) --tags [STR ...] --quick, --no-quick" in said


def test_values_are_read_as_before() -> None:
    words = ["x", "a", "b", "--size", "None", "--kind", "b", "--box", "1", "2", "--tags", "c", "d"]
    assert cli(Example, [*words, "--quick"], "example") == Example(
        "x", ["a", "b"], size=None, kind="b", box=(1, 2), tags=("c", "d"), quick=True
    )


@pytest.mark.parametrize(
    "words",
    [[command] for command in COMMANDS] + [["train", "energymatching-ring", "--help-all"],
                                           ["margin", "ebgan-digits"], ["data", "show"]],
    ids=" ".join,
)  # fmt: skip
def test_no_help_shows_what_only_the_parser_needs(
    words: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "1000")  # no line is broken
    with suppress(SystemExit):
        run(*words, *(["--help"] if "--help-all" not in words else []))
    said = capsys.readouterr().out
    assert said.startswith(("usage: ", "RECIPE is", "MODEL"))
    for wrong in ("{None", "default: None", "(default: )", "PATH PATH", "STR [STR"):
        assert wrong not in said
