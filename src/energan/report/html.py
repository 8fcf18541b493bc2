"""Pictures as data URIs, figures in a light and a dark version, and the template they go into."""

import io
import re
import warnings
from base64 import b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from PIL import Image

SIGN = re.compile(r"\b([Lf])_([A-Z]+)\b")
DPI = 160
INK = {"light": "#1d1f21", "dark": "#dcdcd6"}
FAINT = {"light": "#8a8d91", "dark": "#84868a"}
COLOURS = ("#3579b8", "#d0742c", "#3a9a6b", "#b04f86", "#8d7a2f", "#6d63b5", "#4aa3b0", "#a9504a")
"""Of runs and of lines, readable on white and on black."""


@dataclass(frozen=True)
class Theme:
    """What a drawing is drawn with: the colours of the page that it will lie on."""

    ink: str
    faint: str
    colours: tuple[str, ...] = COLOURS


@dataclass(frozen=True)
class Picture:
    """A picture of the page: PNG bytes, for a dark page too where it has ink of its own.

    name: of its file. title, caption: what it is and what to look for. tall: it takes two rows of
    the page's grid.
    """

    name: str
    title: str
    caption: str
    light: bytes
    dark: bytes | None = None
    tall: bool = False

    @property
    def uri(self) -> str:
        return data_uri(self.light)

    @property
    def dark_uri(self) -> str | None:
        return None if self.dark is None else data_uri(self.dark)


Cell = str | tuple[str, str]
"""A text, or one with a smaller one below it."""


@dataclass(frozen=True)
class PageTable:
    """A table of the page: the first cell of each row is its head. caption: below it."""

    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    caption: str = ""


def data_uri(png: bytes) -> str:
    return "data:image/png;base64," + b64encode(png).decode("ascii")


def encode_image(name: str, title: str, caption: str, image: Image.Image, **more: Any) -> Picture:
    """A picture of images, the same on a light and on a dark page."""
    file = io.BytesIO()
    image.save(file, "PNG")
    return Picture(name, title, caption, file.getvalue(), **more)


def draw_figure(
    name: str,
    title: str,
    caption: str,
    draw: Callable[[Any, Theme], None],
    size: tuple[float, float] = (4.7, 2.8),
    **more: Any,
) -> Picture:
    """A figure that `draw(axes, pen)` draws, once for each theme."""
    light = _render_figure(draw, size, "light", "white")
    return Picture(name, title, caption, light, _render_figure(draw, size, "dark", "none"), **more)


def _render_figure(
    draw: Callable[[Any, Theme], None], size: tuple[float, float], theme: str, face: str
) -> bytes:
    import matplotlib
    from matplotlib.figure import Figure  # no pyplot: no display

    ink, faint = INK[theme], FAINT[theme]
    style: dict[Any, Any] = {
        "font.family": ["STIXGeneral", "DejaVu Sans"], "font.size": 10, "mathtext.fontset": "stix",
        "text.color": ink, "axes.labelcolor": ink, "axes.edgecolor": faint, "xtick.color": ink,
        "ytick.color": ink, "xtick.labelsize": 9, "ytick.labelsize": 9, "axes.linewidth": 0.6,
        "xtick.major.width": 0.6, "ytick.major.width": 0.6, "axes.spines.top": False,
        "axes.spines.right": False, "legend.frameon": False, "legend.fontsize": 9,
        "lines.linewidth": 1.3, "axes.facecolor": "none", "axes.unicode_minus": True,
    }  # fmt: skip
    file = io.BytesIO()
    with matplotlib.rc_context(style), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")  # of a run's name, in a rare script
        figure = Figure(figsize=size, layout="constrained")
        draw(figure.add_subplot(), Theme(ink, faint))
        figure.savefig(file, format="png", dpi=DPI, facecolor=face)
    return file.getvalue()


def safe_label(name: str) -> str:
    """A run's name as a legend takes it: not too long, no formula, not hidden by an underscore."""
    short = name if len(name) <= 32 else "…" + name[-31:]
    short = short.replace("$", r"\$")
    return f" {short}" if short.startswith("_") else short


def _set_signs(caption: str) -> Any:
    """A caption with its signs set as signs: L_D as an L with a D below."""
    from markupsafe import Markup, escape

    return Markup(SIGN.sub(r"<i>\1</i><sub>\2</sub>", str(escape(caption))))


def render_page(template: str = "template.html.j2", **what: Any) -> str:
    """The page, from a template beside this file."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("energan.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["signs"] = _set_signs
    return environment.get_template(template).render(**what)
