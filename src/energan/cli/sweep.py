"""`energan sweep`: the trials of a search, done where they are missing, and what they found.

Without a name it lists the sweeps, and loads no torch.
"""

import shlex
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from energan.cli.options import take_positional, without_options
from energan.errors import EnerganError
from energan.io.console import say, show, table_of
from energan.io.text import duration, plural, score_text, settings_text, varying
from energan.metrics.catalogue import sign_of
from energan.sweeps import SWEEPS
from energan.sweeps.store import Record, SweepFolder, best_of

if TYPE_CHECKING:
    from energan.cli.sweep_options import SweepOptions
    from energan.sweeps.plan import SweepPlan
    from energan.sweeps.trials import Trial

USAGE = """usage: energan sweep NAME [OPTIONS]

`energan sweep` lists the named sweeps. `energan sweep NAME --help` explains every option. NAME may
also be a .json or .py file with a sweep of your own.
"""
ONCE = ("--dry-run", "--retry-failed", "--no-dry-run", "--no-retry-failed")
"""Options that are not repeated in the next command."""
SHOWN = 5
"""Number of reasons to print."""


def sweep(args: list[str]) -> int:
    word, rest = take_positional(args)
    if word is None:
        return _without_name(rest)
    from energan.cli.sweep_options import options_of

    return _run(options_of(word, rest), ["sweep", *args])


def _without_name(args: list[str]) -> int:
    if args and args[0] in ("-h", "--help"):
        print(USAGE, end="")
        return 0
    if args:
        raise EnerganError(
            "the sweep comes first, as in `energan sweep ebgan-grid --sample 24`; `energan sweep` "
            "lists them"
        )
    table = table_of("sweep", "trials", "recipe", "axes", "what")
    for one in SWEEPS.values():
        axes = ", ".join(f"{axis} {len(its)}" for axis, its in one.axes.items() if len(its) > 1)
        table.add_row(one.name, f"{one.count:,}", one.recipe, axes, one.summary)
    show(table)
    return 0


def _run(options: "SweepOptions", args: list[str]) -> int:
    """Do what is asked for; the exit code. args: the words, to say how to go on."""
    from energan.sweeps.driver import work_through

    own, request = options.own, options.request
    folder = SweepFolder(own.out or Path("sweeps") / request.sweep.name)
    trials = request.trials()
    definition = request.definition(trials)
    folder.check(definition, request.id_of)

    ids = [trial.id for trial in trials]
    again = [r["id"] for r in folder.records(ids) if r["state"] != "done"]
    done = folder.done() - set(again if own.retry_failed else ())
    missing = [trial for trial in trials if trial.id not in done]
    made = options.plan(trials, done, folder.records()) if missing else None
    text = f"{plural(len(trials), 'trial')}, all done" if made is None else made.text()
    if own.dry_run:
        print(f"{folder.path}\n{text}")
        if made is not None and made.seconds and len(trials) < request.sweep.count:
            print(_whole(request.sweep.count, made))
        return 0
    say(f"{folder.path}\n{text}")
    folder.make()
    with folder.driver(own.shard):
        folder.write_definition(definition)
        tried = trials if made is None else made.asked
        if own.retry_failed:
            folder.forget({*again} & {trial.id for trial in tried})
        stopped = None
        if made is not None:
            stopped = work_through(
                folder, made, request.sweep.name, definition["metrics"], samples=own.samples,
                keep=own.keep, ray=own.ray, cpus=own.cpus or 1.0, gpus=own.gpus,
            )  # fmt: skip
    return _report(folder, tried, stopped, args, own.shard)


def _whole(count: int, made: "SweepPlan") -> str:
    """The grid at the mean of the trials to do, which stand for it: to look at each takes long."""
    mean = sum(made.seconds.values()) / len(made.seconds)
    seconds = mean * count / made.processes
    return (
        f"the whole grid of {count:,} trials: about {duration(seconds)} here, if they are like "
        f"these {len(made.seconds)}"
    )


def _report(
    folder: SweepFolder, trials: "Sequence[Trial]", stopped: str | None, words: list[str],
    shard: str | None,
) -> int:  # fmt: skip
    """Write the page, but of a shard, and say what there is.

    words: those of the command. Its exit code: 128 + signal if one stopped it, 3 if every trial
    diverged, 2 if every trial failed or some are still missing, else 0.
    """
    records = folder.records([trial.id for trial in trials])
    of = {
        state: [r for r in records if r["state"] == state]
        for state in ("done", "diverged", "failed")
    }
    missing = len(trials) - len(records)
    axes = varying([trial.values for trial in trials])
    counts = [f"{len(found)} {state}" for state, found in of.items() if found]
    counts += [f"{missing} missing"] if missing else []
    print(f"trials: {', '.join(counts)}, of {len(trials)}")
    _say_best(folder, records, axes)
    print(f"folder: {folder.path}")
    whole = shlex.join(["energan", *without_options(words, ["--shard"])])
    if shard is not None:
        print(
            f"shard {shard}; when all shards have ended, this command does the rest and writes "
            f"the page: {whole}"
        )
    elif stopped is None and records:
        from energan.report.sweep.page import write

        print(f"page:   {write([folder.path])}")
    _say_bad(of, axes)
    again = shlex.join(["energan", *(w for w in words if w not in ONCE)])
    if stopped is not None or missing:
        print(f"{'stopped' if stopped else 'some trials are not done'}; continue with: {again}")
    elif of["failed"] or of["diverged"]:
        print(f"to retry those that failed or diverged: {again} --retry-failed")
    if stopped is not None:
        return 128 + signal.Signals[stopped].value
    if trials and len(of["diverged"]) == len(trials):
        return 3
    return 2 if missing or (trials and len(of["failed"]) == len(trials)) else 0


def _say_best(folder: SweepFolder, records: Sequence[Record], axes: Sequence[str]) -> None:
    best = best_of(records)
    if best is None:
        return
    found = best["scores"][best["metric"]]
    low, high = (score_text(found.get(end)) for end in ("low", "high"))
    interval = "" if found.get("low") is None else f" ({low} to {high})"
    score = f"{sign_of(best['metric'])} {score_text(found['value'])}{interval}"
    print(f"best:   {score}  {settings_text(best['values'], axes)}  {folder.run(best['id']).path}")


def _say_bad(of: dict[str, list[Record]], axes: Sequence[str]) -> None:
    """Of those that failed and those that diverged the reasons, each once."""
    for state in ("failed", "diverged"):
        reasons: dict[str, list[Any]] = {}
        for record in of[state]:
            reasons.setdefault(str(record["reason"]), []).append(record["values"])
        for reason, values in sorted(reasons.items(), key=lambda one: -len(one[1]))[:SHOWN]:
            who = settings_text(values[0], axes)
            more = f" and {len(values) - 1} more" if len(values) > 1 else ""
            print(f"{state}: {who}{more}: {reason}")
        if len(reasons) > SHOWN:
            print(f"{state}: for {len(reasons) - SHOWN} other reasons; the page lists them")
