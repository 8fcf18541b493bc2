"""Trials in processes on this machine, each with its share of the threads, or its GPU."""

import signal
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from energan.core.accelerators import variables_of_place
from energan.io.processes import STOPPED, Pool, run_process
from energan.sweeps.display import SweepDisplay
from energan.sweeps.run_trial import failed
from energan.sweeps.store import SweepFolder, TrialOptions
from energan.sweeps.trials import Trial
from energan.training.device import choose

KILLED = -getattr(signal, "SIGKILL", signal.SIGTERM)
"""The exit code of a process that the system ended; Windows has no such signal."""
DEATHS = 3
"""How often a trial may take its process with it before it is recorded as failed."""
Package = Sequence[Trial]
"""Trials that train as one program, in a process."""
Attempt = Callable[[Package, int], Awaitable[tuple[int, str]]]
"""Works on a package in a place; how often its process died, and why."""


def run(
    folder: SweepFolder, packages: Sequence[Package], options: TrialOptions, processes: int,
    display: SweepDisplay,
) -> str | None:  # fmt: skip
    """Work on the packages, in so many processes at once, until all have a record.

    Returns the signal that stopped it, None if none did. SIGINT and SIGTERM let each process save
    what it trains.
    """
    pool = Pool()

    async def attempt(package: Package, place: int) -> tuple[int, str]:
        words, log = enqueue(folder, package, options), folder.logs / f"{package[0].id}.txt"
        display.begin([trial.id for trial in package], str(place))
        variables = {"OMP_NUM_THREADS": str(options.threads)} if options.threads else {}
        engine = choose(package[0].job.settings.engine, switches=False)
        variables |= variables_of_place(engine.device, place)
        code = await run_process(pool, place, words, variables, log=log)
        killed = " (killed: out of memory?)" if code == KILLED else f": see {log}"
        return code not in (0, *STOPPED), f", the last time with exit code {code}{killed}"

    return run_packages(pool, folder, packages, options, display, processes, attempt)


def enqueue(folder: SweepFolder, package: Package, options: TrialOptions) -> list[str]:
    """Put a package into the queue: the command, after `python -m`, that works on it."""
    for trial in package:
        folder.enqueue(trial.record(), options)
    return ["energan.sweeps.run_trial", str(folder.path.absolute()), *(t.id for t in package)]


def run_packages(
    pool: Pool, folder: SweepFolder, packages: Sequence[Package], options: TrialOptions,
    display: SweepDisplay, at_once: int, attempt: Attempt,
) -> str | None:  # fmt: skip
    """Attempt the packages in their order until every trial has a record; the signal that stopped
    it, None if none did. A trial whose process died `DEATHS` times is recorded as failed."""
    deaths = Counter[str]()

    async def work(package: Package, place: int) -> None:
        died, why = await attempt(package, place)
        display.leave([trial.id for trial in package])
        left = [trial for trial in package if folder.read(trial.id) is None]
        for trial in left:
            deaths[trial.id] += died if len(package) == 1 or died == 1 else 0
            if deaths[trial.id] >= DEATHS:
                reason = f"its process died {DEATHS} times{why}"
                folder.write(failed(folder, trial, options, reason))
        again = [trial for trial in left if deaths[trial.id] < DEATHS]
        # after a death alone: together they may have been too large
        for part in [[trial] for trial in again] if died else [again] if again else []:
            if pool.open:
                await work(part, place)

    pool.run([partial(work, package) for package in packages], at_once, display.refresh)
    return pool.stopped
