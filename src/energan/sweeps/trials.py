"""What a sweep consists of: trials, each known by a hash of all that its result depends on."""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from energan.data import open_data
from energan.data.settings import DataSettings
from energan.experiment.own_code import own_code
from energan.experiment.settings import Job, rebuilt
from energan.sweeps.grid import Sweep, Values
from energan.training.settings import TrainingSettings


@dataclass(frozen=True)
class Trial:
    """id: of the settings that change the result, and of the data's contents; nothing else.

    The same trial has the same id in every sweep and on every machine: the precision that counts is
    the one asked for, so that a machine with another `auto` does not do again what is done.
    """

    id: str
    values: Values
    job: Job

    def record(self) -> dict[str, Any]:
        """As JSON takes it; `of` gives the trial again."""
        job = self.job
        return {
            "id": self.id,
            "values": self.values,
            "recipe": job.recipe,
            "model": job.model,
            "settings": job.settings.model_dump(mode="json"),
            "asked": job.asked,
        }

    @classmethod
    def of(cls, record: dict[str, Any]) -> "Trial":
        job = rebuilt(record["recipe"], record["model"], record["settings"], record["asked"])
        return cls(record["id"], record["values"], job)


def trials_of(
    sweep: Sweep,
    values: Iterable[Values] | None = None,
    *,
    scale: str | float = 1,
    change: Callable[[Job], Job] = lambda job: job,
    fingerprint: Callable[[DataSettings], str] = lambda data: open_data(data).fingerprint,
) -> Iterator[Trial]:
    """The sweep's trials, all of them or those of `values`.

    change: what the user changes of each besides. fingerprint: of data, if not by opening it; asked
    for once. Raises SettingError if a trial does not fit its recipe, DataError if its data cannot
    be opened.
    """
    known: dict[str, str] = {}
    for chosen in sweep.values() if values is None else values:
        job = change(sweep.job(chosen, scale))
        data = job.settings.data.model_dump_json()
        if data not in known:
            known[data] = fingerprint(job.settings.data)
        yield Trial(trial_id(job, known[data]), chosen, job)


def trial_id(job: Job, fingerprint: str) -> str:
    """16 hexadecimal digits.

    Beside what a run's hash covers: what decides whether a trial is done or diverged, and on what
    part of the data it may be scored, where they are not as usual.
    """
    settings, usual = job.settings, TrainingSettings()
    besides = {
        name: getattr(settings.training, name)
        for name in ("on_divergence", "rollbacks", "guard")
        if getattr(settings.training, name) != getattr(usual, name)
    }
    if settings.data.held_out != DataSettings().held_out:
        besides["held_out"] = settings.data.held_out
    code = own_code(job.model)
    known = job.hash(
        fingerprint, settings.engine.precision, code=None if code is None else code.sha256
    )
    if not besides:
        return known
    text = json.dumps([known, besides], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
