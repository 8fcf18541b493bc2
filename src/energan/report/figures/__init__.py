"""The papers' figures, drawn anew from runs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from energan.core import RunError, SettingError
from energan.io.files import aside
from energan.report.figures.gan1d import gan1d
from energan.report.figures.images import interpolation, neighbours
from energan.report.figures.layout import DPI
from energan.report.figures.options import Drawing, FigureOptions
from energan.report.figures.panels import margins, samples, seeds
from energan.version import __version__

UNDATED: dict[str, dict[str, str | None]] = {
    ".png": {"Software": f"energan {__version__}"},
    ".pdf": {"CreationDate": None},
    ".svg": {"Date": None},
}
"""What a file of each form is told, so that the same figure is the same file."""


@dataclass(frozen=True)
class Kind:
    """about: which figure it is, in a line; draw: from runs and how it is asked for."""

    about: str
    draw: Callable[[Sequence[Path], FigureOptions], Drawing]


FIGURES: dict[str, Kind] = {
    "gan1d": Kind("p_data, p_g and D on the line through training (Goodfellow 2014, 1)", gan1d),
    "neighbours": Kind("samples beside their nearest training images (2014, 2)", neighbours),
    "interpolation": Kind("G along straight lines in z (2014, 3)", interpolation),
    "samples": Kind("samples of runs side by side (Zhao 2017, 4)", samples),
    "margins": Kind("a strip of samples for each margin (Zhao 2017, 9)", margins),
    "seeds": Kind("a panel of samples for each seed (Zhao 2017, 10)", seeds),
}


def draw(kind: str, runs: Sequence[Path], options: FigureOptions | None = None) -> Drawing:
    """The figure of this kind.

    Raises SettingError for a kind that is not known or does not suit the runs, RunError for a
    folder that holds no run, DataError if a figure needs the data and they are not there.
    """
    if kind not in FIGURES:
        near = get_close_matches(kind, FIGURES, 1)
        hint = f" (did you mean {near[0]}?)" if near else ""
        raise SettingError(f"no figure {kind!r}{hint}: there are {', '.join(FIGURES)}")
    if not runs:
        raise RunError(f"name the run to draw: energan figures {kind} RUN")
    return FIGURES[kind].draw(runs, options or FigureOptions())


def save(drawn: Drawing, path: Path) -> Path:
    """Write the figure as .png (150 dots an inch), .pdf or .svg; it says in the file what it shows.

    Raises SettingError for another form, or a folder.
    """
    import matplotlib

    told = UNDATED.get(path.suffix.lower())
    if told is None or path.is_dir():
        raise SettingError(f"--out {path}: a figure is written to a {', a '.join(UNDATED)} file")
    with matplotlib.rc_context({"svg.hashsalt": "energan"}), aside(path) as made:
        drawn.figure.savefig(made, dpi=DPI, metadata={"Title": drawn.says, **told})
    return path
