"""`energan sweep`: the trials of a search, done where they are missing, and what they found."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from energan.cli.options import take_positional
from energan.errors import EnerganError, SettingError
from energan.io.console import show, table_of

if TYPE_CHECKING:
    from energan.cli.sweep_options import Words

USAGE = """usage: energan sweep NAME [OPTIONS]

`energan sweep` lists the named sweeps; `energan sweep NAME --help` explains every option.
NAME may also be a file, .json or .py, with a sweep of your own.
"""


def sweep(args: list[str]) -> int:
    import tyro

    @dataclass(kw_only=True)
    class Sweep:
        """Train and score the trials of a sweep that are missing in its folder. Stop it at any
        time and give the same command again; give it on several machines that share the folder."""

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
        """whether trials of the same shapes train as one program, or what is faster"""
        metrics: tuple[str, ...] = ()
        """scores of each trial, as of `energan evaluate`; the first ranks. The sweep's own, or what
        suits the data, if not given"""
        samples: int = 10_000
        """drawn for the scores of a trial"""
        keep: Literal["best", "all", "none"] = "best"
        """whose checkpoints stay when all is scored"""
        lost_after: float = 60.0
        """seconds without a sign of life, after which another machine's trial is taken over"""
        ray: Annotated[str | None, tyro.conf.arg(metavar="ADDRESS")] = None
        """work on this Ray cluster, as auto or ray://host:10001; it must share the folder"""
        cpus: float | None = None
        """of each task on Ray"""
        gpus: float | None = None
        """of each task on Ray; a part of one is possible, as 0.25"""

    word, rest = take_positional(args)
    if word is None:
        return _without_name(rest)
    from energan.cli.sweep_options import words_of
    from energan.cli.sweep_run import run

    words = words_of(Sweep, word, rest)
    _check(words)
    return run(words, ["sweep", *args])


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


def _check(words: "Words") -> None:
    """Raise SettingError for an option out of its bounds."""
    options = words.options
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
    if options.ray is not None and (options.processes or words.threads):
        raise SettingError(
            "--processes and --threads are of this machine: with --ray give --cpus, of each task"
        )
    if words.threads is not None and words.threads < 1:
        raise SettingError(f"--threads {words.threads}: at least 1")
    from energan.sweep.claiming import BEAT

    if not 3 * BEAT <= options.lost_after < float("inf"):
        raise SettingError(
            f"--lost-after {options.lost_after:g}: at least {3 * BEAT:g}, since a sign of life "
            f"comes every {BEAT:g} seconds"
        )
