"""What a sweep consists of: trials, each known by a hash of all that its result depends on."""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from energan.data import open_data
from energan.data.settings import DataSettings
from energan.experiment.settings import Job, rebuilt
from energan.sweep.grid import Sweep, Values
from energan.training.settings import TrainingSettings

Item = TypeVar("Item")


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


Fingerprint = Callable[[DataSettings], str]


@dataclass
class Fingerprints:
    """Of the contents of data, each opened once."""

    known: dict[str, str] = field(default_factory=dict)

    def __call__(self, settings: DataSettings) -> str:
        key = json.dumps(settings.model_dump(mode="json"), sort_keys=True)
        if key not in self.known:
            self.known[key] = open_data(settings).fingerprint
        return self.known[key]


def trials_of(
    sweep: Sweep,
    values: Iterable[Values] | None = None,
    *,
    scale: str | float = 1,
    change: Callable[[Job], Job] = lambda job: job,
    fingerprint: Fingerprint | None = None,
) -> Iterator[Trial]:
    """The sweep's trials, all of them or those of `values`.

    change: what the user changes of each besides. fingerprint: of data, if not by opening it.
    Raises SettingError if a trial does not fit its recipe, DataError if its data cannot be opened.
    """
    of_data = fingerprint or Fingerprints()
    for chosen in sweep.values() if values is None else values:
        job = change(sweep.job(chosen, scale))
        yield Trial(trial_id(job, of_data(job.settings.data)), chosen, job)


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
    known = job.hash(fingerprint, settings.engine.precision)
    if not besides:
        return known
    text = json.dumps([known, besides], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def packages_of(
    trials: Sequence[Trial],
    shape: Callable[[Trial], str],
    fit: Callable[[Sequence[Trial]], int],
) -> list[list[Trial]]:
    """All trials in packages, each of which trains as one program, in the order of their first.

    shape: equal for trials that may train together. fit: how many of a group of one shape do; a
    group of more is split into as few even parts as there can be.
    """
    groups: dict[str, list[Trial]] = {}
    for trial in trials:
        groups.setdefault(shape(trial), []).append(trial)
    place = {trial.id: i for i, trial in enumerate(trials)}
    found = [part for group in groups.values() for part in split(group, fit(group))]
    return sorted(found, key=lambda package: place[package[0].id])


def split(members: Sequence[Item], most: int) -> list[list[Item]]:
    """As few parts of at most so many as there can be, all of a size or one less: 24 by 20 are
    12 and 12."""
    parts = -(-len(members) // max(1, most))
    size, more = divmod(len(members), max(1, parts))
    ends = [(i + 1) * size + min(i + 1, more) for i in range(parts)]
    return [list(members[a:b]) for a, b in zip([0, *ends], ends, strict=False)]
