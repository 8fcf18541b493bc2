"""Where a job's files lie: paths from the root, so that a run finds its data from any folder."""

from pathlib import Path
from typing import Any

from energan.data import SOURCES, DataSettings
from energan.data.label_files import find_labels


def whole_path(source: str) -> str:
    """A path from the root; a name as it is."""
    path = Path(source)
    if source in SOURCES or path.is_absolute() or not path.exists():
        return source
    return str(path.resolve())


def whole_paths(data: DataSettings) -> dict[str, Any]:
    """The settings that name files, with paths from the root."""
    named: dict[str, Any] = {"source": whole_path(data.source)}
    if data.labels is not None and (folder := Path(named["source"]).expanduser()).is_dir():
        named["labels"] = str(find_labels(data.labels, folder).resolve())
    return named


def moved(data: DataSettings, source: str) -> dict[str, Any]:
    """The same for data that is elsewhere now, with the labels' file if that lay in its folder."""
    named: dict[str, Any] = {"source": whole_path(source)}
    if data.labels is not None and Path(data.labels).is_relative_to(data.source):
        named["labels"] = str(Path(named["source"]) / Path(data.labels).relative_to(data.source))
    return named
