"""The words after `energan sweep NAME`: which trials they ask for."""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from energan.cli.options import take_option
from energan.cli.settings_options import ALIASES, parse_with_settings
from energan.data import open_data
from energan.errors import SettingError
from energan.experiment.settings import Job
from energan.io.console import progress, say
from energan.io.nested import dotted
from energan.io.text import agree, plural
from energan.sweep.definition import find
from energan.sweep.grid import Sweep, Values
from energan.sweep.plan import Shard, SweepPlan, plan
from energan.sweep.sampling import sample
from energan.sweep.store import SAMPLES, Definition, Record
from energan.sweep.trials import Trial, trials_of
from energan.sweep.validation import ranking, suited
from energan.version import __version__


@dataclass(kw_only=True)
class OwnOptions:
    """Train and score the trials of a sweep that are missing in its folder. Stop it at any
    time and give the same command again."""

    out: Path | None = None
    """the sweep's folder; sweeps/NAME if not given"""
    sample: int | None = None
    """so many of the trials, chosen to cover all values evenly; more of them later begin with
    these; all if not given"""
    sample_seed: int = 0
    """of that choice"""
    scale: str | None = None
    """multiply every count of training steps, schedules included, by this number or fraction,
    as 1/12; --steps N does so to get N steps"""
    dry_run: tyro.conf.FlagCreatePairsOff[bool] = False
    """print the plan, with an estimate of the time from a short measurement, and stop"""
    retry_failed: tyro.conf.FlagCreatePairsOff[bool] = False
    """do again what failed or diverged"""
    processes: int | None = None
    """how many work side by side on this machine; --threads N is of each"""
    together: Literal["auto", "cohort", "apart"] = "auto"
    """whether trials of the same shapes train as one program; auto: on a GPU"""
    metrics: tuple[str, ...] = ()
    """scores of each trial, as of `energan evaluate`; the first ranks. The sweep's own, or what
    suits the data, if not given"""
    samples: int = SAMPLES
    """drawn for the scores of a trial"""
    keep: Literal["best", "all", "none"] = "best"
    """whose checkpoints stay when all is scored"""
    shard: Annotated[str | None, tyro.conf.arg(metavar="K/N")] = None
    """do the K-th of N parts of the plan, as a task of a SLURM array does; at the end a run
    without it does what is missing, and writes the page"""
    ray: Annotated[str | None, tyro.conf.arg(metavar="ADDRESS")] = None
    """work on this Ray cluster, as auto or ray://host:10001; it must share the folder"""
    cpus: float | None = None
    """of each task on Ray"""
    gpus: float | None = None
    """of each task on Ray; a part of one is possible, as 0.25"""


@dataclass(frozen=True)
class SweepOptions:
    """What was asked for. own: options beside the settings. scale: of all counts of steps.

    changes: of the settings of every trial. threads: of each process, if they were named. words:
    those that ask for the same trials.
    """

    sweep: Sweep
    own: OwnOptions
    scale: str | float
    changes: dict[str, Any]
    threads: int | None
    words: str

    @property
    def shard(self) -> Shard | None:
        """(K, N) of --shard K/N. Raises SettingError if it is none."""
        text = self.own.shard
        if text is None:
            return None
        k, _, n = text.partition("/")
        if not (k.isdecimal() and n.isdecimal() and 1 <= int(k) <= int(n)):
            raise SettingError(f"--shard {text}: K/N, as 1/4 to 4/4 for four parts")
        return int(k), int(n)

    def trials(self) -> list[Trial]:
        """The trials that are asked for; of those that are the same by another name, one."""
        sweep, count = self.sweep, self.own.sample
        if count is None:
            count, values = sweep.count, None
        else:
            values = sample(sweep, count, self.own.sample_seed)
        found = {trial.id: trial for trial in self._each(values, count)}
        if len(found) < count:
            same = count - len(found)
            are = agree(same, "are")
            say(
                f"energan: {same} of {plural(count, 'combination')} {are} the same trial as "
                f"another one, and {are} not run again"
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

    def definition(self, trials: Sequence[Trial]) -> Definition:
        """What sweep.json is to say. Metrics are those that were named, else the sweep's own, else
        what suits the data."""
        sweep, own, first = self.sweep, self.own, trials[0]
        metrics = ranking(own.metrics or sweep.metrics)
        metrics = metrics or suited(first.job, open_data(first.job.settings.data))
        words = self.words + ("" if own.samples == SAMPLES else f" --samples {own.samples}")
        words += f" --metrics {' '.join(own.metrics)}" if own.metrics else ""
        return {
            "name": sweep.name,
            "summary": sweep.summary,
            "recipe": sweep.recipe,
            "axes": {axis: list(its) for axis, its in sweep.axes.items()},
            "count": sweep.count,
            "metrics": list(metrics),
            "samples": own.samples,
            "scale": str(self.scale),
            "changes": self.changes,
            "words": words,
            "example": {"id": first.id, "values": first.values},
            "energan": __version__,
            "trials": [trial.id for trial in trials],
        }

    def plan(self, trials: list[Trial], done: set[str], records: list[Record]) -> SweepPlan:
        own = self.own
        return plan(
            trials, done, processes=own.processes, threads=self.threads, together=own.together,
            shard=self.shard, records=records, say=say,
        )  # fmt: skip

    def _changed(self, job: Job) -> Job:
        return job.changed(self.changes) if self.changes else job


def options_of(word: str, args: list[str]) -> SweepOptions:
    """The options after `energan sweep`, of which the name of the sweep is the first word.

    Raises SettingError for a sweep or a setting that does not exist, that the sweep sets, or that
    is out of its bounds.
    """
    sweep = find(word)
    refuse_axes(sweep, args)
    scale, rest, length = _scale(sweep, args)
    first = sweep.job(next(sweep.values()), scale)
    own, changed = parse_with_settings(OwnOptions, first.settings, rest, f"energan sweep {word}")
    if own.scale is not None or "steps" in changed.get("training", {}):
        raise SettingError("--steps or --scale is given twice: give one of them, once")
    threads = changed.get("engine", {}).pop("threads", None)
    changed = {group: values for group, values in changed.items() if values != {}}
    words = shlex.join([word, *length, *_options(changed)])
    options = SweepOptions(sweep, own, scale, changed, threads, words)
    _check(options)
    return options


def _check(options: SweepOptions) -> None:
    """Raise SettingError for an option out of its bounds."""
    own = options.own
    for name, least in (("processes", 1), ("samples", 2), ("sample", 1), ("sample_seed", 0)):
        value = getattr(own, name)
        if value is not None and value < least:
            raise SettingError(f"--{name.replace('_', '-')} {value}: at least {least}")
    for name in ("cpus", "gpus"):
        value = getattr(own, name)
        if value is not None and own.ray is None:
            raise SettingError(f"--{name} is of tasks on Ray: give --ray ADDRESS too")
        if value is not None and not 0 < value < float("inf"):
            raise SettingError(f"--{name} {value:g}: a number above 0")
    if own.ray is not None and (own.processes or options.threads):
        raise SettingError(
            "--processes and --threads are of this machine: with --ray give --cpus, of each task"
        )
    if options.threads is not None and options.threads < 1:
        raise SettingError(f"--threads {options.threads}: at least 1")
    _ = options.shard


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
