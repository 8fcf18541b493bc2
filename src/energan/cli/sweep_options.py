"""The words after `energan sweep NAME`: which trials they ask for."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from energan.cli.options import take_option
from energan.cli.settings_options import ALIASES, parse_with_settings
from energan.errors import SettingError
from energan.io.console import say
from energan.sweeps.definition import find
from energan.sweeps.grid import Sweep
from energan.sweeps.plan import Shard, SweepPlan, plan
from energan.sweeps.request import SweepRequest, axis_settings, option_of, scale_to, words_of
from energan.sweeps.store import SAMPLES, Record
from energan.sweeps.trials import Trial


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
    """What was asked for. own: options beside the settings. threads: of each process, if they were
    named."""

    request: SweepRequest
    own: OwnOptions
    threads: int | None

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

    def plan(self, trials: list[Trial], done: set[str], records: list[Record]) -> SweepPlan:
        own = self.own
        return plan(
            trials, done, processes=own.processes, threads=self.threads, together=own.together,
            shard=self.shard, records=records, say=say,
        )  # fmt: skip


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
    request = SweepRequest(
        sweep, scale, changed, own.sample, own.sample_seed, own.metrics, own.samples,
        words_of(word, length, changed),
    )  # fmt: skip
    options = SweepOptions(request, own, threads)
    _check(options)
    return options


def _check(options: SweepOptions) -> None:
    """Raise SettingError for an option out of its bounds."""
    own = options.own
    if own.processes is not None and own.processes < 1:
        raise SettingError(f"--processes {own.processes}: at least 1")
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
        return scale_to(sweep, int(steps)), args, ["--steps", steps]
    return scale or 1, args, [] if scale is None else ["--scale", scale]


def refuse_axes(sweep: Sweep, args: list[str]) -> None:
    """Raise SettingError if an option names what the sweep itself sets of each trial."""
    names = {
        option_of(name): name
        for setting in axis_settings(sweep)
        for name in (f"--{setting}", *ALIASES.get(setting, ()))
    }
    for word in args:
        option = option_of(word.partition("=")[0])
        group, dot, last = option.rpartition(".")
        if (option if option in names else f"{group}{dot}{last.removeprefix('no-')}") in names:
            raise SettingError(
                f"{word.partition('=')[0]}: the sweep {sweep.name} sets this for each trial; leave "
                "it out, or write a sweep of your own"
            )
