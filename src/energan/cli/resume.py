"""`energan resume`, of one run or of several."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from energan.cli.options import parse
from energan.cli.outcome import report_run, report_runs
from energan.cli.seeds import HELP, Together, all_cores, run_processes
from energan.errors import EnerganError, RunError, SettingError
from energan.evaluation.checkpoint_metric import checkpoint_metric
from energan.experiment.resume import resume as resume_runs
from energan.experiment.run_records import job_of
from energan.io.run_folder import RunFolder
from energan.training.device import EngineSettings, choose

DEVICE = "where to train: auto, cpu, cuda, or cuda:1 for the second GPU; by default as before"


@dataclass
class Resume:
    """Resume one or more stopped runs from their newest good checkpoint."""

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="RUN [RUN ...]")]
    """the run's folder; name all runs that trained as one cohort to resume them together"""
    steps: int | None = None
    """train up to this many steps instead of the original number"""
    threads: int | None = None
    """number of CPU threads; by default as before (another number changes the last digits)"""
    device: Annotated[str | None, tyro.conf.arg(help=DEVICE)] = None
    on_divergence: Literal["stop", "rollback"] | None = None
    """what to do if a loss is not finite; by default as the run was started"""
    data: str | None = None
    """the data's new place, if it was moved; it must hold the same examples"""
    together: Annotated[Together, tyro.conf.arg(help=HELP)] = "auto"


def resume(args: list[str]) -> int:
    options = parse(Resume, args, "energan resume")
    if not options.runs:
        raise EnerganError("name a run's folder: `energan runs` lists them")
    if len(options.runs) == 1:
        return _alone(options.runs[0], options)
    folders = [RunFolder(path) for path in options.runs]
    for folder in folders:
        folder.read_config()
    paths = [folder.path for folder in folders if not _stays(folder, options)]
    if not paths:
        raise RunError("none of these runs can be continued; give --steps to train further")
    if len(paths) == 1:
        return _alone(paths[0], options)
    way = _way(paths, options)
    return _as_cohort(paths, options) if way == "cohort" else _apart(paths, options, way)


def _alone(path: Path, options: Resume) -> int:
    return report_run(_together([path], options)[0])


def _together(paths: Sequence[Path], options: Resume) -> list[RunFolder]:
    return resume_runs(
        paths,
        steps=options.steps,
        threads=options.threads,
        device=options.device,
        on_divergence=options.on_divergence,
        data_at=options.data,
        checkpoint_metric=checkpoint_metric,
    )


def _stays(folder: RunFolder, options: Resume) -> bool:
    """Whether a run is left as it is, and says so: it is finished, or diverged."""
    state = folder.state()
    if state == "finished" and options.steps is None:
        print(f"{folder.path} is finished", file=sys.stderr)
        return True
    if state == "diverged" and options.on_divergence != "rollback":
        print(
            f"{folder.path} diverged and is left out; to roll it back with half the learning "
            f"rates: energan resume {folder.path} --on-divergence rollback",
            file=sys.stderr,
        )
        return True
    return False


def _way(paths: Sequence[Path], options: Resume) -> Together:
    """How the runs go on: as they trained, if nothing else was asked for."""
    if options.together != "auto":
        return options.together
    cohorts = [(RunFolder(p).read("start") or [{}])[-1].get("cohort") for p in paths]
    together = cohorts[0] and all(c == cohorts[0] for c in cohorts)
    return "cohort" if together and options.on_divergence != "rollback" else "processes"


def _as_cohort(paths: Sequence[Path], options: Resume) -> int:
    if options.on_divergence == "rollback":
        raise SettingError(
            "a run of a cohort cannot be rolled back alone: leave out --on-divergence, or train "
            "the runs separately (--together processes)"
        )
    return report_runs([folder.path for folder in _together(paths, options)])


def _apart(paths: Sequence[Path], options: Resume, way: Together) -> int:
    """Each in a process of its own, side by side or in turns."""
    threads = options.threads or max(
        RunFolder(path).read_config()["resolved"]["threads"] for path in paths
    )
    at_once = 1 if way == "turns" else max(1, all_cores() // threads)
    given = (("--steps", options.steps), ("--threads", options.threads), ("--data", options.data),
             ("--device", options.device),
             ("--on-divergence", options.on_divergence))  # fmt: skip
    words = [w for name, value in given if value is not None for w in (name, str(value))]
    commands = [(path.name, ["resume", str(path), *words]) for path in paths]
    settings = [job_of(RunFolder(path))[0].settings.engine for path in paths]
    engine = settings[0] if options.device is None else EngineSettings(device=options.device)
    run_processes(commands, paths, at_once, threads, choose(engine, switches=False).device)
    return report_runs(paths)
