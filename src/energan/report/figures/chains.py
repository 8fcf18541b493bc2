"""Pictures of how chains went: strips of images, paths of points over the energy."""

from typing import TYPE_CHECKING, Any

import torch
from PIL import Image
from torch import Tensor

from energan.inference.composition import TrainedEnergy
from energan.io import pictures

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ROWS, PATHS, SIDE, LEVELS = 8, 12, 121, 24
SHOWN_OF_ENERGY = 0.6
"""Share of the plane whose levels are told apart: what lies higher is far from data."""
BORDER = 0.1
"""Share of the extent of the paths that is shown around them."""
START: dict[str, Any] = {"c": "white", "edgecolors": "black", "label": "start"}
END: dict[str, Any] = {"c": "tab:red", "label": "end"}


def draw_strip(snapshots: Tensor, run: TrainedEnergy) -> Image.Image:
    """Images (S, N, C, H, W): a row for each of the first chains, a column for each time."""
    rows = snapshots[:, :ROWS].transpose(0, 1).flatten(0, 1)
    return pictures.grid(rows, run.domain, columns=len(snapshots))


def draw_paths(
    snapshots: Tensor, steps: tuple[int, ...], run: TrainedEnergy, label: int | None = None
) -> "Figure":
    """Points (S, N, D): the ways of the first chains over the energy of `run` in the plane.

    Points of one number go up over the steps; of more than two the first two are shown, without the
    energy. label: whose energy is drawn, of a run that takes labels; the least over all if None.
    """
    from matplotlib.figure import Figure  # no pyplot: no global state, no display

    figure = Figure(figsize=(6, 5), layout="constrained")
    axes = figure.add_subplot()
    if snapshots.shape[2] == 1:
        axes.plot(steps, snapshots[:, :PATHS, 0].numpy(), linewidth=0.8)
        axes.set(xlabel="step", ylabel="x")
        return figure
    if snapshots.shape[2] == 2:
        _energy(axes, snapshots, run, label)
        axes.set_aspect("equal")
    axes.plot(*snapshots[:, :PATHS, :2].permute(2, 0, 1).numpy(), linewidth=0.7, alpha=0.8)
    for points, size, look in ((snapshots[0, :PATHS], 16, START), (snapshots[-1], 10, END)):
        across, up = points[:, :2].T.numpy()
        axes.scatter(across, up, s=size, zorder=3, **look)
    axes.legend(loc="upper right", fontsize="small")
    return figure


def _energy(axes: Any, snapshots: Tensor, run: TrainedEnergy, label: int | None) -> None:
    """Levels of U over the box that holds the chains."""
    points = snapshots.flatten(0, 1)
    low, high = points.amin(0), points.amax(0)
    border = BORDER * (high - low).clamp_min(1e-3)
    across, up = (
        torch.linspace(float(a), float(b), SIDE)
        for a, b in zip(low - border, high + border, strict=True)
    )
    places = torch.cartesian_prod(across, up)
    labels = None if label is None else torch.full((len(places),), label)
    energy = run.energy(places, labels).reshape(SIDE, SIDE).T  # rows go up, columns across
    bottom, top = float(energy.min()), float(energy.quantile(SHOWN_OF_ENERGY))
    levels = torch.linspace(bottom, max(top, bottom + 1e-6), LEVELS)
    filled = axes.contourf(across, up, energy, levels, cmap="viridis_r", extend="max")
    axes.figure.colorbar(filled, ax=axes, label="U(x)", pad=0.02, shrink=0.9)
