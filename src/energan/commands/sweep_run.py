"""A sweep from its words to its end: the plan, the work, what came of it."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from energan.commands.sweep_words import Words
    from energan.settings import Job
    from energan.sweep.asked import Asked
    from energan.sweep.folder import SweepFolder
    from energan.sweep.trials import Trial

AT_RISK = 300.0
"""Seconds of training that an interruption may cost."""


def run(words: "Words", args: list[str]) -> int:
    """Do what the words ask for; the exit code. args: the words, to say how to go on."""
    from energan.commands.sweep_end import ended
    from energan.data.bar import say
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
    from energan.data.bar import say
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
    from energan.sweep.wording import duration

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
    from energan.data.bar import say
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
