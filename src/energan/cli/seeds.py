"""`energan train --seeds N` and `energan resume RUN RUN ...`: which way they go, how they end."""

import shlex
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

from energan.cli.options import without_options
from energan.errors import DataError, RunError, SettingError

Together = Literal["auto", "cohort", "processes", "turns"]
HELP = (
    "how several seeds train: as one program (cohort), each in a process with its share of the "
    "threads (processes), one after the other (turns), or the fastest of these for the device"
)
FASTEST: dict[str, Together] = {"cpu": "processes", "cuda": "cohort"}
"""By benchmarks/cohort.py; see docs/seeds.md."""
INSTEAD: dict[str, Together] = {"cpu": "processes", "cuda": "turns"}
"""Where a model's layers take no member axis."""
ENDS = ("finished", "stopped", "diverged")


def train(job: Any, count: int, asked: Any, args: list[str]) -> int:
    """Train the job's seed and the `count` − 1 after it. args: the words after `energan train`."""
    from energan.training.distributed import asked_ranks

    if count < 1:
        raise SettingError(f"--seeds {count}: at least 1")
    if asked_ranks() > 1:
        raise SettingError("several seeds train on one machine: start --seeds without torchrun")
    way = _way(job, count, asked.together)
    if way == "cohort":
        from energan.evaluation.checkpoint_metric import checkpoint_metric
        from energan.experiment import cohort as seeds

        done = seeds.start(
            job, count, asked.out, from_run=asked.from_, checkpoint_metric=checkpoint_metric
        )
        return _ended([f.path for f in done.folders])
    from energan.experiment.cohort import jobs_of
    from energan.experiment.folders import claim_seeds

    _probe(job)  # what is wrong is said once, and the data is decoded once
    numbers = [own.settings.seed for own in jobs_of(job, count)]
    folders = [f.path for f in claim_seeds(job, numbers, asked.out)]
    options = ("--seeds", "--together", "--out", "--seed", "--threads", "--engine.threads")
    words, at_once, threads = without_options(args, options), *_share(job, count, way)
    commands = [
        (
            folder.name,
            ["train", *words, "--seed", str(number), "--threads", str(threads), "--out",
             str(folder)],
        )
        for number, folder in zip(numbers, folders, strict=True)
    ]  # fmt: skip
    left = _run(commands, folders, at_once, threads)
    if left < count:
        print(
            f"not begun: {count - left} of {count} seeds; begin them with: energan train "
            f"{shlex.join(words)} --seed {numbers[left]} --seeds {count - left}"
            + (f" --out {asked.out}" if asked.out else "")
        )
    return _ended(folders[:left])


def resume(asked: Any, alone: Callable[[Path], int]) -> int:
    """Go on with several runs; `alone` does so with one."""
    from energan.io.run_folder import RunFolder

    folders = [RunFolder(path) for path in asked.runs]
    for folder in folders:
        folder.read_config()
    paths = [f.path for f in folders if not _stays(f, asked)]
    if not paths:
        raise RunError("none of the runs is left to go on with; give --steps to train further")
    if len(paths) == 1:
        return alone(paths[0])
    cohort = [(RunFolder(p).read("start") or [{}])[-1].get("cohort") for p in paths]
    way = asked.together
    if way == "auto":
        together = cohort[0] and all(c == cohort[0] for c in cohort)
        way = "cohort" if together and asked.on_divergence != "rollback" else "processes"
    if way == "cohort":
        if asked.on_divergence == "rollback":
            raise SettingError(
                "a member of a cohort cannot go back alone: leave --on-divergence, or go on with "
                "the runs apart (--together processes)"
            )
        from energan.evaluation.checkpoint_metric import checkpoint_metric
        from energan.experiment import resume as seeds_resume

        done = seeds_resume.resume(
            paths,
            steps=asked.steps,
            threads=asked.threads,
            data_at=asked.data,
            checkpoint_metric=checkpoint_metric,
        )
        return _ended([f.path for f in done.folders])
    threads = asked.threads or max(RunFolder(p).read_config()["resolved"]["threads"] for p in paths)
    at_once = 1 if way == "turns" else max(1, _cores() // threads)
    options = (("--steps", asked.steps), ("--threads", asked.threads), ("--data", asked.data),
               ("--on-divergence", asked.on_divergence))  # fmt: skip
    words = [w for name, value in options if value is not None for w in (name, str(value))]
    commands = [(path.name, ["resume", str(path), *words]) for path in paths]
    _run(commands, paths, at_once, threads)
    return _ended(paths)


def _stays(folder: Any, asked: Any) -> bool:
    """Whether a run is left as it is, and says so: it is finished, or diverged."""
    state = folder.state()
    if state == "finished" and asked.steps is None:
        print(f"{folder.path} is finished", file=sys.stderr)
        return True
    if state == "diverged" and asked.on_divergence != "rollback":
        print(
            f"{folder.path} diverged and is left out; let it go back and halve its rates: energan "
            f"resume {folder.path} --on-divergence rollback",
            file=sys.stderr,
        )
        return True
    return False


def _way(job: Any, count: int, asked: Together) -> Together:
    """How the seeds train; why not as a cohort is said."""
    if count == 1:
        return "turns"
    if asked != "auto":
        return asked
    from energan.training.device import choose

    device = choose(job.settings.engine, switches=False).device.type
    if FASTEST[device] != "cohort":
        return FASTEST[device]
    if reason := _probe(job):
        print(f"the seeds train by --together {INSTEAD[device]}: {reason}", file=sys.stderr)
        return INSTEAD[device]
    return "cohort"


def _probe(job: Any) -> str:
    """Why the job's seeds cannot train as a cohort, if they cannot.

    Raises SettingError or DataError if no seed of it can train at all.
    """
    from energan.data import open_data
    from energan.experiment.cohort import check, loop_of_seeds
    from energan.training.device import choose

    data, engine = open_data(job.settings.data), choose(job.settings.engine, switches=False)
    loop_of_seeds(job, 1, data, engine)
    try:
        check(job, 2)
        loop_of_seeds(job, 2, data, engine)
    except (SettingError, DataError) as error:  # data that is streamed serves one run
        return str(error)
    return ""


def _share(job: Any, count: int, way: Together) -> tuple[int, int]:
    """(processes at once, threads of each)."""
    threads = job.settings.engine.threads or _cores()
    at_once = 1 if way == "turns" else min(threads, count)
    return at_once, threads // at_once


def _cores() -> int:
    from energan.training.device import EngineSettings, choose

    return choose(EngineSettings(device="cpu"), switches=False).threads


def _run(
    commands: Sequence[tuple[str, Sequence[str]]],
    folders: Sequence[Path],
    at_once: int,
    threads: int,
) -> int:
    """Run them; how many were begun. The folders of others that hold nothing are removed.

    Raises RunError if one failed by a user's error.
    """
    from energan.io.processes import run

    if at_once > 1:
        print(f"{at_once} seeds at once, {threads} threads each", file=sys.stderr)
    codes = run(commands, at_once, threads)
    begun = sum(code is not None for code in codes)  # they begin in order
    for path in folders[begun:]:
        with suppress(OSError):  # it holds a run, to be gone on with
            path.rmdir()
    failed = [
        path
        for path, code in zip(folders, codes, strict=True)
        if code not in (0, 3, 130, 143, None)
    ]
    if failed:
        raise RunError(f"{failed[0]} failed, as it says above; mend that, and train it again")
    return begun


def _ended(folders: Sequence[Path]) -> int:
    """Say where the runs are and what is next.

    Its exit code: 128 + signal of what was stopped, 3 if a seed diverged, else 0.
    """
    from energan.io.run_folder import RunFolder

    print(f"runs:    {_named(folders)}")
    ends = [
        next((e for e in reversed(RunFolder(p).read()) if e["event"] in ENDS), None)
        for p in folders
    ]
    stopped = [e for e in ends if e is not None and e["event"] == "stopped"]
    diverged = [
        p for p, e in zip(folders, ends, strict=True) if e is not None and e["event"] == "diverged"
    ]
    if stopped:
        print(f"stopped; go on with: energan resume {_named(folders)}")
        return 128 + signal.Signals[stopped[0]["reason"]].value
    for path in diverged:
        print(f"diverged: {path}")
    print(f"more:    energan evaluate {_named(folders)}   (mean and spread over the seeds)")
    return 3 if diverged else 0


def _named(folders: Sequence[Path]) -> str:
    """The folders as a shell takes them, by a pattern where it means them and no others."""
    if len(folders) > 3:
        stem = folders[0].name.rstrip("0123456789")
        pattern = folders[0].with_name(f"{stem}*")
        if sorted(folders[0].parent.glob(pattern.name)) == sorted(folders):
            return str(pattern)
    return shlex.join(map(str, folders))
