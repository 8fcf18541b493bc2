"""Figures 2 and 3 of Goodfellow et al. 2014: nearest training images, interpolation in z."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from energan.data import DataSet, open_data
from energan.evaluation.neighbours import SEARCHED, nearest_events
from energan.inference import latents
from energan.inference.run import Run
from energan.io.pictures import grid
from energan.report.figures.layout import (
    TEXT,
    add_axes,
    add_text,
    draw_panel,
    new_figure,
    tile_size,
)
from energan.report.figures.options import (
    Drawing,
    FigureOptions,
    require_generator,
    require_images,
    single_run,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

EDGE = 0.06
"""Inches of white around the images."""
ROW, ROWS, BETWEEN = 5, 6, 10
"""Samples in a row of figure 2, rows of figure 3, images in each."""


def draw_neighbours(paths: Sequence[Path], options: FigureOptions) -> Drawing:
    """Figure 2: samples, and at the end of each row the training image nearest to the last one.

    Nearest is by the Euclidean distance of pixels; the image found is framed in yellow.
    """
    path = single_run(paths, "neighbours")
    run = options.open(path)
    require_images(run, "neighbours")
    count = options.count(ROW * 6)
    across = min(ROW, count)
    rows = -(-count // across)
    x = run.sample(rows * across, seed=options.seed)
    data = open_data(run.job.settings.data)
    distances, nearest = nearest_events(x[across - 1 :: across], data, 1)
    found = data.gather(nearest[:, 0]).x.float().cpu()
    return Drawing(
        _draw_framed(x, found, across, run),
        f"{rows * across} unpicked samples of {path.name} (seed {options.seed}), and framed the "
        "nearest training image to the last of each row, at pixel distances of "
        f"{float(distances.min()):.3g} to {float(distances.max()):.3g}",
        _notes(data),
    )


def _notes(data: DataSet) -> list[str]:
    if len(data) <= SEARCHED:
        return []
    return [f"only {SEARCHED:,} of {len(data):,} training images, spread, were looked at"]


def _draw_framed(x: Tensor, found: Tensor, across: int, run: Run) -> "Figure":
    from matplotlib.patches import Rectangle

    rows = torch.cat([x.unflatten(0, (-1, across)), found.unsqueeze(1)], 1)  # (R, A + 1, *event)
    side = tile_size(run.domain)
    width, height = side * (across + 1), side * len(found)
    figure = new_figure(width + 2 * EDGE, height + 0.3 + EDGE)
    axes = add_axes(figure, EDGE, 0.3, width, height)
    wide = draw_panel(axes, rows.flatten(0, 1), run.domain, across + 1)
    step = (wide - 2) / (across + 1)  # an image and its gap, of 2 pixels
    tall = (grid(rows.flatten(0, 1), run.domain, across + 1).height - 2) / len(found)
    for i in range(len(found)):
        corner = (across * step + 0.5, i * tall + 0.5)
        axes.add_patch(
            Rectangle(corner, step, tall, fill=False, edgecolor="#ffd400", linewidth=2.2)
        )
    description = "samples, and framed the nearest training image"
    add_text(figure, description, width / 2 + EDGE, 0.08, fontsize=TEXT)
    return figure


def draw_interpolation(paths: Sequence[Path], options: FigureOptions) -> Drawing:
    """Figure 3: in each row G of the points on the straight line from one z to another."""
    path = single_run(paths, "interpolation")
    run = options.open(path)
    require_images(run, "interpolation")
    require_generator(run)
    rows = options.count(ROWS)
    ends = latents.draw(run, 2 * rows, options.seed)
    assert ends is not None  # a generator has latents
    between = latents.linear(ends[:rows], ends[rows:], BETWEEN).flatten(0, 1)
    x = latents.generate(run, between, latents.row_labels(run, rows, BETWEEN))
    side = tile_size(run.domain)
    figure = new_figure(side * BETWEEN + 2 * EDGE, side * rows + 2 * EDGE)
    axes = add_axes(figure, EDGE, EDGE, side * BETWEEN, side * rows)
    draw_panel(axes, x, run.domain, BETWEEN)
    description = f"G of {BETWEEN} points on lines between {rows} pairs of z (seed {options.seed})"
    return Drawing(figure, f"{description}, {path.name}")
