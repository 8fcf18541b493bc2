"""Which folder a run is written to, and that no other process writes there."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path
from typing import Any

from energan.data import SOURCES, DataSettings
from energan.data.sources.label_csv import find_labels
from energan.errors import RunError
from energan.experiment.settings import Job
from energan.io.run_folder import RunFolder
from energan.training.distributed import Distributed


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


@contextmanager
def locked(folder: RunFolder, ranks: Distributed) -> Iterator[None]:
    """Hold the run for the first rank; its error, if another process has it, ends all of them."""
    with ExitStack() as stack:
        ranks.first(lambda: stack.enter_context(folder.lock()))
        yield


def check_free(folder: RunFolder) -> None:
    """Raise RunError if the folder holds a run, or anything else."""
    if folder.exists():
        raise RunError(
            f"{folder.path} already holds a run: go on with it by "
            f"`energan resume {folder.path}`, or choose another --out"
        )
    if folder.path.exists() and not folder.path.is_dir():
        raise RunError(f"--out {folder.path} is a file; name a folder")
    if folder.path.is_dir() and any(not p.name.startswith(".") for p in folder.path.iterdir()):
        raise RunError(f"--out {folder.path} holds other files; name a new or an empty folder")


def claim(job: Job, out: str | Path | None) -> RunFolder:
    """The folder to write to, made; without `out` the first free runs/RECIPE, runs/RECIPE-2, ..."""
    if out is not None:
        Path(out).mkdir(parents=True, exist_ok=True)
        return RunFolder(out)
    return RunFolder(_first_free(job, [""])[0])


def claim_seeds(job: Job, seeds: list[int], out: str | Path | None) -> list[RunFolder]:
    """A folder for each seed, made: OUT/s0, OUT/s1, ..., or the first free of runs/RECIPE-s0, ...,
    runs/RECIPE-2-s0, ...

    Raises RunError if one of OUT's is taken.
    """
    if out is None:
        return [RunFolder(path) for path in _first_free(job, [f"-s{seed}" for seed in seeds])]
    folders = check_seeds(seeds, out)
    for folder in folders:
        folder.path.mkdir(parents=True, exist_ok=True)
    return folders


def check_seeds(seeds: list[int], out: str | Path) -> list[RunFolder]:
    """The folders OUT/s0, OUT/s1, ... of seeds. Raises RunError if one of them is taken."""
    if Path(out).exists() and not Path(out).is_dir():
        raise RunError(f"--out {out} is a file; name a folder")
    folders = [RunFolder(Path(out) / f"s{seed}") for seed in seeds]
    for folder in folders:
        check_free(folder)
    return folders


def _first_free(job: Job, endings: list[str]) -> list[Path]:
    """New folders runs/RECIPE + ending, all of one number."""
    name = Path("runs") / Path(job.recipe).name
    for number in count(1):
        start = name.name if number == 1 else f"{name.name}-{number}"
        made: list[Path] = []
        try:
            for ending in endings:
                path = name.with_name(start + ending)
                path.mkdir(parents=True)
                made.append(path)
        except FileExistsError:
            for path in made:
                path.rmdir()
            continue
        return made
    raise AssertionError  # count() has no end
