"""Which trials of a sweep are asked for, what they change, and how they are scored."""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from energan.core import SettingError
from energan.data import open_data
from energan.experiment.settings import Job
from energan.io.console import progress, warn
from energan.io.nested import dotted
from energan.io.text import agree, plural
from energan.sweeps.grid import Sweep, Values
from energan.sweeps.sampling import sample
from energan.sweeps.store import SAMPLES, Definition
from energan.sweeps.trials import Trial, trials_of
from energan.sweeps.validation import ranking, suited
from energan.version import __version__


@dataclass(frozen=True)
class SweepRequest:
    """Trials of a sweep: all of them, or a sample of `count`.

    scale: of all counts of training steps. changes: of the settings of every trial, nested. count,
    seed: how many trials, chosen to cover all values evenly, and the seed of that choice; None for
    all. metrics: scores of each trial, the first ranks; the sweep's own, or what suits the data, if
    there are none. samples: drawn for the scores. words: after `energan sweep`, that ask for the
    same trials.
    """

    sweep: Sweep
    scale: str | float = 1
    changes: dict[str, Any] = field(default_factory=dict)
    count: int | None = None
    seed: int = 0
    metrics: tuple[str, ...] = ()
    samples: int = SAMPLES
    words: str = ""

    def __post_init__(self) -> None:
        bounds = {"sample": (self.count, 1), "sample-seed": (self.seed, 0)}
        for name, (value, least) in {**bounds, "samples": (self.samples, 2)}.items():
            if value is not None and value < least:
                raise SettingError(f"--{name} {value}: give at least {least}")

    def trials(self) -> list[Trial]:
        """The trials that are asked for; of those that are the same by another name, one."""
        count, values = self.sweep.count, None
        if self.count is not None:
            count, values = self.count, sample(self.sweep, self.count, self.seed)
        found = {trial.id: trial for trial in self._each(values, count)}
        if len(found) < count:
            same = count - len(found)
            are = agree(same, "are")
            warn(
                f"{same} of {plural(count, 'combination')} {are} the same trial as another one, "
                f"and {are} not run again"
            )
        return list(found.values())

    def _each(self, values: list[Values] | None, count: int) -> Iterator[Trial]:
        trials = self.trials_of(values)
        yield next(trials)  # opens the data
        with progress("trials", count - 1) as advance:
            for trial in trials:
                yield trial
                advance()

    def trials_of(self, values: list[Values] | None) -> Iterator[Trial]:
        return trials_of(self.sweep, values, scale=self.scale, change=self._changed)

    def id_of(self, values: Values) -> str:
        """The id of the trial of these values."""
        return next(self.trials_of([values])).id

    def definition(self, trials: Sequence[Trial]) -> Definition:
        """What sweep.json is to say."""
        sweep, first = self.sweep, trials[0]
        metrics = ranking(self.metrics or sweep.metrics)
        metrics = metrics or suited(first.job, open_data(first.job.settings.data))
        words = self.words + ("" if self.samples == SAMPLES else f" --samples {self.samples}")
        words += f" --metrics {' '.join(self.metrics)}" if self.metrics else ""
        return {
            "name": sweep.name,
            "summary": sweep.summary,
            "recipe": sweep.recipe,
            "axes": {axis: list(its) for axis, its in sweep.axes.items()},
            "count": sweep.count,
            "metrics": list(metrics),
            "samples": self.samples,
            "scale": str(self.scale),
            "changes": self.changes,
            "words": words,
            "example": {"id": first.id, "values": first.values},
            "energan": __version__,
            "trials": [trial.id for trial in trials],
        }

    def _changed(self, job: Job) -> Job:
        return job.changed(self.changes) if self.changes else job


def scale_to(sweep: Sweep, steps: int) -> str:
    """The scale by which the sweep's first trial trains for so many steps."""
    whole = sweep.job(next(sweep.values())).settings.training.steps
    return f"{steps}/{whole}"


def axis_settings(sweep: Sweep) -> set[str]:
    """The dotted settings that the sweep itself sets of each trial."""
    return {
        name
        for values in sweep.values()
        for name, _ in dotted(values if sweep.settings is None else sweep.settings(values))
    }


def refuse_axes(sweep: Sweep, changes: Mapping[str, Any]) -> None:
    """Raise SettingError if the changes name what the sweep itself sets of each trial."""
    own = axis_settings(sweep)
    for name, _ in dotted(changes):
        if name in own:
            raise SettingError(
                f"{name}: the sweep {sweep.name} sets this for each trial; leave it out, or "
                "write your own sweep"
            )


def words_of(word: str, length: Sequence[str], changes: Mapping[str, Any]) -> str:
    """The words after `energan sweep` that ask for a sweep with these changes. length: those that
    say how long."""
    return shlex.join([word, *length, *_options(changes)])


def option_of(name: str) -> str:
    """A setting as options write it."""
    return name.replace("_", "-")


def _options(changes: Mapping[str, Any], prefix: str = "--") -> Iterator[str]:
    for name, value in changes.items():
        option = f"{prefix}{option_of(name)}"
        if isinstance(value, Mapping):
            yield from _options(value, f"{option}.")
        elif isinstance(value, bool):
            yield option if value else f"{prefix}no-{option_of(name)}"
        else:
            yield option
            yield from map(str, value if isinstance(value, list | tuple) else [value])
