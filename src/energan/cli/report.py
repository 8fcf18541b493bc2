"""`energan report`: a web page about runs, or about sweeps."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from energan.cli.options import default_target, parse
from energan.errors import SettingError
from energan.io.run_folder import RunFolder
from energan.report.page import write_report
from energan.report.sweep.page import write as write_sweep_report


@dataclass
class Report:
    """Write a web page about one or more runs, or one or more sweeps: scores, curves and
    pictures. It works offline; its figures are PNG files next to it."""

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """run folders, or sweep folders"""
    out: Path | None = None
    """the page to write; by default report.html in the run's folder, or in this folder for several
    runs"""
    no_data: tyro.conf.FlagCreatePairsOff[bool] = False
    """do not open the data: the page then has no nearest neighbours and no reconstructions"""


def report(args: list[str]) -> int:
    options = parse(Report, args, "energan report")
    if _are_sweeps(options.runs):
        if options.out is not None:
            raise SettingError(
                f"the page of a sweep is written to its folder, {options.runs[0]}: leave --out out"
            )
        path = write_sweep_report(options.runs)
    else:
        out = options.out
        if out is None and len(options.runs) > 1:
            for run in options.runs:
                RunFolder(run).read_config()  # raises RunError
            out = default_target(Path("report.html"))
        path = write_report(options.runs, out, data=not options.no_data, say=_say)
        _say("")
    print(f"report: {path}")
    return 0


def _are_sweeps(folders: Sequence[Path]) -> bool:
    """Raises SettingError if some are sweeps and some are not."""
    sweeps = [path for path in folders if (path / "sweep.json").is_file()]
    if sweeps and len(sweeps) < len(folders):
        other = next(path for path in folders if path not in sweeps)
        raise SettingError(
            f"{sweeps[0]} is a sweep and {other} is not: name only sweeps, or only runs"
        )
    return bool(sweeps)


def _say(text: str) -> None:
    """What is being done, in place of what was said before; only on a terminal."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)
