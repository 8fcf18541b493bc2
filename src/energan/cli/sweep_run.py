"""A sweep from its words to its end: the plan, the work, what came of it."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from energan.cli.sweep_options import Words
    from energan.experiment.settings import Job
    from energan.sweep.asked import Asked
    from energan.sweep.folder import SweepFolder
    from energan.sweep.trials import Trial
import shlex
import signal
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from energan.sweep.folder import Record, SweepFolder
    from energan.sweep.trials import Trial

AT_RISK = 300.0
"""Seconds of training that an interruption may cost."""


def run(words: "Words", args: list[str]) -> int:
    """Do what the words ask for; the exit code. args: the words, to say how to go on."""
    pass  # DROPPED
    from energan.io.console import say
    from energan.sweep import asked as definitions
    from energan.sweep.asked import Asked
    from energan.sweep.folder import SweepFolder
    from energan.sweep.setup import SAMPLES

    options = words.options
    folder = SweepFolder(options.out or Path("sweeps") / words.sweep.name)
    trials = words.trials()
    metrics = _metrics(words, trials[0].job)
    said = words.said + ("" if options.samples == SAMPLES else f" --samples {options.samples}")
    said += f" --metrics {' '.join(options.metrics)}" if options.metrics else ""
    asked = Asked(words.sweep, metrics, options.samples, str(words.scale), words.changes, said)
    folder.check()
    definitions.check(folder, asked, lambda values: next(words.trials_of([values])).id)

    ids = [trial.id for trial in trials]
    again = [r["id"] for r in folder.records(ids) if r["state"] != "done"]
    done = folder.done() - set(again if options.retry_failed else ())
    missing = [trial for trial in trials if trial.id not in done]
    plan = _plan(words, trials, done, folder) if missing else None
    told = f"all {len(trials)} trials are done" if plan is None else plan.text()
    if options.dry_run:
        print(f"{folder.path}\n{told}")
        if plan is not None and len(trials) < words.sweep.count:
            print(_whole(words, plan))
        return 0
    say(f"{folder.path}\n{told}")
    folder.make()
    definitions.keep(folder, asked, [(trial.id, trial.values) for trial in trials])
    if options.retry_failed:
        folder.forget(again)
    stopped = None
    if plan is not None:
        stopped = _work(words, asked, folder, trials, plan)
    return ended(folder, trials, stopped, args)


def _metrics(words: "Words", job: "Job") -> tuple[str, ...]:
    """Those that were named, else the sweep's own, else what suits the data."""
    from energan.data import open_data
    from energan.sweep.better import better_of
    from energan.sweep.suiting import ranking, suited

    found = ranking(words.options.metrics or words.sweep.metrics)
    found = found or suited(job, open_data(job.settings.data))
    better_of(found[0])
    return found


def _plan(words: "Words", trials: "list[Trial]", done: set[str], folder: "SweepFolder") -> Any:
    from energan.io.console import say
    from energan.sweep.planning import plan

    options = words.options
    return plan(
        trials,
        done,
        processes=options.processes,
        threads=words.threads,
        together=options.together,
        records=folder.records(),
        say=say,
        # apart as asked, nothing is to be decided: the first trials tell the time
        measure=options.dry_run or options.together != "apart",
    )


def _whole(words: "Words", plan: Any) -> str:
    """The grid at the mean of the trials to do, which stand for it: to look at each takes long."""
    from energan.io.text import duration

    mean = sum(plan.seconds.values()) / len(plan.seconds)
    seconds = mean * words.sweep.count / plan.processes
    return (
        f"the whole grid, {words.sweep.count:,} trials like these {len(plan.seconds)}: about "
        f"{duration(seconds)} here"
    )


def _work(
    words: "Words", asked: "Asked", folder: "SweepFolder", trials: "list[Trial]", plan: Any
) -> str | None:
    """Work through the plan; the signal that stopped it."""
    from energan.io.console import say
    from energan.sweep.better import better_of
    from energan.sweep.display import Display
    from energan.sweep.setup import Setup

    options, metric = words.options, asked.metrics[0]
    setup = Setup(
        words.sweep.name,
        asked.metrics,
        options.samples,
        plan.threads,
        options.keep,
        options.lost_after,
        _save_every(trials[0].job, plan),
    )
    better = better_of(metric)
    with Display(folder, trials, metric, better, plan.seconds, plan.processes) as display:
        if options.ray is not None:
            say(f"working on Ray, {options.ray}; it may take a while until tasks begin")
            from energan.sweep.on_ray import run as run_on_ray

            return run_on_ray(
                folder, plan.packages, setup, display,
                address=options.ray, cpus=options.cpus or 1.0, gpus=options.gpus or 0.0,
            ).stopped  # fmt: skip
        from energan.sweep.local import run

        return run(folder, plan.packages, setup, plan.processes, display).stopped


def _save_every(job: "Job", plan: Any) -> int:
    """Steps between the checkpoints of a trial, so that at most `AT_RISK` seconds are lost."""
    longest = max(sum(plan.seconds[trial.id] for trial in package) for package in plan.packages)
    parts = int(longest // AT_RISK) + 1
    return -(-job.settings.training.steps // parts) if parts > 1 else 0


ONCE = ("--dry-run", "--retry-failed", "--no-dry-run", "--no-retry-failed")
"""Words that are not for the next time."""
SHOWN = 5
"""Reasons that are printed."""


def ended(
    folder: "SweepFolder",
    trials: "Sequence[Trial]",
    stopped: str | None,
    words: Sequence[str],
) -> int:
    """Write the page, say what there is.

    words: those of the command. Its exit code: 128 + signal if one stopped it, 3 if every trial
    diverged, 2 if every trial failed or some are still missing, else 0.
    """
    from energan.io.text import varying

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
    if stopped is None and records:
        from energan.report.sweep.page import write

        print(f"page:   {write([folder.path])}")
    _say_bad(of, axes)
    again = shlex.join(["energan", *(w for w in words if w not in ONCE)])
    if stopped is not None or missing:
        print(f"{'stopped' if stopped else 'not all is done'}; go on with: {again}")
    elif of["failed"] or of["diverged"]:
        print(f"to try those again that failed or diverged: {again} --retry-failed")
    if stopped is not None:
        return 128 + signal.Signals[stopped].value
    if len(of["diverged"]) == len(trials):
        return 3
    return 2 if missing or len(of["failed"]) == len(trials) else 0


def _say_best(folder: "SweepFolder", records: "Sequence[Record]", axes: Sequence[str]) -> None:
    from energan.io.text import score_text, settings_text
    from energan.metrics.catalogue import sign_of
    from energan.sweep.keeping import best_of

    best = best_of(records)
    if best is None:
        return
    found = best["scores"][best["metric"]]
    low, high = (score_text(found.get(end)) for end in ("low", "high"))
    interval = "" if found.get("low") is None else f" ({low} to {high})"
    score = f"{sign_of(best['metric'])} {score_text(found['value'])}{interval}"
    print(f"best:   {score}  {settings_text(best['values'], axes)}  {folder.run(best['id']).path}")


def _say_bad(of: "dict[str, list[Record]]", axes: Sequence[str]) -> None:
    """Of those that failed and those that diverged the reasons, each once."""
    from energan.io.text import settings_text

    for state in ("failed", "diverged"):
        reasons: dict[str, list[Any]] = {}
        for record in of[state]:
            reasons.setdefault(str(record["reason"]), []).append(record["values"])
        for reason, values in sorted(reasons.items(), key=lambda one: -len(one[1]))[:SHOWN]:
            who = settings_text(values[0], axes)
            more = f" and {len(values) - 1} more" if len(values) > 1 else ""
            print(f"{state}: {who}{more}: {reason}")
        if len(reasons) > SHOWN:
            print(f"{state}: for {len(reasons) - SHOWN} other reasons too; the page has them")
