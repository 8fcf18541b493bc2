"""Where things are: one name means one thing in the whole package, and its pieces stay small."""

import ast
from collections import defaultdict
from functools import cache
from pathlib import Path

SRC = Path(__file__).parents[2] / "src" / "energan"
SAME_NAME = {"Config", "Log"}
"""Each model's settings; the objective beside the hook that logs."""
LIMITS = {ast.FunctionDef: 56, ast.AsyncFunctionDef: 56, ast.ClassDef: 280}
"""Lines of each, without its docstrings: those of the reference may be long."""


@cache
def trees() -> dict[Path, ast.Module]:
    return {path: ast.parse(path.read_text(encoding="utf8")) for path in sorted(SRC.rglob("*.py"))}


def test_no_two_public_classes_share_a_name() -> None:
    """Those of cli/ are named by their commands, and no other file sees them."""
    found: dict[str, list[str]] = defaultdict(list)
    for path, tree in trees().items():
        for node in tree.body:
            if isinstance(node, ast.ClassDef) and path.parent.name != "cli":
                found[node.name].append(str(path.relative_to(SRC)))
    twice = {n: at for n, at in found.items() if len(at) > 1 and not n.startswith("_")}
    assert twice.keys() <= SAME_NAME, twice


def test_nothing_loose_stands_at_the_root() -> None:
    names = {path.name for path in SRC.glob("*.py")}
    assert names == {"__init__.py", "__main__.py", "api.py", "errors.py", "version.py"}


def test_functions_and_classes_are_short() -> None:
    long = [
        f"{path.relative_to(SRC)}: {node.name} has {lines} lines"
        for path, tree in trees().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        and (lines := lines_of_code(node)) >= LIMITS[type(node)]
    ]
    assert not long


def lines_of_code(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> int:
    """From its name to its end, less docstrings."""
    assert node.end_lineno is not None
    documented = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    first = [
        n.body[0] for n in ast.walk(node) if isinstance(n, documented) and ast.get_docstring(n)
    ]
    return node.end_lineno - node.lineno - sum((d.end_lineno or 0) - d.lineno + 1 for d in first)
