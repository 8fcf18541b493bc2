"""`energan figures`: the papers' figures, drawn anew from runs."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from energan.cli.options import Checkpoint, default_target, parse
from energan.io.console import warn
from energan.report.figures import draw, save
from energan.report.figures.options import FigureOptions


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
    """a .png, .pdf or .svg; figure-KIND.png if not set"""
    n: Annotated[int | None, tyro.conf.arg(aliases=["-n"])] = None
    """samples a panel or strip; of an interpolation, rows"""
    seed: int = 0
    """of the draws"""
    weights: Literal["ema", "raw"] | None = None
    """averaged or raw; averaged where there are any, but raw for gan1d"""
    checkpoint: Checkpoint = "last"
    steps: tuple[int, ...] = ()
    """of gan1d: the checkpoints to show; the first kept, the last and two between if not set"""


def figures(args: list[str]) -> int:
    options = parse(Figures, args, "energan figures")
    wanted = FigureOptions(
        options.n, options.seed, options.weights, options.checkpoint, options.steps
    )
    drawn = draw(options.kind, options.runs, wanted)
    for note in drawn.notes:
        warn(note)
    out = options.out or default_target(Path(f"figure-{options.kind}.png"))
    print(f"{drawn.description}: {save(drawn, out)}")
    return 0
