"""Which jobs may train as one program."""

import hashlib
import json
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import torch

from energan import models
from energan.core import Domain, Optimiser, SettingError
from energan.experiment.build import build_on_meta
from energan.experiment.settings import Job, checked
from energan.training.cohort import shapes, traits, without_axis
from energan.training.distributed import asked_ranks


def jobs_of(job: Job, count: int) -> list[Job]:
    """The job with its seed and the `count` − 1 after it, each as asked for by itself."""
    first = job.settings.seed
    return [job.changed({"seed": first + i}) if i else job for i in range(count)]


def in_common(job: Job) -> dict[str, Any]:
    """What of their settings jobs of one program must have alike, by its name in a sentence."""
    settings = job.settings
    groups = {
        n: getattr(settings, n).model_dump(mode="json") for n in ("training", "data", "engine")
    }
    return {
        "model": job.model,
        **{f"{name} settings": values for name, values in groups.items()},
        "metric of the best checkpoint": settings.output.keep_best,
    }


def check_jobs(jobs: Sequence[Job]) -> None:
    """Raise SettingError if the jobs' settings alone say that they cannot train as one program."""
    first = in_common(jobs[0])
    for job in jobs[1:]:
        own = in_common(job)
        differing = [name for name in first if first[name] != own[name]]
        if differing:
            raise SettingError(
                f"seeds that train together differ in their {' and '.join(differing)}: train "
                "those that differ as separate runs"
            )
    if len(jobs) > 1:
        check_together(jobs[0])


def check_together(job: Job) -> None:
    """Raise SettingError if the job cannot train in a cohort of several, whatever its model is."""
    if asked_ranks() > 1:
        raise SettingError("seeds train together in one process only: start without torchrun")
    if job.settings.training.on_divergence == "rollback":
        raise SettingError(
            "seeds that train together cannot be rolled back alone: use --on-divergence stop, "
            "or train them separately (--together processes)"
        )


def cohort_key(job: Job, domain: Domain) -> str:
    """32 hexadecimal digits, equal for two different jobs exactly if they may train as one program.

    domain: of the job's data. Raises SettingError if the job does not fit it.
    """
    alike: Any = in_common(job)
    model = job.settings.model
    plain = {name: Optimiser() for name, value in model if isinstance(value, Optimiser)}
    program = _program(job.model, model.model_copy(update=plain).model_dump_json(), domain)
    streamed = job.settings.data.storage == "stream"  # which serves one run
    if program is None or streamed or job.settings.training.on_divergence == "rollback":
        alike, program = job.settings.model_dump(mode="json"), ""  # goes with no other
    what = json.dumps([job.model, alike, program], sort_keys=True)
    return hashlib.sha256(what.encode()).hexdigest()[:32]


@lru_cache(maxsize=10_000)
def _program(name: str, config: str, domain: Domain) -> str | None:
    """What members of a cohort share of a model with these settings; None if it can be in none."""
    found = models.find(name)
    settings = checked(found.config, json.loads(config))
    try:
        built = build_on_meta(name, settings, domain)
    except (NotImplementedError, RuntimeError):  # its build looks at numbers
        with torch.random.fork_rng(devices=[]):
            built = found.build(settings, domain)
    if without_axis(built.energy) or without_axis(built.sampler):
        return None
    try:
        return json.dumps([traits(built), shapes(built)])
    except TypeError:  # something that is not known by its name: it equals no other
        return None
