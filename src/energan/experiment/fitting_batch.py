"""A training that runs out of a GPU's memory says which batch size would fit."""

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, TypeVar

import torch

from energan.core import EnerganError, SettingError
from energan.core.accelerators import free_accelerator_memory
from energan.data import open_data
from energan.experiment.build import cohort_of
from energan.experiment.margin import with_any_margin
from energan.experiment.settings import Job
from energan.training.device import choose, torch_globals_kept

T = TypeVar("T")
STEPS = 2
"""Of a trial with a smaller batch: the second one finds what optimisers keep."""


def tells_fitting_batch(start: Callable[..., T]) -> Callable[..., T]:
    """`start`, which trains a job, with that said where a person watches its progress.

    Smaller batches are tried for two steps each. Raises SettingError that names the size.
    """

    @wraps(start)
    def started(jobs: Sequence[Job], *given: Any, **how: Any) -> T:
        try:
            return start(jobs, *given, **how)
        except torch.OutOfMemoryError:
            if len(jobs) > 1 or not how.get("progress", True):
                raise
        # after the error is left, whose traceback holds what did not fit
        free_accelerator_memory()
        raise SettingError(_advice(jobs[0]))

    return started


def _advice(job: Job) -> str:
    device, size = choose(job.settings.engine, switches=False).device, fitting_batch(job)
    asked = job.settings.training.batch_size
    if size is None:
        return (
            f"out of memory on {device}, even with a smaller batch: use smaller networks or images "
            "(--data.size), or --device cpu"
        )
    return (
        f"out of memory on {device} with batches of {asked}: batches of {size} fit "
        f"(--training.batch-size {size})"
    )


@torch_globals_kept()
def fitting_batch(job: Job) -> int | None:
    """The largest of a half, a quarter, ... of the job's batch that trains; None if none does."""
    size = job.settings.training.batch_size // 2
    while size and not _trains(job, size):
        free_accelerator_memory()
        size //= 2
    return size or None


def _trains(job: Job, size: int) -> bool:
    job = with_any_margin(job).resolved({"training": {"batch_size": size}})
    try:
        loop = cohort_of([job], open_data(job.settings.data), choose(job.settings.engine)).loop
        for _ in range(STEPS):
            loop.advance()
        loop.flush_figures()
    except (torch.OutOfMemoryError, EnerganError):  # or a batch that the model cannot take
        return False
    return True
