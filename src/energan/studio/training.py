"""Trainings that are processes of their own: they outlive the page."""

import os
import re
import signal
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from energan.errors import RunError, SettingError, describe
from energan.io.documents import Document, read_document
from energan.io.files import write_atomically
from energan.io.processes import is_logging, start_detached
from energan.io.run_folder import RunFolder
from energan.io.run_summary import RunSummary
from energan.studio.workspace import Workspace

LOGS = ".studio"
"""The folder, beside the runs, of what trainings print, and of those that have no run yet."""
NAME = re.compile(r"[\w][\w .+-]{0,99}")
STARTING, FAILED = "starting", "failed"
"""States of a training before it has a run's folder: it reads its data and times some steps."""


@dataclass(frozen=True)
class Training:
    """What is asked for: a recipe, a source that the studio may read, a new run's name, and
    settings as the command line takes them, without --data and --out."""

    recipe: str
    source: str
    name: str
    words: tuple[str, ...] = ()


class _Started(Document):
    """LOGS/NAME.json: a training that had no run's folder yet when it was last looked at."""

    pid: int
    recipe: str


def train(workspace: Workspace, asked: Training) -> Path:
    """Start it; the path of its log. Raises EnerganError for what cannot be."""
    out = new_folder(workspace, asked.name)
    source = workspace.source(asked.source)
    words = ["energan", "train", asked.recipe, "--data", source, "--out", str(out), *asked.words]
    log, pid = _start(workspace, asked.name, words)
    started = _Started(pid=pid, recipe=asked.recipe)
    write_atomically(_record(workspace, asked.name), started.model_dump_json() + "\n")
    return log


def resume(workspace: Workspace, name: str) -> Path:
    """Let a run go on from its newest checkpoint. Raises RunError if it is trained now, or done."""
    folder = workspace.run(name)
    state = folder.state()
    if state in ("running", "finished"):
        raise RunError(f"{name} is {state}")
    return _start(workspace, name, ["energan", "resume", str(folder.path)])[0]


def stop(workspace: Workspace, name: str) -> None:
    """Stop a training after a checkpoint. One that has no run yet ends at once and is forgotten, as
    is one that failed so early. Raises RunError if it is not trained here."""
    found = unbegun(workspace, name)
    if found is None:
        workspace.run(name).stop()
        return
    if found.state == STARTING:
        with suppress(ProcessLookupError):  # it has just ended
            os.kill(_read(_record(workspace, name)).pid, signal.SIGTERM)
    _record(workspace, name).unlink(missing_ok=True)


def new_folder(workspace: Workspace, name: str) -> Path:
    """Where a new run of this name goes. Raises SettingError for a name that no run can have, or
    that one has."""
    if not NAME.fullmatch(name):
        raise SettingError(
            f"the name {describe(name)!r}: use letters, digits, spaces, dots and hyphens"
        )
    path = workspace.folder / name
    if path.exists() or path.is_symlink() or _state(workspace, name) == STARTING:
        raise SettingError(f"{name} is there already: choose another name")
    return path


def log_of(workspace: Workspace, name: str) -> str:
    """The last lines that a training printed; "" if it was not started here."""
    path = _log(workspace, name)
    if not path.is_file() or path.is_symlink():
        return ""
    lines = path.read_text(encoding="utf8", errors="replace").splitlines()
    return "\n".join(lines[-12:])


def summaries(workspace: Workspace) -> list[RunSummary]:
    """Trainings that have no run yet, then the runs, the newest first."""
    records = (workspace.folder / LOGS).glob("*.json")
    early = [unbegun(workspace, path.stem) for path in sorted(records)]
    return [*(one for one in early if one is not None), *workspace.runs()]


def unbegun(workspace: Workspace, name: str) -> RunSummary | None:
    """A training that has no run yet, with the last line that it printed; None for others."""
    state = _state(workspace, name)
    if not state:
        return None
    last = log_of(workspace, name).rpartition("\n")[2].removeprefix("energan: ")
    if state == STARTING:
        last = last or "reading the images, then timing some steps"
    recipe = _read(_record(workspace, name)).recipe
    return RunSummary(workspace.folder / name, state, recipe, reason=last or "it was ended")


def _state(workspace: Workspace, name: str) -> str:
    """STARTING or FAILED; "" of a run, and of what was not started here."""
    record = _record(workspace, name)
    if not record.is_file() or record.is_symlink():
        return ""
    if RunFolder(workspace.folder / name).exists():
        record.unlink(missing_ok=True)
        return ""
    return STARTING if is_logging(_log(workspace, name)) else FAILED


def _read(record: Path) -> _Started:
    return read_document(record, _Started, remedy="remove it")


def _start(workspace: Workspace, name: str, words: list[str]) -> tuple[Path, int]:
    log = _log(workspace, name)
    log.parent.mkdir(exist_ok=True)
    return log, start_detached(words, workspace.folder, log)


def _log(workspace: Workspace, name: str) -> Path:
    return workspace.folder / LOGS / f"{name.replace('/', '-')}.log"


def _record(workspace: Workspace, name: str) -> Path:
    return _log(workspace, name).with_suffix(".json")
