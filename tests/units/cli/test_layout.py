"""How the commands are laid out: what each may import, and where."""

import ast
from importlib import import_module
from pathlib import Path

import pytest

import energan.cli
from energan.cli.main import COMMANDS, usage

FILES = sorted(Path(energan.cli.__file__).parent.glob("*.py"))
LIGHT = {"main", "options", "parser_errors", "recipes", "runs", "sweep"}
"""Files that are loaded without torch; they may import what needs it inside a function."""
OPTIONAL = {"energan.sweeps.executors", "energan.studio.server"}
"""Where packages are needed that not everyone installs (Ray, Gradio)."""
SHARED = {
    "classifier_baselines",
    "help_text",
    "options",
    "outcome",
    "run_options",
    "settings_options",
}
"""Files that any command may import."""
PARTS = {
    "evaluate": {"localisation"}, "options": {"parser_errors"}, "resume": {"seeds"},
    "score": {"localisation"}, "train": {"seeds"},
}  # fmt: skip
"""Of some files. Other parts of a command are named after it, as `evaluate_ood`."""


def command_of(file: str) -> str:
    """The command that a file is a part of: the only one whose files import it."""
    return next((name for name in COMMANDS if file.startswith(f"{name}_")), file)


def imported(tree: ast.AST) -> set[str]:
    """The files of energan.cli that a file imports."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "energan.cli":
            names |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("energan.cli."):
            names.add(str(node.module).split(".")[2])
        elif isinstance(node, ast.Import):
            of_cli = [name.name for name in node.names if name.name.startswith("energan.cli.")]
            names |= {name.split(".")[2] for name in of_cli}
    return names


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_commands_import_shared_files_and_their_parts(file: Path) -> None:
    own = command_of(file.stem)
    may = SHARED | PARTS.get(own, set())
    others = imported(ast.parse(file.read_text(encoding="utf8"))) - may
    assert {command_of(other) for other in others} <= {own}
    assert own not in others


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_imports_stand_at_the_top(file: Path) -> None:
    if file.stem in LIGHT:
        return
    tree = ast.parse(file.read_text(encoding="utf8"))
    functions = (n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef))
    hidden = [
        f"{function.name}:{node.lineno}"
        for function in functions
        for node in ast.walk(function)
        if isinstance(node, ast.Import | ast.ImportFrom)
        and getattr(node, "module", None) not in OPTIONAL
    ]
    assert not hidden


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_a_function_in_the_file_of_its_name(name: str) -> None:
    assert callable(getattr(import_module(f"energan.cli.{name}"), name))


def test_every_file_is_a_command_a_part_or_shared() -> None:
    known = {"__init__", "main", *COMMANDS, *SHARED, *set().union(*PARTS.values())}
    assert {command_of(file.stem) for file in FILES} == known


def test_the_usage_names_every_command() -> None:
    lines = usage().splitlines()
    assert [line.split()[0] for line in lines if line.startswith("  ")] == COMMANDS
    assert max(map(len, lines)) <= 80
    assert len(lines) <= 37
