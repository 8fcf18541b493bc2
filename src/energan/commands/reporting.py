"""`energan report`."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from energan.commands.parts import parse
from energan.errors import SettingError


def report(args: list[str]) -> int:
    import tyro

    @dataclass
    class Report:
        """Write a web page about a run, or several side by side: scores, curves, pictures; or about
        a sweep, or several. It needs no network; its figures lie beside it as PNG files."""

        runs: Annotated[tuple[Path, ...], tyro.conf.Positional]
        """the runs' folders, or those of sweeps"""
        out: Path | None = None
        """the page; report.html in the run's folder if not set, or here for several runs"""
        no_data: tyro.conf.FlagCreatePairsOff[bool] = False
        """do not open the data: no nearest neighbours, no reconstructions"""

    asked = parse(Report, args, "energan report")
    if (path := _of_sweeps(asked)) is not None:
        print(f"report: {path}")
        return 0
    from energan.report.page import write_report

    def say(text: str) -> None:
        if sys.stderr.isatty():
            print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)

    path = write_report(asked.runs, asked.out, data=not asked.no_data, say=say)
    say("")
    print(f"report: {path}")
    return 0


def _of_sweeps(asked: Any) -> Path | None:
    """The page, if the folders are those of sweeps."""
    sweeps = [path for path in asked.runs if (path / "sweep.json").is_file()]
    if not sweeps:
        return None
    if len(sweeps) < len(asked.runs):
        other = next(path for path in asked.runs if path not in sweeps)
        raise SettingError(
            f"{sweeps[0]} is a sweep and {other} is none: a page is of sweeps, or of runs"
        )
    if asked.out is not None:
        raise SettingError(f"--out: the page of a sweep lies in its folder, {sweeps[0]}")
    from energan.report.sweep import write

    return write(asked.runs)
