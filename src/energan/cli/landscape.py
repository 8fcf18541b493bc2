"""`energan landscape`."""

from dataclasses import dataclass
from pathlib import Path

import tyro

from energan.cli.options import Checkpoint, RunPath, Weights, default_target, parse
from energan.core import SettingError
from energan.io.console import warn
from energan.report import figures
from energan.report.figures import animation
from energan.report.figures.landscape import draw_landscape, open_data_of, open_plane
from energan.report.figures.options import FigureOptions


@dataclass
class Landscape:
    """Draw the energy of points in the plane as a map: contours, data, samples, and arrows of
    −∇U."""

    run: RunPath
    out: Path | None = None
    """a .png, .pdf or .svg file, or a .gif with --animate; by default landscape.png or .gif"""
    animate: tyro.conf.FlagCreatePairsOff[bool] = False
    """show the whole training, from the landscapes that the run stored every --output.sample-every
    steps"""
    density: tyro.conf.FlagCreatePairsOff[bool] = False
    """also show exp(-U)/Z, and the density of the data"""
    data: str | None = None
    """the data's new place, if it was moved"""
    seed: int = 0
    """seed of the samples"""
    weights: Weights = None
    checkpoint: Checkpoint = "last"


def landscape(args: list[str]) -> int:
    options = parse(Landscape, args, "energan landscape")
    _check(options)
    wanted = FigureOptions(None, options.seed, options.weights, options.checkpoint)
    description, notes, path = (_animation if options.animate else _still)(options, wanted)
    for note in notes:
        warn(note)
    print(f"{description}: {path}")
    return 0


def _check(options: Landscape) -> None:
    """Raise SettingError for words that do not go together."""
    out = options.out
    form = ".png" if out is None else out.suffix.lower()
    if options.animate and (options.density or options.checkpoint != "last"):
        extra = "--density" if options.density else "--checkpoint"
        raise SettingError(f"{extra} shows one step, and --animate all of them: leave one out")
    if options.animate and out is not None and (form != ".gif" or out.is_dir()):
        raise SettingError(f"--out {out}: name a .gif file, or leave --animate out")
    if not options.animate and form == ".gif":
        raise SettingError(f"--out {out}: a .gif needs --animate: add it, or name a .png")


def _still(options: Landscape, wanted: FigureOptions) -> tuple[str, list[str], Path]:
    run = open_plane(options.run, wanted)
    data = open_data_of(run, options.data)
    drawn = draw_landscape(run, data, options.seed, options.density)
    path = figures.save(drawn, options.out or default_target(Path("landscape.png")))
    return drawn.description, drawn.notes, path


def _animation(options: Landscape, wanted: FigureOptions) -> tuple[str, list[str], Path]:
    film = animation.animate(options.run, wanted, options.data)
    out = options.out or default_target(Path("landscape.gif"))
    path = animation.save(film.shown, film.name, out)
    first, last = film.shown[0].step, film.shown[-1].step
    description = f"{len(film.shown)} landscapes of {options.run}, steps {first:,} to {last:,}"
    return description, film.notes, path
