"""`energan landscape`."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from energan.cli.options import parse


def landscape(args: list[str]) -> int:
    import tyro

    @dataclass
    class Landscape:
        """The energy of points in the plane as a map: contours, data, samples, arrows of −∇U."""

        run: Annotated[Path, tyro.conf.Positional]
        """the run's folder"""
        out: Path | None = None
        """a .png, .pdf or .svg, or of an animation a .gif; landscape.png or .gif if not set"""
        animate: tyro.conf.FlagCreatePairsOff[bool] = False
        """through training, from what the run kept of it every --output.sample-every steps"""
        density: tyro.conf.FlagCreatePairsOff[bool] = False
        """beside it exp(-U)/Z, and the density of the data"""
        data: str | None = None
        """where the data is now, if it was moved"""
        seed: int = 0
        """of the samples"""
        weights: Literal["ema", "raw"] | None = None
        """averaged or raw; averaged where there are any"""
        checkpoint: str = "last"
        """last, best, or a step"""

    asked = parse(Landscape, args, "energan landscape")
    _check(asked)
    from energan.report.figures.parts import Asked

    wanted = Asked(None, asked.seed, asked.weights, asked.checkpoint)
    says, notes, path = (_film if asked.animate else _still)(asked, wanted)
    for note in notes:
        print(f"energan: {note}", file=sys.stderr)
    print(f"{says}: {path}")
    return 0


def _check(asked: Any) -> None:
    """Raise SettingError for words that do not go together."""
    from energan.core import SettingError

    form = ".png" if asked.out is None else asked.out.suffix.lower()
    if asked.animate and (asked.density or asked.checkpoint != "last"):
        extra = "--density" if asked.density else "--checkpoint"
        raise SettingError(f"{extra} is of one step, and --animate shows all: leave one out")
    if asked.animate and asked.out is not None and (form != ".gif" or asked.out.is_dir()):
        raise SettingError(f"--out {asked.out}: an animation is written to a .gif file")
    if not asked.animate and form == ".gif":
        raise SettingError(f"--out {asked.out}: a .gif is an animation; add --animate")


def _still(asked: Any, wanted: Any) -> tuple[str, list[str], Path]:
    from energan.report import figures
    from energan.report.figures import landscape as still

    run = still.open_plane(asked.run, wanted)
    notes = [f"{warning}; using {run.checkpoint.name} instead" for warning in run.warnings]
    drawn = still.still(run, still.data_of(run, asked.data), asked.seed, asked.density)
    path = figures.save(drawn, asked.out or Path("landscape.png"))
    return drawn.says, [*notes, *drawn.notes], path


def _film(asked: Any, wanted: Any) -> tuple[str, list[str], Path]:
    from energan.report.figures import animation

    film = animation.film(asked.run, wanted, asked.data)
    path = animation.save(film.shown, film.name, asked.out or Path("landscape.gif"))
    first, last = film.shown[0].step, film.shown[-1].step
    says = f"{len(film.shown)} landscapes of {asked.run}, steps {first:,} to {last:,}"
    return says, film.notes, path
