"""Which files a studio may read: its folder, folders of data that were named, and uploads."""

import os
import tempfile
from collections.abc import Iterable, Sequence
from itertools import count
from pathlib import Path

from energan.data.sources.named import NAMED, folder_of
from energan.errors import DataError, RunError, describe
from energan.inference.run import Run
from energan.io.run_folder import RunFolder, find_runs
from energan.io.run_summary import DAMAGED, RunSummary, summarise
from energan.sweeps.store import SweepFolder, find_sweeps

UPLOADED = "uploaded"
"""The folder, beside the runs, of uploads that a run goes on to need."""


class Workspace:
    """folder: of the runs. data: further folders, whose images may be read. uploads: where what is
    sent to the page lies while it is open."""

    def __init__(
        self, folder: Path, data: Sequence[Path] = (), uploads: Path | None = None
    ) -> None:
        self.folder = folder.resolve()
        self.data = tuple(path.resolve() for path in data)
        self.uploads = None if uploads is None else uploads.resolve()

    # --- runs and sweeps --------------------------------------------------------------------------

    def name(self, path: Path) -> str:
        """A run's or a sweep's name: its path in the folder."""
        return path.relative_to(self.folder).as_posix()

    def runs(self) -> list[RunSummary]:
        """The runs in the folder but for trials of sweeps, the newest first; of broken ones the
        reason."""
        trials = {one.trials for one in find_sweeps(self.folder)} | {self.folder.parent}
        found = [
            run for run in find_runs(self.folder)
            if run.path.parent not in trials and _inside(run.path.parent, [self.folder])
        ]  # fmt: skip
        found.sort(key=lambda run: -_changed(run.path))
        return [self._summary(run) for run in found]

    def _summary(self, run: RunFolder) -> RunSummary:
        if outside := self._leaving(run.path):
            return RunSummary(run.path, DAMAGED, reason=_leads_outside(outside))
        return summarise(run)

    def run(self, name: str) -> RunFolder:
        """The run of that name. Raises RunError if there is none inside the folder."""
        run = RunFolder(self._named(name, "run"))
        if run.path == self.folder or not run.exists():
            raise RunError(f"there is no run {describe(name)!r} in the folder")
        if outside := self._leaving(run.path):
            raise RunError(f"{describe(name)}: {_leads_outside(outside)}")
        return run

    def sweeps(self) -> list[SweepFolder]:
        """The sweeps in the folder, by name."""
        return [one for one in find_sweeps(self.folder) if not self._leaving(one.path)]

    def sweep(self, name: str) -> SweepFolder:
        """The sweep of that name. Raises RunError if there is none inside the folder."""
        path = self._named(name, "sweep")
        if path not in [one.path for one in self.sweeps()]:
            raise RunError(f"there is no sweep {describe(name)!r} in the folder")
        return SweepFolder(path)

    def _named(self, name: str, what: str) -> Path:
        """The path that a name means. Raises RunError for one that leads elsewhere."""
        path = self.folder / name
        if (
            not name
            or ".." in Path(name).parts
            or Path(name).is_absolute()
            or not _inside(path, [self.folder])
        ):
            raise RunError(f"there is no {what} {describe(name)!r} in the folder")
        return path

    def _leaving(self, folder: Path) -> Path | None:
        """A link in the folder, or the folder itself, that leads out of the studio's own."""
        return next((path for path in _links(folder) if not _inside(path, [self.folder])), None)

    # --- images -----------------------------------------------------------------------------------

    def source(self, word: str) -> str:
        """A data source that may be read: a built-in name, or a path in one of the folders.

        Raises DataError for others, and for a folder from which links lead elsewhere.
        """
        if word in NAMED:
            return word
        path = Path(word)
        readable = self._readable()
        if not word or not _inside(path, readable):
            raise DataError(
                f"{describe(word)} is not in a folder that the studio may read: start it with "
                "--data FOLDER, or upload the images"
            )
        if path.is_dir() and (
            out := next((p for p in _links(path) if not _inside(p, readable)), None)
        ):
            raise DataError(f"{describe(word)}: {_leads_outside(out)}")
        return str(path.resolve())

    def check_data(self, run: Run) -> None:
        """Raise DataError if the run's training data lie where the studio may not read."""
        settings = run.job.settings.data
        for word in (settings.source, settings.labels, settings.tags):
            if word is not None and word not in NAMED and Path(word).is_absolute():
                self.source(word)

    def has_data(self, run: Run) -> bool:
        """Whether the studio may read the run's training data."""
        try:
            self.check_data(run)
        except DataError:
            return False
        return True

    def uploaded(self, name: str) -> Path:
        """A new folder beside the runs, for uploads that a run goes on to need; not made yet."""
        names = (name if n == 1 else f"{name}-{n}" for n in count(1))
        folders = (self.folder / UPLOADED / each.replace("/", "-") for each in names)
        return next(folder for folder in folders if not folder.exists())

    def temporary(self, name: str) -> Path:
        """A folder of that name, beside the uploads, which goes when the studio ends."""
        return Path(tempfile.mkdtemp(dir=self.uploads)) / name

    def _readable(self) -> list[Path]:
        named = (folder_of(name) for name in NAMED)
        uploads = () if self.uploads is None else (self.uploads,)
        return [self.folder, *self.data, *uploads, *(p.resolve() for p in named if p is not None)]


def _inside(path: Path, folders: Iterable[Path]) -> bool:
    """Whether there is such a path, and it lies in one of the folders, links followed."""
    try:
        found = path.resolve(strict=True)
    except (OSError, RuntimeError, ValueError):  # none, a loop of links, no possible name
        return False
    return any(found.is_relative_to(folder) for folder in folders)


def _links(folder: Path) -> Iterable[Path]:
    """The folder and the links in it."""
    yield folder
    for where, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = Path(where, name)
            if path.is_symlink():
                yield path


def _leads_outside(path: Path) -> str:
    return f"{path.name} is a link that leads outside the folders that the studio may read"


def _changed(path: Path) -> float:
    try:
        return (path / "events.jsonl").stat().st_mtime
    except OSError:
        return 0.0
