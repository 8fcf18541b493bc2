"""Which folder a run is written to, and that no other process writes there."""

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

from energan.data import SOURCES, DataSettings
from energan.data.sources.folders.label_csv import find_csv
from energan.errors import RunError
from energan.experiment.settings import Job
from energan.io.run_folder import RunFolder
from energan.training.distributed import Distributed


def absolute_path(source: str) -> str:
    """A path from the root; a name as it is."""
    path = Path(source)
    if source in SOURCES or path.is_absolute() or not path.exists():
        return source
    return str(path.resolve())


def absolute_paths(data: DataSettings) -> dict[str, Any]:
    """The settings that name files, with paths from the root."""
    named: dict[str, Any] = {"source": absolute_path(data.source)}
    folder = Path(named["source"]).expanduser()
    for name, word in data.csvs.items():
        if folder.is_dir():
            named[name] = str(find_csv(word, folder, f"data.{name}").resolve())
    return named


def moved_data(data: DataSettings, source: str) -> dict[str, Any]:
    """The same for data that is elsewhere now, with the CSVs that lay in its folder."""
    named: dict[str, Any] = {"source": absolute_path(source)}
    for name, word in data.csvs.items():
        if Path(word).is_relative_to(data.source):
            named[name] = str(Path(named["source"]) / Path(word).relative_to(data.source))
    return named


@contextmanager
def locked(folders: Sequence[RunFolder], ranks: Distributed) -> Iterator[None]:
    """Hold the runs for the first rank; its error, if another process has one, ends all of them."""
    with ExitStack() as stack:
        for folder in folders:
            ranks.first(partial(stack.enter_context, folder.lock()))
        yield


def check_free(paths: Iterable[str | Path], data: str | None = None) -> None:
    """Raise RunError if one of the folders holds a run, or anything else, or cannot be made.

    data: the source that is trained on, which may lie there.
    """
    own = None if data is None else Path(data)
    for folder in map(RunFolder, paths):
        if folder.exists():
            raise RunError(
                f"{folder.path} already holds a run: resume it with "
                f"`energan resume {folder.path}`, or choose another --out"
            )
        nearest = next(p for p in (folder.path, *folder.path.parents) if p.exists())
        if not nearest.is_dir():
            raise RunError(f"--out {nearest} is a file; name a folder")
        if not os.access(nearest, os.W_OK):
            raise _not_made(folder.path, f"you may not write to {nearest}")
        there = nearest.iterdir() if nearest == folder.path else ()
        if any(not p.name.startswith(".") and p.resolve() != own for p in there):
            raise RunError(f"--out {nearest} holds other files; name a new or an empty folder")


def _not_made(path: Path, why: str | None) -> RunError:
    return RunError(f"--out {path}: this folder cannot be made ({why}); choose another place")


def seed_folders(out: str | Path | None, jobs: Sequence[Job]) -> list[Path] | None:
    """The folders OUT/s0, OUT/s1, ... of jobs that differ in their seeds; None without `out`."""
    return None if out is None else [Path(out) / f"s{job.settings.seed}" for job in jobs]


def endings(jobs: Sequence[Job]) -> list[str]:
    """What the names of the jobs' folders end with, where the user names none."""
    return [""] if len(jobs) == 1 else seed_endings(jobs)


def seed_endings(jobs: Sequence[Job]) -> list[str]:
    return [f"-s{job.settings.seed}" for job in jobs]


def claim(recipe: str, folders: Sequence[str | Path] | None, endings: Sequence[str]) -> list[Path]:
    """The folders to write to, made; None: new ones, the first free runs/RECIPE + each ending, or
    runs/RECIPE-2 + each ending, ..."""
    if folders is not None:
        for path in map(Path, folders):
            try:
                path.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise _not_made(path, error.strerror) from None
        return [Path(path) for path in folders]
    name = Path(recipe).name
    for number in count(1):
        start = name if number == 1 else f"{name}-{number}"
        made: list[Path] = []
        try:
            for ending in endings:
                path = Path("runs") / (start + ending)
                path.mkdir(parents=True)
                made.append(path)
        except FileExistsError:
            for path in made:
                path.rmdir()
            continue
        return made
    raise AssertionError  # count() has no end
