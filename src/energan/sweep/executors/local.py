"""Trials on this machine: processes side by side, each with its share of the threads or its GPU."""

import os
import signal
from collections import Counter
from collections.abc import Sequence

import torch

from energan.sweep.executors import (
    DEATHS,
    STOPPED,
    Display,
    Package,
    give_up,
    missing,
    words_of,
)
from energan.sweep.executors.processes import Pool, Work
from energan.sweep.store import SweepFolder, TrialOptions


def run(
    folder: SweepFolder, packages: Sequence[Package], options: TrialOptions, processes: int,
    display: Display,
) -> str | None:  # fmt: skip
    """Work on the packages in their order, in so many processes at once, until all have a record.

    Returns the signal that stopped it, None if none did. SIGINT and SIGTERM let each process save
    what it trains.
    """
    pool, deaths = Pool(), Counter[str]()

    async def attempt(package: Package, place: int) -> None:
        words, log = words_of(folder, package, options), folder.logs / f"{package[0].id}.txt"
        ids = [trial.id for trial in package]
        display.begin(ids, str(place))
        code = await pool.process(words, _share(options.threads, place), log=log)
        display.leave(ids)
        for trial in missing(folder, package):
            deaths[trial.id] += code not in (0, *STOPPED)
            if deaths[trial.id] == DEATHS:
                killed = " (killed: out of memory?)" if code == -signal.SIGKILL else f": see {log}"
                give_up(folder, trial, options, f", the last time with exit code {code}{killed}")
            elif pool.open:
                await attempt([trial], place)  # alone: together they may have been too large

    def work_of(package: Package) -> Work:
        return lambda place: attempt(package, place)

    pool.run([work_of(package) for package in packages], processes, display.refresh)
    return pool.stopped


def _share(threads: int | None, place: int) -> dict[str, str]:
    """Variables of a process: its number of threads, and, where there are several GPUs, one."""
    found = {} if threads is None else {"OMP_NUM_THREADS": str(threads)}
    count = torch.cuda.device_count()
    if count > 1:
        seen = os.environ.get("CUDA_VISIBLE_DEVICES", ",".join(map(str, range(count)))).split(",")
        found["CUDA_VISIBLE_DEVICES"] = seen[(place - 1) % count]
    return found
