"""`energan report`."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from energan.commands.parts import parse


def report(args: list[str]) -> int:
    import tyro

    @dataclass
    class Report:
        """Write a web page about a run, or several side by side: scores, curves, pictures. It needs
        no network; its figures lie beside it as PNG files."""

        runs: Annotated[tuple[Path, ...], tyro.conf.Positional]
        """the runs' folders"""
        out: Path | None = None
        """the page; report.html in the run's folder if not set, or here for several runs"""
        no_data: tyro.conf.FlagCreatePairsOff[bool] = False
        """do not open the data: no nearest neighbours, no reconstructions"""

    asked = parse(Report, args, "energan report")
    from energan.report.page import write_report

    def say(text: str) -> None:
        if sys.stderr.isatty():
            print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)

    path = write_report(asked.runs, asked.out, data=not asked.no_data, say=say)
    say("")
    print(f"report: {path}")
    return 0
