"""The source of a model of one's own: what a run keeps of it, and whether it changed since."""

import ast
import hashlib
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.util import resolve_name
from pathlib import Path, PurePosixPath
from types import ModuleType
from typing import Any

from energan import models
from energan.io.run_folder import RunFolder

INSTALLED = ("site-packages", "dist-packages")


@dataclass(frozen=True)
class OwnCode:
    """files: the source of each by its path below the folder that its imports begin in."""

    files: dict[str, bytes]

    @cached_property
    def sha256(self) -> str:
        """Of paths and contents. Line ends count as one character, as for Python."""
        digest = hashlib.sha256()
        for name, source in sorted(self.files.items()):
            for part in (name.encode(), source.replace(b"\r\n", b"\n")):
                digest.update(len(part).to_bytes(8, "big") + part)
        return digest.hexdigest()

    def record(self) -> dict[str, Any]:
        """As config.json keeps it."""
        return {"sha256": self.sha256, "files": sorted(self.files)}

    def copy_to(self, folder: RunFolder) -> None:
        """Keep the files in the run's folder `code`."""
        for name, source in self.files.items():
            folder.write_file(folder.code / name, source)


def own_code(model: str) -> OwnCode | None:
    """The module of a model of one's own and the modules of its package, or beside it, that it
    imports, at any depth; None for a model of energan's, or one without source."""
    if model in models.names():
        return None
    models.find(model)
    module = sys.modules[model]
    file = _source_of(module)
    if file is None:
        return None
    package = file.name == "__init__.py"
    root, found, pending = file.parents[model.count(".") + package], {model: file}, [model]
    while pending:
        for name in _imports(pending.pop(), found):
            path = _file_below(root, name, model)
            if path is not None and name not in found:
                found[name] = path
                pending.append(name)
    return OwnCode({_below(root, path): path.read_bytes() for path in found.values()})


def changed_code(model: str, resolved: dict[str, Any]) -> OwnCode | None:
    """The model's code where it is no longer what config.json tells; None if it is, or if the run
    was begun by a version that kept none."""
    kept, now = resolved.get("code"), own_code(model)
    return None if kept is None or now is None or now.sha256 == kept["sha256"] else now


def _imports(name: str, found: Mapping[str, Path]) -> Iterator[str]:
    """The names of modules that a module's source imports, and of the packages that they are in.
    found: the file of each module, by its name."""
    file = found[name]
    package = name if file.name == "__init__.py" else name.rpartition(".")[0]
    try:
        tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError):  # of a file that is imported later, if ever
        return
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            start = "." * node.level + (node.module or "")
            if node.level > len(package.split(".")) or (node.level and not package):
                continue  # which Python refuses too
            start = resolve_name(start, package)
            names = [start, *(f"{start}.{alias.name}" for alias in node.names)]
        for name in names:
            parts = name.split(".")
            yield from (".".join(parts[: end + 1]) for end in range(len(parts)))


def _source_of(module: ModuleType) -> Path | None:
    file = getattr(module, "__file__", None)
    path = None if file is None else Path(file).resolve()
    return path if path is not None and path.suffix == ".py" and path.is_file() else None


def _file_below(root: Path, name: str, model: str) -> Path | None:
    """The source of a module of the model's package, or beside it; None of all others. It is
    looked for on disk and not among what is loaded: what a function imports is not loaded before
    it is called, and the hash must not depend on that."""
    top, *rest = name.split(".")
    if top == "energan" or (top != model.split(".")[0] and {*INSTALLED} & {*root.parts}):
        return None
    place = root.joinpath(top, *rest)
    for path in (place / "__init__.py", place.with_name(f"{place.name}.py")):
        if path.is_file():
            return path
    return None


def _below(root: Path, path: Path) -> str:
    return str(PurePosixPath(*path.relative_to(root).parts))
