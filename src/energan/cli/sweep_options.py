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
from energan.sweeps.plan import Shard, SweepPlan, machine_of, plan
from energan.sweeps.request import SweepRequest, axis_settings, option_of, scale_to, words_of
from energan.sweeps.store import SAMPLES, Record
from energan.sweeps.trials import Trial


@dataclass(kw_only=True)
class OwnOptions:
    """Train and score the trials of a sweep that are missing in its folder. Stop it at any
    time and give the same command again."""

    out: Path | None = None
    """the sweep's folder; by default sweeps/NAME"""
    sample: int | None = None
    """run this many of the trials, chosen to cover all values evenly; a larger sample later
    contains these; by default all"""
    sample_seed: int = 0
    """seed of that choice"""
    scale: str | None = None
    """multiply all numbers of training steps, schedules included, by this number or fraction, for
    example 1/12; --steps N does the same to get N steps"""
    dry_run: tyro.conf.FlagCreatePairsOff[bool] = False
    """print the plan, with the time estimated from a short measurement, and stop"""
    retry_failed: tyro.conf.FlagCreatePairsOff[bool] = False
    """run trials again that failed or diverged"""
    processes: int | None = None
    """number of trials to run in parallel on this machine; --threads N applies to each"""
    together: Literal["auto", "cohort", "apart"] = "auto"
    """whether trials of the same shapes train as one program; auto: on a GPU"""
    metrics: tuple[str, ...] = ()
    """scores of each trial, as for `energan evaluate`; the first one ranks the trials. By default
    those of the sweep, or those that suit the data"""
    samples: int = SAMPLES
    """number of samples to score in each trial"""
    keep: Literal["best", "all", "none"] = "best"
    """which trials keep their checkpoints once all are scored"""
    shard: Annotated[str | None, tyro.conf.arg(metavar="K/N")] = None
    """run the K-th of N parts of the plan, for example in a SLURM array job; at the end, a call
    without this option does what is missing and writes the page"""
    ray: Annotated[str | None, tyro.conf.arg(metavar="ADDRESS")] = None
    """run on this Ray cluster: auto, or an address such as ray://host:10001; it must share the
    folder"""
    cpus: float | None = None
    """CPUs of each task on Ray"""
    gpus: float | None = None
    """GPUs of each task on Ray; fractions such as 0.25 are possible, and 0 for CPUs alone; by
    default 1 if this machine has a GPU"""


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
            raise SettingError(f"--shard {text}: give K/N, for example 1/4 to 4/4 for four parts")
        return int(k), int(n)

    def plan(self, trials: list[Trial], done: set[str], records: list[Record]) -> SweepPlan:
        own, machine = self.own, None
        if own.ray is not None and own.gpus == 0:  # the nodes hide theirs from the tasks
            machine = machine_of(trials[0].job.resolved({"engine": {"device": "cpu"}}))
        return plan(
            trials, done, processes=own.processes, threads=self.threads, together=own.together,
            shard=self.shard, records=records, say=say, machine=machine,
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
        raise SettingError("--steps or --scale is given twice: give it once")
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
        raise SettingError(f"--processes {own.processes}: give at least 1")
    for name in ("cpus", "gpus"):
        value = getattr(own, name)
        if value is not None and own.ray is None:
            raise SettingError(f"--{name} applies to Ray only: add --ray ADDRESS, or leave it out")
        enough = value is None or 0 < value < float("inf") or (name == "gpus" and value == 0)
        if not enough:
            least = "0 or more" if name == "gpus" else "a number above 0"
            raise SettingError(f"--{name} {value:g}: give {least}")
    if own.ray is not None and (own.processes or options.threads):
        raise SettingError(
            "--processes and --threads apply to this machine: with --ray give --cpus instead, "
            "for each task"
        )
    if options.threads is not None and options.threads < 1:
        raise SettingError(f"--threads {options.threads}: give at least 1")
    _ = options.shard


def _scale(sweep: Sweep, args: list[str]) -> tuple[str | float, list[str], list[str]]:
    """The scale that --scale or --steps ask for, the other words, and those that asked for it."""
    scale, args = take_option(args, "--scale")
    for name in ("--steps", "--training.steps"):
        steps, args = take_option(args, name)
        if steps is None:
            continue
        if scale is not None:
            raise SettingError("--steps and --scale cannot be combined: give one of them")
        if not steps.isdecimal() or int(steps) < 1:
            raise SettingError(f"{name} {steps}: give at least 1 step")
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
                f"{word.partition('=')[0]}: the sweep {sweep.name} sets this for each trial; "
                "leave it out, or write your own sweep"
            )
