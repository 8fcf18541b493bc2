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
    runs: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="[RUN ...]")] = ()
    """run folders"""
    out: Path | None = None
    """a .png, .pdf or .svg file; by default figure-KIND.png"""
    n: Annotated[int | None, tyro.conf.arg(aliases=["-n"])] = None
    """number of samples per panel or strip; for interpolation, number of rows"""
    seed: int = 0
    """seed of the samples"""
    weights: Literal["ema", "raw"] | None = None
    """averaged or raw weights; by default averaged if the run has them, raw for gan1d"""
    checkpoint: Checkpoint = "last"
    steps: tuple[int, ...] = ()
    """for gan1d: checkpoints to show; by default the first, the last and two between them"""


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
