"""The missing trials of a sweep, worked through on this machine or on a Ray cluster."""

from collections.abc import Sequence

from energan.io.console import say
from energan.sweeps.display import SweepDisplay
from energan.sweeps.executors import local
from energan.sweeps.plan import SweepPlan, Together, plan
from energan.sweeps.request import SweepRequest
from energan.sweeps.store import SAMPLES, Keep, SweepFolder, TrialOptions
from energan.sweeps.trials import Trial

AT_RISK = 300.0
"""Seconds of training that an interruption may lose."""


def do_missing(
    request: SweepRequest,
    folder: SweepFolder,
    *,
    processes: int | None = None,
    threads: int | None = None,
    together: Together = "auto",
    keep: Keep = "best",
    retry_failed: bool = False,
) -> list[Trial]:
    """Do the trials of the request that have no record in the folder; all that it asks for.

    Raises RunError if the folder holds another sweep, or one that is worked on.
    """
    trials = request.trials()
    definition = request.definition(trials)
    folder.check(definition, request.id_of)
    folder.make()
    with folder.driver():
        folder.write_definition(definition)
        if retry_failed:
            bad = {record["id"] for record in folder.records() if record["state"] != "done"}
            folder.forget(bad & {trial.id for trial in trials})
        done = folder.done()
        if any(trial.id not in done for trial in trials):
            made = plan(
                trials, done, processes=processes, threads=threads, together=together,
                records=folder.records(),
            )  # fmt: skip
            name, metrics = request.sweep.name, definition["metrics"]
            work_through(folder, made, name, metrics, samples=request.samples, keep=keep)
    return trials


def work_through(
    folder: SweepFolder,
    made: SweepPlan,
    name: str,
    metrics: Sequence[str],
    *,
    samples: int = SAMPLES,
    keep: Keep = "best",
    ray: str | None = None,
    cpus: float = 1.0,
    gpus: float | None = None,
) -> str | None:
    """Do the trials of the plan; the signal that stopped it, None if none did.

    name: the sweep's. ray: the address of a cluster, with `cpus` and `gpus` for each task; by
    default one GPU if the plan is for one.
    """
    options = TrialOptions(name, tuple(metrics), samples, made.threads, keep, _save_every(made))
    with SweepDisplay(folder, made.asked, metrics[0], made.seconds, made.processes) as display:
        if ray is None:
            return local.run(folder, made.packages, options, made.processes, display)
        if gpus is None and made.machine.gpus:
            say("each task asks for one GPU, since this machine has one; --gpus 0 uses CPUs alone")
        gpus = float(made.machine.gpus > 0) if gpus is None else gpus
        say(f"working on Ray, {ray}; it may take a while until tasks start")
        from energan.sweeps.executors import ray as on_ray

        return on_ray.run(
            folder, made.packages, options, display, address=ray, cpus=cpus, gpus=gpus
        )


def _save_every(made: SweepPlan) -> int:
    """Steps between the checkpoints of a trial, so that at most `AT_RISK` seconds are lost."""
    if not made.packages:
        return 0
    steps = made.asked[0].job.settings.training.steps
    if not made.seconds:  # unknown
        return -(-steps // 10)
    lengths = [sum(made.seconds[trial.id] for trial in package) for package in made.packages]
    parts = int(max(lengths) // AT_RISK) + 1
    return -(-steps // parts) if parts > 1 else 0
