"""Arrays to train on: written to the run's folder, from where every later command reads them."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from energan.data.from_python import TrainingData, save_training_data
from energan.errors import SettingError
from energan.experiment.folders import check_free, claim, endings
from energan.experiment.settings import Job
from energan.io.run_folder import RunFolder
from energan.training.distributed import asked_ranks


@contextmanager
def stored_data(
    jobs: Sequence[Job], folders: Sequence[str | Path] | None, data: TrainingData
) -> Iterator[tuple[list[Job], list[Path]]]:
    """The jobs with `data` as their source, and their folders, the first of which holds it.

    What was written is gone again if no run was begun there. Raises DataError for what cannot be
    trained on, RunError if a folder is taken.
    """
    if asked_ranks() > 1:
        raise SettingError(
            "arrays train in one process only: save them as .npz, which torchrun's processes "
            "can read"
        )
    check_free(folders or ())
    paths = claim(jobs[0].recipe, folders, endings(jobs))
    first = RunFolder(paths[0])
    try:
        save_training_data(data, first.data)
        change = {"data": {"source": str(first.data.resolve())}}
        yield [job.changed(change) for job in jobs], paths
    finally:
        if not first.exists():
            first.data.unlink(missing_ok=True)
        for path in paths:
            if path.is_dir() and not any(path.iterdir()):
                path.rmdir()
