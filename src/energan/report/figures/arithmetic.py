"""Latent arithmetic as Radford et al. 2015 draw it (figure 7)."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from torch import Tensor

from energan.core import Domain
from energan.evaluation.latent_arithmetic import ArithmeticResult
from energan.io.files import aside
from energan.io.pictures import to_uint8

SIDE = 0.9
"""Inches of an image."""


def draw(path: Path, found: ArithmeticResult, domain: Domain, titles: Sequence[str]) -> Path:
    """Three columns of what was averaged, its average below, framed; right of it a − b + c, framed,
    among its neighbours. titles: of a, b, c and what is wanted, as they are to be read."""
    pick = found.chosen.shape[1]
    rows = max(pick + 1, 4)
    figure = Figure(figsize=(SIDE * 8.2, SIDE * (rows + 0.8)))
    grid = figure.add_gridspec(
        rows, 7, width_ratios=[1, 1, 1, 0.5, 1, 1, 1], left=0.01, right=0.99, bottom=0.01,
        top=1 - 0.7 / (rows + 0.8), hspace=0.06, wspace=0.06,
    )  # fmt: skip
    for column, (sign, title) in enumerate(zip(("", "− ", "+ "), titles[:3], strict=True)):
        for row in range(pick):
            axes = _draw_image(figure, grid[row, column], found.chosen[column, row], domain)
            if row == 0:
                axes.set_title(sign + title.replace(",", "\n"), fontsize=7)
        mean = _draw_image(figure, grid[pick, column], found.means[column], domain)
        _frame(mean, "tab:blue")
    for place in range(9):
        axes = _draw_image(figure, grid[place // 3, 4 + place % 3], found.around[place], domain)
        if place == 1:
            rate = f"shown by {found.result.hits} of {found.result.draws} such sums"
            axes.set_title(f"= wanted: {titles[3]}\n{rate}", fontsize=7)
        if place == 4:
            _frame(axes, "tab:orange")
    with aside(path) as made:
        figure.savefig(made, dpi=150)
    return path


def _draw_image(figure: Figure, place: Any, image: Tensor, domain: Domain) -> Any:
    axes = figure.add_subplot(place)
    pixels = to_uint8(image.unsqueeze(0), domain)[0]
    grey = pixels.shape[-1] == 1
    axes.imshow(pixels[..., 0] if grey else pixels, cmap="grey" if grey else None, vmin=0, vmax=255)
    axes.set_xticks([])
    axes.set_yticks([])
    return axes


def _frame(axes: Any, colour: str) -> None:
    for spine in axes.spines.values():
        spine.set_color(colour)
        spine.set_linewidth(2)
