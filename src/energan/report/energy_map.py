"""The energy over a box of the plane: a map in colours with contours, −∇U, data and samples."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from energan.experiment.callbacks import landscapes
from energan.experiment.callbacks.landscapes import Landscape
from energan.inference.run import Run

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS, DATA, SAMPLES = "viridis_r", "black", "#e0402a"
LEVELS = 16
HIGHEST = 0.9
"""The share of a map below which colours tell energies apart: far from the data an energy may be as
large as it likes."""
TICKS = 8
"""Size of the axes' numbers, in points."""


def compute_landscape(
    run: Run,
    corners: tuple[Tensor, Tensor],
    samples: Tensor,
    real: Tensor,
    side: int = landscapes.SIDE,
    arrows: int = landscapes.ARROWS,
) -> Landscape:
    """A run's energy over the box between two corners, with samples and data to show in it."""
    energy = landscapes.on_device(run.potential(), run.engine.device)
    found = (
        landscapes.energy_grid(energy, *corners, side),
        landscapes.force_grid(energy, *corners, arrows),
    )
    seed = run.job.settings.seed
    return Landscape(*found, *corners, samples, real, run.step, seed, run.weights)


def energy_range(shown: Sequence[Landscape]) -> tuple[float, float]:
    """The energies between which colours run, the same for all that are shown.

    Of one from its lowest place to what HIGHEST of them lie below; of several what most of them
    need, so that a few wild ones do not leave the others in one colour.
    """
    finite = [e[e.isfinite()].double() for e in (land.energy for land in shown)]
    finite = [energy for energy in finite if len(energy)]
    if not finite:
        return 0.0, 1.0
    lows = torch.stack([energy.min() for energy in finite])
    highs = torch.stack([energy.quantile(HIGHEST) for energy in finite])
    low = float(lows.quantile(1 - HIGHEST, interpolation="nearest"))
    high = float(highs.quantile(HIGHEST, interpolation="nearest"))
    return low, max(high, low + 1e-6 * (1 + abs(low)))


def draw_map(axes: "Axes", land: Landscape, between: tuple[float, float]) -> Any:
    """The map in colours, with contour lines; returns what a colour bar needs."""
    from matplotlib.ticker import MaxNLocator

    across, up = (
        line.numpy() for line in landscapes.grid_axes(land.low, land.high, len(land.energy))
    )
    levels = MaxNLocator(LEVELS).tick_values(*between)
    far = 10 * float(levels[-1] - levels[0])  # beyond it all is one colour
    energy = land.energy.nan_to_num(nan=float("inf")).clamp(levels[0] - far, levels[-1] + far)
    filled = axes.contourf(across, up, energy.numpy(), levels, cmap=COLOURS, extend="both")
    axes.contour(
        across, up, energy.numpy(), levels, colors="white", linewidths=0.35, alpha=0.6,
        linestyles="solid",
    )  # fmt: skip
    show_box(axes, land)
    return filled


def draw_arrows(axes: "Axes", land: Landscape) -> None:
    """−∇U in white; the length grows with its size, slower and slower, to that of a cell."""
    across, up = landscapes.cell_centres(land.low, land.high, len(land.pull))
    size = land.pull.norm(dim=-1, keepdim=True)
    known = size[size.isfinite()]
    usual = float(known.median()) if len(known) else 1.0
    cell = float(((land.high - land.low) / len(land.pull)).min())
    length = 0.9 * cell * (size / (2 * usual or 1.0)).sqrt().clamp(max=1)
    drawn = (land.pull / size.clamp_min(1e-30) * length).nan_to_num(0.0, 0.0, 0.0)
    axes.quiver(
        across.numpy(), up.numpy(), drawn[..., 0].numpy(), drawn[..., 1].numpy(), color="white",
        angles="xy", scale_units="xy", scale=1, pivot="mid", width=0.0022, headwidth=4,
        headlength=4.5, headaxislength=4, alpha=0.75,
    )  # fmt: skip


def draw_points(axes: "Axes", land: Landscape) -> None:
    """Data, and samples over them."""
    parts = ((land.data, DATA, 3, "data"), (land.samples, SAMPLES, 4, "samples"))
    for x, colour, size, name in parts:
        if len(x):
            across, up = x.T.numpy()
            axes.scatter(across, up, s=size, c=colour, alpha=0.75, linewidths=0, label=name)


def show_box(axes: "Axes", land: Landscape) -> None:
    """Axes that show the box, neither more nor less."""
    axes.set_xlim(float(land.low[0]), float(land.high[0]))
    axes.set_ylim(float(land.low[1]), float(land.high[1]))
    axes.set_aspect("equal")
    axes.tick_params(labelsize=TICKS)
