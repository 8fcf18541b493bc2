"""The papers' figures, drawn anew from runs."""

from collections.abc import Callable, Sequence
from difflib import get_close_matches
from pathlib import Path

from energan.core import RunError, SettingError
from energan.io.files import aside
from energan.report.figures.gan1d import draw_gan1d
from energan.report.figures.images import draw_interpolation, draw_neighbours
from energan.report.figures.layout import DPI
from energan.report.figures.options import Drawing, FigureOptions
from energan.report.figures.panels import draw_margins, draw_samples, draw_seeds
from energan.version import __version__

UNDATED: dict[str, dict[str, str | None]] = {
    ".png": {"Software": f"energan {__version__}"},
    ".pdf": {"CreationDate": None},
    ".svg": {"Date": None},
}
"""What a file of each form is told, so that the same figure is the same file."""


FIGURES: dict[str, Callable[[Sequence[Path], FigureOptions], Drawing]] = {
    "gan1d": draw_gan1d,
    "neighbours": draw_neighbours,
    "interpolation": draw_interpolation,
    "samples": draw_samples,
    "margins": draw_margins,
    "seeds": draw_seeds,
}


def draw(kind: str, runs: Sequence[Path], options: FigureOptions | None = None) -> Drawing:
    """The figure of this kind.

    Raises SettingError for a kind that is not known or does not suit the runs, RunError for a
    folder that holds no run, DataError if a figure needs the data and they are not there.
    """
    if kind not in FIGURES:
        near = get_close_matches(kind, FIGURES, 1)
        hint = f" (did you mean {near[0]}?)" if near else ""
        raise SettingError(f"no figure {kind!r}{hint}: choose from {', '.join(FIGURES)}")
    if not runs:
        raise RunError(f"name the run to draw: energan figures {kind} RUN")
    return FIGURES[kind](runs, options or FigureOptions())


def save(drawn: Drawing, path: Path) -> Path:
    """Write the figure as .png (150 dots an inch), .pdf or .svg; it says in the file what it shows.

    Raises SettingError for another form, or a folder.
    """
    import matplotlib

    metadata = UNDATED.get(path.suffix.lower())
    if metadata is None or path.is_dir():
        raise SettingError(f"--out {path}: name a {', a '.join(UNDATED)} file")
    with matplotlib.rc_context({"svg.hashsalt": "energan"}), aside(path) as made:
        drawn.figure.savefig(made, dpi=DPI, metadata={"Title": drawn.description, **metadata})
    return path
