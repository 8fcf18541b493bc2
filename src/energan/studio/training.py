"""Trainings that are processes of their own: they outlive the page."""

import re
from dataclasses import dataclass
from pathlib import Path

from energan.errors import RunError, SettingError, describe
from energan.io.processes import start_detached
from energan.io.run_folder import RunFolder
from energan.studio.workspace import Workspace

LOGS = ".studio"
"""The folder, beside the runs, of what trainings print."""
NAME = re.compile(r"[\w][\w .+-]{0,99}")


@dataclass(frozen=True)
class Training:
    """What is asked for: a recipe, a source that the studio may read, a new run's name, and
    settings as the command line takes them, without --data and --out."""

    recipe: str
    source: str
    name: str
    words: tuple[str, ...] = ()


def train(workspace: Workspace, asked: Training) -> Path:
    """Start it; the path of its log. Raises EnerganError for what cannot be."""
    out = new_folder(workspace, asked.name)
    source = workspace.source(asked.source)
    words = ["energan", "train", asked.recipe, "--data", source, "--out", str(out), *asked.words]
    return _start(workspace, asked.name, words)


def resume(workspace: Workspace, name: str) -> Path:
    """Let a run go on from its newest checkpoint. Raises RunError if it is trained now, or done."""
    folder = workspace.run(name)
    state = folder.state()
    if state in ("running", "finished"):
        raise RunError(f"{name} is {state}")
    return _start(workspace, name, ["energan", "resume", str(folder.path)])


def new_folder(workspace: Workspace, name: str) -> Path:
    """Where a new run of this name goes. Raises SettingError for a name that no run can have, or
    that one has."""
    if not NAME.fullmatch(name):
        raise SettingError(
            f"the name {describe(name)!r}: use letters, digits, spaces, dots and hyphens"
        )
    path = workspace.folder / name
    if path.exists() or path.is_symlink():
        raise SettingError(f"{name} is there already: choose another name")
    return path


def log_of(workspace: Workspace, name: str) -> str:
    """The last lines that a training printed; "" if it was not started here."""
    path = _log(workspace, name)
    if not path.is_file() or path.is_symlink():
        return ""
    lines = path.read_text(encoding="utf8", errors="replace").splitlines()
    return "\n".join(lines[-12:])


def begun(workspace: Workspace, name: str) -> bool:
    """Whether the run's folder is there, which it is once the data are read."""
    return RunFolder(workspace.folder / name).exists()


def _start(workspace: Workspace, name: str, words: list[str]) -> Path:
    log = _log(workspace, name)
    log.parent.mkdir(exist_ok=True)
    start_detached(words, workspace.folder, log)
    return log


def _log(workspace: Workspace, name: str) -> Path:
    return workspace.folder / LOGS / f"{name.replace('/', '-')}.log"
