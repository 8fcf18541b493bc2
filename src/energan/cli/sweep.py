"""`energan sweep`: the trials of a search, done where they are missing, and what they found."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from energan.cli.options import take_positional
from energan.errors import EnerganError, SettingError
from energan.io.console import show, table_of

if TYPE_CHECKING:
    from energan.cli.sweep_options import SweepOptions

USAGE = """usage: energan sweep NAME [OPTIONS]

`energan sweep` lists the named sweeps; `energan sweep NAME --help` explains every option.
NAME may also be a file, .json or .py, with a sweep of your own.
"""


def sweep(args: list[str]) -> int:
    import tyro

    @dataclass(kw_only=True)
    class Sweep:
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
        samples: int = 10_000
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

    word, rest = take_positional(args)
    if word is None:
        return _without_name(rest)
    from energan.cli.sweep_options import options_of
    from energan.cli.sweep_run import run

    asked = options_of(Sweep, word, rest)
    _check(asked)
    return run(asked, ["sweep", *args])


def _without_name(args: list[str]) -> int:
    if args and args[0] in ("-h", "--help"):
        print(USAGE, end="")
        return 0
    if args:
        raise EnerganError(
            "the sweep comes first, as in `energan sweep ebgan-grid --sample 24`; `energan sweep` "
            "lists them"
        )
    from energan.sweep import SWEEPS

    table = table_of("sweep", "trials", "recipe", "axes", "what")
    for one in SWEEPS.values():
        axes = ", ".join(f"{axis} {len(its)}" for axis, its in one.axes.items() if len(its) > 1)
        table.add_row(one.name, f"{one.count:,}", one.recipe, axes, one.summary)
    show(table)
    return 0


def _check(asked: "SweepOptions") -> None:
    """Raise SettingError for an option out of its bounds."""
    options = asked.options
    for name, least in (("processes", 1), ("samples", 2), ("sample", 1), ("sample_seed", 0)):
        value = getattr(options, name)
        if value is not None and value < least:
            raise SettingError(f"--{name.replace('_', '-')} {value}: at least {least}")
    for name in ("cpus", "gpus"):
        value = getattr(options, name)
        if value is not None and options.ray is None:
            raise SettingError(f"--{name} is of tasks on Ray: give --ray ADDRESS too")
        if value is not None and not 0 < value < float("inf"):
            raise SettingError(f"--{name} {value:g}: a number above 0")
    if options.ray is not None and (options.processes or asked.threads):
        raise SettingError(
            "--processes and --threads are of this machine: with --ray give --cpus, of each task"
        )
    if asked.threads is not None and asked.threads < 1:
        raise SettingError(f"--threads {asked.threads}: at least 1")
    _ = asked.shard
