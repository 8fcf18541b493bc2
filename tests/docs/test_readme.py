"""The README's commands, in its order: recipes and options exist, and runs were trained before."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import tyro

from energan.cli import main as cli

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf8")
PROGRAM = re.compile(r"^\$ (?:torchrun \S+ \d+ -m )?energan (.*)$", re.M)
COMMANDS = [shlex.split(line, comments=True) for line in PROGRAM.findall(README)]


class Parsed(Exception):
    """The words of a command were understood."""


def option(words: list[str], name: str) -> str | None:
    return words[words.index(name) + 1] if name in words else None


def test_the_commands_are_found() -> None:
    assert len(COMMANDS) > 35
    assert {words[0] for words in COMMANDS} >= set(cli.COMMANDS) - {"anomaly", "margin", "sweep"}


@pytest.mark.parametrize("number", range(len(COMMANDS)))
def test_its_recipe_and_options_exist(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    words = [re.sub(r"runs/\w+/config.json", "ebgan-digits", word) for word in COMMANDS[number]]
    parse = tyro.cli

    def parse_alone(*args: Any, **options: Any) -> None:
        parse(*args, **options)
        raise Parsed

    monkeypatch.setattr(tyro, "cli", parse_alone)
    with pytest.raises(SystemExit if "--help" in words else Parsed):
        cli.main(["--debug", *words])


def test_a_run_is_trained_before_it_is_used_and_no_input_is_written_to() -> None:
    made, written = set[str](), set[str]()
    for words in COMMANDS:
        out = option(words, "--out")
        used = [w for w in words[1:] if w.startswith("runs/") and w != out]
        for word in used:
            assert word.removesuffix("/config.json") in made, f"{word} of {shlex.join(words)}"
        if words[0] == "train" and "--help" not in words and "--dry-run" not in words:
            made.add(out or f"runs/{words[1]}")
        written |= {words[3]} if words[0] == "translate" else {out} if out else set()
        if (data := option(words, "--data")) and data.endswith(".npz"):
            assert data in written
    assert "photos/" not in written
