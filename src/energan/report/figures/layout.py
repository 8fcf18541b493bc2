"""How the papers' figures are laid out: axes and texts at places in inches, panels of samples."""

import math
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from torch import Tensor

from energan.core import Domain, SettingError
from energan.io import pictures

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Layout = Literal["constrained"] | None
DPI = 150
TITLE, TEXT, SMALL = 11, 9, 8
"""Sizes of type, in points."""
POINTS = 2000


def new_figure(width: float, height: float, layout: Layout = None) -> "Figure":
    """An empty figure, in inches; with the layout "constrained" it places its axes itself."""
    from matplotlib.figure import Figure  # no pyplot: no global state, no display

    return Figure(figsize=(width, height), layout=layout, dpi=DPI)


def draw_panel(
    axes: "Axes", x: Tensor, domain: Domain, columns: int, real: Tensor | None = None
) -> int:
    """Draw samples (N, *event): images in a grid of `columns`, points as dots before real ones.

    Returns the pixels across of the grid, 0 for points.
    Raises SettingError for events that are neither.
    """
    axes.set_xticks([])
    axes.set_yticks([])
    if pictures.is_image(domain):
        image = np.asarray(pictures.grid(x, domain, columns).convert("RGB"))
        axes.imshow(image, interpolation="antialiased")
        axes.axis("off")
        return int(image.shape[1])
    if len(domain.shape) != 1 or domain.shape[0] < 2:
        raise SettingError(
            f"examples of shape {domain.shape} make no panel: name runs on images, or on points of "
            "two numbers"
        )
    for points, colour in ((real, "0.8"), (x, "tab:blue")):
        if points is not None:
            across, up = points[:, :2].T.cpu().numpy()
            axes.scatter(across, up, s=2, c=colour, linewidths=0)
    axes.set_aspect("equal", adjustable="datalim")
    return 0


def tile_size(domain: Domain) -> float:
    """Inches that an image of a grid takes with its gap, so that none of its pixels is lost."""
    if not pictures.is_image(domain):
        return 0.55
    side = max(domain.shape[1:])
    return (side * max(1, 64 // side) + 2) * 1.2 / DPI


def add_axes(figure: "Figure", left: float, top: float, width: float, height: float) -> "Axes":
    """Axes at a place given in inches from the figure's upper left corner."""
    wide, tall = figure.get_size_inches()
    return figure.add_axes((left / wide, 1 - (top + height) / tall, width / wide, height / tall))


def add_text(figure: "Figure", text: str, across: float, top: float, **how: Any) -> None:
    """Text with the middle of its upper edge at a place in inches from the upper left corner."""
    wide, tall = figure.get_size_inches()
    at = (across / wide, 1 - top / tall)
    figure.text(*at, text, ha="center", va="top", parse_math=False, **how)


def panel_letter(index: int) -> str:
    """(a), (b), … and after (z) numbers."""
    return f"({chr(ord('a') + index)})" if index < 26 else f"({index + 1})"


def square_columns(count: int) -> int:
    """Columns of a grid that is nearly square."""
    return math.ceil(math.sqrt(count))
