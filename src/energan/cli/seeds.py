"""`energan train --seeds N`: several seeds as a cohort, side by side or in turns."""

import json
import shlex
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

import torch

from energan.cli.options import without_options
from energan.cli.outcome import report_runs
from energan.core.accelerators import variables_of_place
from energan.data import open_data
from energan.errors import DataError, Interrupted, RunError, SettingError
from energan.evaluation.checkpoint_metric import checkpoint_metric
from energan.experiment.build import cohort_of
from energan.experiment.compatibility import check_together, jobs_of
from energan.experiment.folders import check_free, claim, seed_endings, seed_folders
from energan.experiment.margin import with_any_margin
from energan.experiment.settings import Job
from energan.experiment.start import NOT_BEGUN, start
from energan.experiment.time_budget import check_minutes, of_each
from energan.io.processes import STOPPED, Pool, Work, run_process
from energan.io.run_folder import RunFolder
from energan.io.signals import interrupted_as
from energan.io.text import plural
from energan.training.device import EngineSettings, choose
from energan.training.distributed import asked_ranks

Together = Literal["auto", "cohort", "processes", "turns"]
HELP = (
    "how several seeds train: as one program (cohort), in one process each with a share of the "
    "threads (processes), one after the other (turns), or the fastest of these on this device "
    "(auto)"
)
OWN = ("--seeds", "--together", "--out", "--seed", "--threads", "--engine.threads")
"""Options that are not passed to a seed's process unchanged."""


def train_seeds(
    job: Job,
    count: int,
    together: Together,
    out: Path | None,
    from_run: Path | None,
    minutes: float | None,
    args: list[str],
) -> int:
    """Train the job's seed and the `count` − 1 after it. minutes: for all of them together. args:
    the words after `energan train`."""
    if count < 1:
        raise SettingError(f"--seeds {count}: give at least 1")
    if asked_ranks() > 1:
        raise SettingError("--seeds trains on one machine: start it without torchrun")
    way = _way(job, count, together)
    jobs = jobs_of(job, count)
    chosen = seed_folders(out, jobs)
    if way == "cohort":
        done = start(
            jobs,
            chosen,
            from_run=from_run,
            checkpoint_metric=checkpoint_metric,
            minutes=minutes,
        )
        return report_runs([folder.path for folder in done])
    if minutes is not None:
        check_minutes(job, minutes)
    with interrupted_as(lambda: NOT_BEGUN):
        _probe(job)  # what is wrong is said once, and the data is decoded once
    check_free(chosen or ())
    device = choose(job.settings.engine, switches=False).device
    words, (at_once, threads) = without_options(args, OWN), _share(job, count, way)
    if minutes is not None:
        words = without_options(words, ("--minutes",))
        words += ["--scale", _scale(words, minutes, -(-count // at_once), at_once, threads, device)]
    numbers = [own.settings.seed for own in jobs]
    folders = claim(job.recipe, chosen, seed_endings(jobs))
    commands = [
        (
            folder.name,
            ["train", *words, "--seed", str(number), "--threads", str(threads), "--out",
             str(folder)],
        )
        for number, folder in zip(numbers, folders, strict=True)
    ]  # fmt: skip
    left, stopped = run_processes(commands, folders, at_once, threads, device)
    if left < count:
        print(
            f"not started: {count - left} of {plural(count, 'seed')}; start them with: energan "
            f"train {shlex.join(words)} --seed {numbers[left]} --seeds {count - left}"
            + (f" --out {out}" if out else "")
        )
    if stopped and not left:  # before the first of them wrote anything
        return 128 + signal.Signals[stopped].value
    return report_runs(folders[:left])


def _scale(
    words: Sequence[str],
    minutes: float,
    turns: int,
    at_once: int,
    threads: int,
    device: torch.device,
) -> str:
    """The scale at which seeds train for so many minutes in so many turns, the least of those that
    are found when as many processes are timed at once as will train."""
    minutes /= turns
    command = ["train", *words, "--minutes", str(minutes), "--threads", str(threads), "--dry-run"]
    with TemporaryDirectory() as folder:
        logs = [Path(folder) / f"{place}.log" for place in range(at_once)]
        codes = dict.fromkeys(logs, 0)
        pool = Pool()

        def work_of(log: Path) -> Work:
            async def work(place: int) -> None:
                variables = {"OMP_NUM_THREADS": str(threads)} | variables_of_place(device, place)
                codes[log] = await run_process(
                    pool, place, ["energan", *command], variables, log=log
                )

            return work

        pool.run([work_of(log) for log in logs], at_once)
        if pool.stopped:
            raise Interrupted(NOT_BEGUN, pool.stopped)
        said = {log: log.read_text(encoding="utf8", errors="replace") for log in logs}
    for log, text in said.items():
        if codes[log]:
            raise RunError(of_each(text.strip().splitlines()[-1].removeprefix("energan: "), turns))
    # the settings are what each prints last, behind what it tells on the way
    found = [json.loads("{" + f"\n{text}".rpartition("\n{")[2]) for text in said.values()]
    scale = min((str(own["asked"]["scale"]) for own in found), key=Fraction)
    steps = min(own["settings"]["training"]["steps"] for own in found)
    print(
        f"{minutes:g} minutes for each seed give {plural(steps, 'step')} (--scale {scale})",
        file=sys.stderr,
    )
    return scale


def _way(job: Job, count: int, asked: Together) -> Together:
    """How the seeds train; why not as a cohort is said."""
    if count == 1:
        return "turns"
    if asked != "auto":
        return asked
    # measured with benchmarks/cohort.py; see docs/guides/training.md
    if choose(job.settings.engine, switches=False).device.type == "cpu":
        return "processes"
    if reason := _probe(job):  # its layers cannot train several seeds as one program
        print(f"the seeds train with --together turns: {reason}", file=sys.stderr)
        return "turns"
    return "cohort"


def _probe(job: Job) -> str:
    """Why the job's seeds cannot train as a cohort, if they cannot.

    Raises SettingError or DataError if no seed of it can train at all.
    """
    data, engine = open_data(job.settings.data), choose(job.settings.engine, switches=False)
    any_margin = with_any_margin(job)
    cohort_of([any_margin], data, engine)
    try:
        check_together(job)
        cohort_of(jobs_of(any_margin, 2), data, engine)
    except (SettingError, DataError) as error:  # data that is streamed serves one run
        return str(error)
    return ""


def _share(job: Job, count: int, way: Together) -> tuple[int, int]:
    """(processes at once, threads of each)."""
    threads = job.settings.engine.threads or all_cores()
    at_once = 1 if way == "turns" else min(threads, count)
    return at_once, threads // at_once


def all_cores() -> int:
    return choose(EngineSettings(device="cpu"), switches=False).threads


def run_processes(
    commands: Sequence[tuple[str, Sequence[str]]],
    folders: Sequence[Path],
    at_once: int,
    threads: int,
    device: torch.device,
) -> tuple[int, str | None]:
    """Run them; how many were begun, and the signal that stopped them, None if none did.

    device: where they train; of several GPUs each in turn.

    The folders of others that hold nothing are removed.

    Raises RunError if one failed by a user's error.
    """
    if at_once > 1:
        print(f"{at_once} seeds at once, {plural(threads, 'thread')} each", file=sys.stderr)
    pool, codes = Pool(), dict.fromkeys(folders)  # type: Pool, dict[Path, int | None]

    def work_of(folder: Path, name: str, words: Sequence[str]) -> Work:
        async def work(place: int) -> None:
            variables = {"OMP_NUM_THREADS": str(threads)} | variables_of_place(device, place)
            spoken = name if at_once > 1 else None
            code = await run_process(pool, place, ["energan", *words], variables, name=spoken)
            begun = code not in STOPPED or RunFolder(folder).exists()
            codes[folder] = code if begun else None
            pool.open = pool.open and code in (0, 3)  # 3: it diverged, the others go on

        return work

    pool.run([work_of(f, *command) for f, command in zip(folders, commands, strict=True)], at_once)
    begun = sum(code is not None for code in codes.values())  # they begin in order
    for path in folders[begun:]:
        with suppress(OSError):  # it holds a run, to be gone on with
            path.rmdir()
    failed = [path for path, code in codes.items() if code not in (0, 3, None, *STOPPED)]
    if failed:
        raise RunError(
            f"{failed[0]} failed (its error is printed above): correct it and train that seed again"
        )
    return begun, pool.stopped
