"""The commands of README and documentation: recipes and options exist, and none is left out."""

import re
import sys
from pathlib import Path
from typing import Any

import pytest
import tyro

from energan.cli import main as cli
from support.markdown import DOCS, ROOT, commands_of, modules

PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
COMMANDS = [
    (str(page.relative_to(ROOT)), words)
    for page in PAGES
    for words in commands_of(page)
    if "..." not in words
]


class Parsed(Exception):
    """The words of a command were understood."""


def test_the_commands_are_found() -> None:
    assert len(COMMANDS) > 100


def test_every_command_is_on_a_page() -> None:
    assert {words[0] for _, words in COMMANDS} >= set(cli.COMMANDS)


@pytest.mark.parametrize(("page", "words"), COMMANDS, ids=lambda value: str(value)[:60])
def test_its_recipe_and_options_exist(
    page: str, words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = [re.sub(r"\S+(/config|-s\d).json$", "ebgan-digits", word) for word in words]
    parse = tyro.cli

    def parse_alone(*args: Any, **options: Any) -> None:
        parse(*args, **options)
        raise Parsed

    monkeypatch.setattr(tyro, "cli", parse_alone)
    monkeypatch.chdir(tmp_path)  # where a page's folders are not
    printed = modules(ROOT / page)
    for name, text in printed.items():
        (tmp_path / f"{name}.py").write_text(text, encoding="utf8")
    monkeypatch.syspath_prepend(ROOT / "examples")
    monkeypatch.syspath_prepend(tmp_path)
    Path("mine.json").write_text('{"recipe": "ebgan-digits", "axes": {"seed": [0, 1]}}')
    if words == ["sweep"]:
        assert cli.main(words) == 0
        return
    with pytest.raises(SystemExit if "--help" in words else Parsed):
        cli.main(["--debug", *words])
    for name in {*printed, "hinge_gan"}:
        sys.modules.pop(name, None)
