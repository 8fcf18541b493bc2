"""The command line as tests call it: in this process, with small networks."""

from pathlib import Path

import pytest

from energan.cli import main as cli

SMALL = [
    "--model.generator", "16", "--model.encoder", "16", "--model.latent", "4",
    "--output.log-every", "5", "--output.sample-every", "10", "--output.checkpoint-every", "10",
    "--threads", "1",
]  # fmt: skip
"""Options of a training on the digits or the ring that takes about a second."""


def run(*words: str | Path) -> int:
    """Run a command; its exit code."""
    return cli.main([str(word) for word in words])


def refused(capsys: pytest.CaptureFixture[str], *words: str | Path) -> str:
    """The one sentence that a user's error gives, with exit code 2 and no traceback."""
    capsys.readouterr()
    assert run(*words) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert "Traceback" not in said.err
    assert said.err.startswith("energan: ")
    assert said.err.count("\n") == 1
    return said.err
