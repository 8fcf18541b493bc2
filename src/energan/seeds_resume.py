"""Going on with several runs as one cohort."""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from energan.assembly import job_of
from energan.claims import locked
from energan.core import RunError
from energan.data import open_data
from energan.experiment import adopt_again, changes_of, check_data, unbegun, write_changes
from energan.folder import RunFolder
from energan.progress import ProgressBar
from energan.seeds import Cohort, Ended, check, cohort_of, train
from energan.settings import Job
from energan.training import checkpoint
from energan.training.engine import choose
from energan.training.ranks import ALONE
from energan.watching import Judging, judge_of

Opened = tuple[Job, dict[str, Any]]


def resume(
    paths: Sequence[str | Path],
    *,
    steps: int | None = None,
    threads: int | None = None,
    data_at: str | Path | None = None,
    judging: Judging | None = None,
    progress: bool = True,
) -> Ended:
    """Go on with runs that differ in their seeds, from the newest step that all of them have.

    The options are those of `experiment.resume`. What some runs had done beyond that step is done
    again. Raises RunError if they are no cohort, are in use, or have no step in common,
    SettingError if their model's layers take no member axis, DivergenceError if every one diverged.
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
        judge = judge_of(jobs[0], data, judging, ALONE)
        for folder, job, (_, own) in zip(folders, jobs, opened, strict=True):
            write_changes(folder, job, changes, own)
            checkpoint.discard(folder.checkpoints, cohort.whole.step)
            folder.append("resume", step=cohort.whole.step)
        return train(cohort, data, folders, judge, progress)


def check_alike(folders: Sequence[RunFolder], opened: Sequence[Opened]) -> None:
    """Raise RunError unless the runs differ in nothing but their seeds, and in those."""
    first, seeds = opened[0], {opened[0][0].settings.seed: folders[0]}
    for folder, (job, resolved) in zip(folders[1:], opened[1:], strict=True):
        differing = [
            name
            for name, a, b in (
                ("model", first[0].model, job.model),
                ("settings", _asked(first[0], first[1]), _asked(job, resolved)),
                ("data", first[1]["data"]["fingerprint"], resolved["data"]["fingerprint"]),
                ("precision", first[1]["precision"], resolved["precision"]),
            )
            if a != b
        ]
        if differing:
            raise RunError(
                f"{folders[0].path} and {folder.path} differ in their {' and '.join(differing)}, "
                "not only in their seeds: resume each by itself"
            )
        seed = job.settings.seed
        if seed in seeds:
            raise RunError(
                f"{seeds[seed].path} and {folder.path} have the same seed {seed}: name runs of "
                "different seeds"
            )
        seeds[seed] = folder
    several = [
        f.path for f, (_, own) in zip(folders, opened, strict=True) if own.get("ranks", 1) > 1
    ]
    if several:
        raise RunError(f"{several[0]} was trained by several ranks: resume it by itself")


def _asked(job: Job, resolved: dict[str, Any]) -> dict[str, Any]:
    """What members share; an estimated margin is each one's own."""
    found = job.settings.model_dump(mode="json", include={"model", "training"})
    if resolved.get("margin"):
        found["model"]["margin"] = None
    return found


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
