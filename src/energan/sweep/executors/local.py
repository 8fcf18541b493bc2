"""Processes on this machine, each with its share of the threads, or its GPU."""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, STDOUT
from collections.abc import Sequence
from pathlib import Path

import torch

from energan.sweep.display import Display
from energan.sweep.executors import STOPPED, Package, Pool, run_packages, words_of
from energan.sweep.store import SweepFolder, TrialOptions


def run(
    folder: SweepFolder, packages: Sequence[Package], options: TrialOptions, processes: int,
    display: Display,
) -> str | None:  # fmt: skip
    """Work on the packages, in so many processes at once, until all have a record.

    Returns the signal that stopped it, None if none did. SIGINT and SIGTERM let each process save
    what it trains.
    """
    pool = Pool()

    async def attempt(package: Package, place: int) -> tuple[int, str]:
        words, log = words_of(folder, package, options), folder.logs / f"{package[0].id}.txt"
        display.begin([trial.id for trial in package], str(place))
        code = await run_process(pool, place, words, _share(options.threads, place), log=log)
        killed = " (killed: out of memory?)" if code == -signal.SIGKILL else f": see {log}"
        return code not in (0, *STOPPED), f", the last time with exit code {code}{killed}"

    return run_packages(pool, folder, packages, options, display, processes, attempt)


async def run_process(
    pool: Pool, place: int, words: Sequence[str], variables: dict[str, str], *,
    log: Path | None = None, name: str | None = None,
) -> int:  # fmt: skip
    """Run `python -m WORDS` as a work of the pool; its exit code, negative if a signal killed it.

    What it prints is added to the log; without one, stderr comes out here, each line after the name
    if there is one, and stdout is dropped.
    """
    output = DEVNULL if log is None else os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    errors = (PIPE if name else None) if log is None else STDOUT
    try:
        # A group of its own: Ctrl-C reaches this process alone, which passes it on once. Its stdin
        # ends with this process, however that dies.
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", *words, env={**os.environ, **variables}, process_group=0,
            stdin=PIPE, stdout=output, stderr=errors,
        )  # fmt: skip
    finally:
        if log is not None:
            os.close(output)
    with pool.ending_by(place, process.send_signal):
        if process.stderr is not None:
            async for line in process.stderr:
                print(f"{name}: {line.decode(errors='replace')}", end="", file=sys.stderr)
        return await process.wait()


def _share(threads: int | None, place: int) -> dict[str, str]:
    """Variables of a process: its number of threads, and, where there are several GPUs, one."""
    found = {} if threads is None else {"OMP_NUM_THREADS": str(threads)}
    count = torch.cuda.device_count()
    if count > 1:
        seen = os.environ.get("CUDA_VISIBLE_DEVICES", ",".join(map(str, range(count)))).split(",")
        found["CUDA_VISIBLE_DEVICES"] = seen[(place - 1) % count]
    return found
