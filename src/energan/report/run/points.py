"""Pictures of points: samples over data, and the energy where it can be mapped."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from energan.data import DataSet
from energan.experiment.callbacks import landscapes
from energan.inference.run import Run
from energan.report import energy_map
from energan.report.html import Picture, Theme, draw_figure

SHOWN, SIDE, LINE = 2000, 121, 400


def draw_points(
    run: Run, x: Tensor | None, data: DataSet | None, margin: Callable[[int], float] | None
) -> list[Picture]:
    """A scatter of samples (N, D) over data, and the energy over the box that holds them.

    x: None of a run that makes none; then there is no scatter, and without data nothing.
    """
    real = None
    if data is not None:
        real = data.gather(torch.arange(min(SHOWN, len(data)))).x.float().cpu()
    x = None if x is None else x[:SHOWN]
    inside = x if real is None else real
    if inside is None:
        return []
    level = None if margin is None else margin(run.step)
    if run.domain.size == 1:
        return [_line(run, x, real, landscapes.bounding_box(inside), level)]
    made = [] if x is None else [_scatter(x, real)]
    if run.domain.size == 2:
        made.append(_map(run, real, landscapes.bounding_box(inside), level))
    return made


def _scatter(x: Tensor, real: Tensor | None) -> Picture:
    def draw(axes: Any, theme: Theme) -> None:
        parts = ((real, theme.faint, 0.7, "data"), (x, theme.colours[0], 0.6, "samples"))
        for points, colour, alpha, name in parts:
            if points is not None:
                across, up = points[:, :2].T.numpy()
                axes.scatter(across, up, s=3, c=colour, alpha=alpha, linewidths=0, label=name)
        axes.set_aspect("equal", adjustable="datalim")
        axes.legend(loc="upper right", markerscale=3, handletextpad=0.1)

    behind = "" if real is None else f" over {len(real):,} of the data"
    caption = (
        f"{len(x):,} samples{behind}. Every mode of the data should hold samples, and the space "
        "between modes none."
    )
    if x.shape[1] > 2:
        caption += f" The first two of {x.shape[1]} coordinates."
    return draw_figure("points", "Samples and data", caption, draw, (4.7, 4.2))


def _map(
    run: Run, real: Tensor | None, corners: tuple[Tensor, Tensor], level: float | None
) -> Picture:
    """Contours of U, and arrows of −∇U, over the box of the data, or of the samples."""
    shown = torch.empty(0, 2) if real is None else real[: landscapes.SHOWN]
    land = energy_map.compute_landscape(run, corners, torch.empty(0, 2), shown, SIDE)

    def draw(axes: Any, theme: Theme) -> None:
        filled = energy_map.draw_map(axes, land, energy_map.energy_range([land]))
        axes.figure.colorbar(
            filled, ax=axes, label="U(x)", pad=0.02, shrink=0.9
        ).outline.set_visible(False)
        if level is not None and float(land.energy.min()) < level < float(land.energy.max()):
            across, up = landscapes.grid_axes(*corners, SIDE)
            axes.contour(across, up, land.energy, [level], colors="white", linewidths=1.2)
        energy_map.draw_arrows(axes, land)
        energy_map.draw_points(axes, land)

    caption = (
        "The energy over the plane, with the data in black; low (bright) where the model "
        "expects data. Arrows: −∇U, downhill. Colours end where only a tenth of the map is "
        "higher."
    )
    if level is not None:
        caption += f" Thick white line: U = m = {level:.3g}, if it is inside the box."
    return draw_figure("energy-map", "Energy map", caption, draw, (4.7, 4.2))


def _line(
    run: Run,
    x: Tensor | None,
    real: Tensor | None,
    corners: tuple[Tensor, Tensor],
    level: float | None,
) -> Picture:
    """Densities of samples and data on the line, with U above them."""
    low, high = corners
    places = torch.linspace(float(low[0]), float(high[0]), LINE)
    energy = run.energy(places[:, None])

    def draw(axes: Any, theme: Theme) -> None:
        parts = ((real, theme.faint, "data"), (x, theme.colours[0], "samples"))
        for values, colour, name in parts:
            if values is not None:
                inside = values.flatten().clamp(float(low[0]), float(high[0]))
                axes.hist(inside, 60, density=True, color=colour, alpha=0.6, label=name)
        other = axes.twinx()
        other.plot(places, energy, color=theme.colours[1], label="U(x)")
        if level is not None:
            other.axhline(level, color=theme.ink, linestyle=":", linewidth=0.8)
        axes.set_xlabel("x")
        axes.set_ylabel("density")
        other.set_ylabel("U(x)", color=theme.colours[1])
        axes.legend(loc="upper left")

    caption = "Densities of samples and data, and the energy, which should be low at the data."
    return draw_figure("points", "Samples, data and energy", caption, draw)
