"""The words after `energan sweep NAME`: which trials they ask for."""

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from energan.cli.options import take_option
from energan.cli.settings_options import ALIASES, parse_with_settings
from energan.errors import SettingError
from energan.experiment.settings import Job
from energan.io.console import progress, say
from energan.io.nested import dotted
from energan.sweep.definition import find
from energan.sweep.grid import Sweep, Values
from energan.sweep.plan import Shard
from energan.sweep.sampling import sample
from energan.sweep.trials import Trial, trials_of


@dataclass(frozen=True)
class SweepOptions:
    """What was asked for. options: the command's own. scale: of all counts of steps.

    changes: of the settings of every trial. threads: of each process, if they were named. words:
    those that ask for the same trials.
    """

    sweep: Sweep
    options: Any
    scale: str | float
    changes: dict[str, Any]
    threads: int | None
    words: str

    @property
    def shard(self) -> Shard | None:
        """(K, N) of --shard K/N. Raises SettingError if it is none."""
        text = self.options.shard
        if text is None:
            return None
        k, _, n = text.partition("/")
        if not (k.isdecimal() and n.isdecimal() and 1 <= int(k) <= int(n)):
            raise SettingError(f"--shard {text}: K/N, as 1/4 to 4/4 for four parts")
        return int(k), int(n)

    def trials(self) -> list[Trial]:
        """The trials that are asked for; of those that are the same by another name, one."""
        sweep, count = self.sweep, self.options.sample
        if count is None:
            count, values = sweep.count, None
        else:
            values = sample(sweep, count, self.options.sample_seed)
        found = {trial.id: trial for trial in self._each(values, count)}
        if len(found) < count:
            say(
                f"energan: {count - len(found)} of {count} combinations are the same trial as "
                "another one, and are not run again"
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

    def _changed(self, job: Job) -> Job:
        return job.changed(self.changes) if self.changes else job


def options_of(command: type[Any], word: str, args: list[str]) -> SweepOptions:
    """Raises SettingError for a sweep or a setting that does not exist, or that the sweep sets."""
    sweep = find(word)
    refuse_axes(sweep, args)
    scale, rest, length = _scale(sweep, args)
    first = sweep.job(next(sweep.values()), scale)
    asked, changed = parse_with_settings(command, first.settings, rest, f"energan sweep {word}")
    if asked.scale is not None or "steps" in changed.get("training", {}):
        raise SettingError("--steps or --scale is given twice: give one of them, once")
    threads = changed.get("engine", {}).pop("threads", None)
    changed = {group: values for group, values in changed.items() if values != {}}
    words = shlex.join([word, *length, *_options(changed)])
    return SweepOptions(sweep, asked, scale, changed, threads, words)


def _scale(sweep: Sweep, args: list[str]) -> tuple[str | float, list[str], list[str]]:
    """The scale that --scale or --steps ask for, the other words, and those that asked for it."""
    scale, args = take_option(args, "--scale")
    for name in ("--steps", "--training.steps"):
        steps, args = take_option(args, name)
        if steps is None:
            continue
        if scale is not None:
            raise SettingError("--steps and --scale both say how long: give one of them")
        if not steps.isdecimal() or int(steps) < 1:
            raise SettingError(f"{name} {steps}: a number of steps, at least 1")
        whole = sweep.job(next(sweep.values())).settings.training.steps
        return f"{int(steps)}/{whole}", args, ["--steps", steps]
    return scale or 1, args, [] if scale is None else ["--scale", scale]


def refuse_axes(sweep: Sweep, args: list[str]) -> None:
    """Raise SettingError if an option names what the sweep itself sets of each trial."""
    settings: set[str] = set()
    for values in sweep.values():
        changes = values if sweep.settings is None else sweep.settings(values)
        settings |= {name for name, _ in dotted(changes)}
    names = {
        _option(name): name
        for setting in settings
        for name in (f"--{setting}", *ALIASES.get(setting, ()))
    }
    for word in args:
        option = _option(word.partition("=")[0])
        group, dot, last = option.rpartition(".")
        if (option if option in names else f"{group}{dot}{last.removeprefix('no-')}") in names:
            raise SettingError(
                f"{word.partition('=')[0]}: the sweep {sweep.name} sets this for each trial; leave "
                "it out, or write a sweep of your own"
            )


def _option(name: str) -> str:
    return name.replace("_", "-")


def _options(changed: Mapping[str, Any], prefix: str = "--") -> Iterator[str]:
    """The changes as words of a command."""
    for name, value in changed.items():
        option = f"{prefix}{_option(name)}"
        if isinstance(value, Mapping):
            yield from _options(value, f"{option}.")
        elif isinstance(value, bool):
            yield option if value else f"{prefix}no-{_option(name)}"
        else:
            yield option
            yield from map(str, value if isinstance(value, list | tuple) else [value])
