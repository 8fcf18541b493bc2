"""Going on with several runs as one cohort."""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from energan.core import RunError
from energan.data import open_data
from energan.experiment.build import job_of
from energan.experiment.callbacks import MakeCheckpointMetric, checkpoint_metric_of
from energan.experiment.callbacks.progress import ProgressBar
from energan.experiment.cohort import Cohort, Ended, check, cohort_of, train
from energan.experiment.folders import locked
from energan.experiment.settings import Job
from energan.experiment.start import adopt_again, changes_of, check_data, unbegun, write_changes
from energan.io.run_folder import RunFolder
from energan.training import checkpoint
from energan.training.device import choose
from energan.training.distributed import ALONE
from energan.training.loop import Hook

Opened = tuple[Job, dict[str, Any]]


def resume(
    paths: Sequence[str | Path],
    *,
    steps: int | None = None,
    threads: int | None = None,
    data_at: str | Path | None = None,
    also: Sequence[Hook] = (),
    checkpoint_metric: MakeCheckpointMetric | None = None,
    progress: bool = True,
) -> Ended:
    """Go on with runs that differ in values and not in shapes, from the newest step that all have.

    The options are those of `experiment.resume`; also: as of `seeds.start_jobs`. What some runs had
    done beyond that step is done again. Raises RunError if they are no cohort, are in use, or have
    no step in common, SettingError if they cannot train as one program, DivergenceError if every
    one diverged.
    """
    folders = [RunFolder(path) for path in paths]
    opened = [job_of(folder) for folder in folders]
    check_alike(folders, opened)
    changes = changes_of(opened[0][0], steps, None, data_at)
    jobs = [job.changed(changes) for job, _ in opened]
    check(jobs[0], len(jobs))
    resolved = opened[0][1]
    settings = {"precision": resolved["precision"], "threads": threads or resolved["threads"]}
    engine = choose(jobs[0].settings.engine.model_copy(update=settings))
    with ExitStack() as stack:
        for folder in folders:
            stack.enter_context(locked(folder, ALONE))
        data = open_data(jobs[0].settings.data)
        check_data(folders[0], jobs[0], data, resolved)
        cohort = cohort_of(jobs, data, engine)
        _restore(cohort, folders, opened)
        if cohort.whole.step >= jobs[0].settings.training.steps:
            raise RunError(
                f"{folders[0].path} and those beside it have all their {cohort.whole.step} steps; "
                "give --steps to train further"
            )
        metric = checkpoint_metric_of(jobs[0], data, checkpoint_metric, ALONE)
        for folder, job, (_, own) in zip(folders, jobs, opened, strict=True):
            write_changes(folder, job, changes, own)
            checkpoint.discard(folder.checkpoints, cohort.whole.step)
            folder.append("resume", step=cohort.whole.step)
        return train(cohort, data, folders, metric, progress, also)


def check_alike(folders: Sequence[RunFolder], opened: Sequence[Opened]) -> None:
    """Raise RunError unless the runs are different ones that trained alike on the same data."""
    first = folders[0]
    for i, folder in enumerate(folders):
        a, b = _alike(*opened[0]), _alike(*opened[i])
        if differing := [name for name in a if a[name] != b[name]]:
            raise RunError(
                f"{first.path} and {folder.path} differ in their {' and '.join(differing)}, which "
                "a cohort has in common: resume each by itself"
            )
        if any(folder.path.resolve() == other.path.resolve() for other in folders[:i]):
            raise RunError(f"{folder.path} is named twice: name different runs")
        if opened[i][1].get("ranks", 1) > 1:
            raise RunError(f"{folder.path} was trained by several ranks: resume it by itself")


def _alike(job: Job, resolved: dict[str, Any]) -> dict[str, Any]:
    """What members share, beside what `cohort_of` looks at."""
    return {
        "model": job.model,
        "settings of training": job.settings.training,
        "data": resolved["data"]["fingerprint"],
        "precision": resolved["precision"],
        "figure of the best checkpoint": job.settings.output.keep_best,
    }


def common_step(folders: Sequence[RunFolder]) -> int | None:
    """The newest step of which every run has a checkpoint that verifies; None if there is none."""
    shared = set.intersection(
        *({checkpoint.step_of(p) for p in checkpoint.listed(f.checkpoints)} for f in folders)
    )
    for step in sorted(shared, reverse=True):
        found = [checkpoint.newest_good(f.checkpoints, step + 1)[0] for f in folders]
        if all(checkpoint.step_of(path) == step for path in found):
            return step
    return None


def _restore(cohort: Cohort, folders: Sequence[RunFolder], opened: Sequence[Opened]) -> None:
    """Put every member back to the newest step that all have.

    Raises RunError if they have none in common.
    """
    step = common_step(folders)
    if step is None and any(unbegun(folder) for folder in folders):
        for folder in folders:  # killed while the first checkpoints were written
            if any(checkpoint.step_of(p) for p in checkpoint.listed(folder.checkpoints)):
                raise RunError(f"{_stand(folders)}: resume each by itself")
        for member, folder, (_, resolved) in zip(cohort.members, folders, opened, strict=True):
            adopt_again(member, folder, resolved["from"])
        return
    if step is None:
        raise RunError(f"{_stand(folders)}: resume each by itself")
    for member, folder in zip(cohort.members, folders, strict=True):
        checkpoint.restore(folder.checkpoints / checkpoint.checkpoint_name(step), member)
        newest = checkpoint.step_of(checkpoint.listed(folder.checkpoints)[-1])
        if newest > step:
            ProgressBar().say(
                f"{folder.path} goes back from step {newest} to {step}, the newest that all have"
            )


def _stand(folders: Sequence[RunFolder]) -> str:
    stand = [
        f"{f.path} at {[checkpoint.step_of(p) for p in checkpoint.listed(f.checkpoints)][-1:]}"
        for f in folders
    ]
    return f"the runs have no step in common ({', '.join(stand)})"
