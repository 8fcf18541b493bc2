"""`energan report`."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from energan.cli.options import parse
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
    from energan.report.sweep.page import write

    return write(asked.runs)


def figures(args: list[str]) -> int:
    import tyro

    @dataclass
    class Figures:
        """Redraw the papers' figures from runs.

        gan1d RUN: p_data (dotted), p_g (solid) and D (dashed) at four checkpoints of a run on the
        line, with the way from z to x below (Goodfellow et al. 2014, figure 1; recipe gan-line).

        neighbours RUN: samples, and framed the training image nearest to the last of each row
        (2014, figure 2).

        interpolation RUN: G along straight lines from one z to another (2014, figure 3).

        samples RUN RUN …: a panel of unpicked samples for each run, and the settings in which the
        runs differ (Zhao et al. 2017, figure 4: a GAN, an EBGAN, an EBGAN-PT).

        margins RUN RUN …: a strip of samples for each margin, the smallest first (2017, figure 9).

        seeds RUN RUN …: a panel of samples for each seed, the lowest first (2017, figure 10: the
        generator of EBGAN-LN).
        """

        kind: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="KIND")]
        """gan1d, neighbours, interpolation, samples, margins or seeds"""
        runs: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="RUN")] = ()
        """the runs' folders"""
        out: Path | None = None
        """a .png, .pdf or .svg; KIND.png if not set"""
        n: Annotated[int | None, tyro.conf.arg(aliases=["-n"])] = None
        """samples a panel or strip; of an interpolation, rows"""
        seed: int = 0
        """of the draws"""
        weights: Literal["ema", "raw"] | None = None
        """averaged or raw; averaged where there are any, but raw for gan1d"""
        checkpoint: str = "last"
        """last, best, or a step"""
        steps: tuple[int, ...] = ()
        """of gan1d: the checkpoints to show; the first kept, the last and two between if not set"""

    asked = parse(Figures, args, "energan figures")
    from energan.report import figures as papers
    from energan.report.figures.parts import Asked

    wanted = Asked(asked.n, asked.seed, asked.weights, asked.checkpoint, asked.steps)
    out = asked.out or Path(f"{asked.kind}.png")
    drawn = papers.draw(asked.kind, asked.runs, wanted)
    for note in drawn.notes:
        print(f"energan: {note}", file=sys.stderr)
    print(f"{drawn.says}: {papers.save(drawn, out)}")
    return 0
