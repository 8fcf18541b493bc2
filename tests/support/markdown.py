"""Fenced blocks of the documentation, and the commands in them."""

import re
import shlex
from pathlib import Path
from textwrap import dedent
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
_FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.M | re.S)
_PROGRAM = re.compile(r"^(?:torchrun \S+ \d+ -m )?energan (.*)$")
SHELLS = ("bash", "console")


class Block(NamedTuple):
    language: str
    text: str


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page, in its order."""
    found = _FENCE.findall(page.read_text(encoding="utf8"))
    return [Block(language, dedent(text)) for _, language, text in found]


def commands(block: Block) -> list[list[str]]:
    """The words of each energan command in a block of a shell; of a session, of its `$` lines."""
    if block.language not in SHELLS:
        return []
    lines = block.text.replace("\\\n", " ").splitlines()
    if block.language == "console":
        lines = [line[1:].strip() for line in lines if re.match(r"[$>]", line)]
    found = [part for line in lines for part in line.split(" && ")]
    return [shlex.split(m[1], comments=True) for line in found if (m := _PROGRAM.match(line))]


def commands_of(page: Path) -> list[list[str]]:
    return [words for block in blocks(page) for words in commands(block)]


def modules(page: Path) -> dict[str, str]:
    """Name -> text of the files that a page prints: "`name.py`, words:" stands before them."""
    text = page.read_text(encoding="utf8")
    return dict(re.findall(r"`(\w+)\.py`[^`]*?:\n\n```python\n(.*?)```", text, re.DOTALL))
