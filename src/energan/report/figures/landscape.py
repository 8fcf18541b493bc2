"""Pictures of landscapes: the energy as a map with its contours, data, samples, and −∇U."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from energan.core import SettingError
from energan.data import DataSet, open_data
from energan.experiment.callbacks import landscapes
from energan.experiment.callbacks.landscapes import Landscape
from energan.inference.run import Run
from energan.report.figures.parts import SMALL, TEXT, TITLE, Asked, Drawn, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS, DENSITY, DATA, SAMPLES = "viridis_r", "magma", "black", "#e0402a"
LEVELS = 16
HIGHEST = 0.9
"""The share of a map below which colours tell energies apart: far from the data an energy may be as
large as it likes."""
SIDE, ARROWS, COUNTED, WIDTH = 241, 24, 50_000, 2.0
"""A still picture's places and arrows along a side, the events whose density is drawn, and the
standard deviation, in places, of what smooths it."""
SIZE, NARROWEST, WIDEST = 4.8, 0.7, 1.4
"""Inches across of a panel that is square, and how much less or more others have."""


# --- what is shown --------------------------------------------------------------------------------


def open_plane(path: Path, asked: Asked) -> Run:
    """The run of points in the plane. Raises SettingError if it is of something else."""
    run = Run(path, checkpoint=asked.checkpoint, weights=asked.weights)
    if landscapes.mapped(run.domain):
        return run
    shape = run.domain.shape
    if run.given:
        what = "points with conditions of their own"
    else:
        what = f"events of shape {shape}" if len(shape) > 1 else f"points of {_numbers(shape[0])}"
    hint = "; `energan report` draws the energy over the line" if shape == (1,) else ""
    raise SettingError(
        f"{path} was trained on {what}, and landscapes are of points in the plane, as in the "
        f"recipes gan-ring, ebgan-ring and igebm-ring{hint}"
    )


def _numbers(count: int) -> str:
    return "one number" if count == 1 else f"{count} numbers"


def data_of(run: Run, source: str | None = None) -> DataSet:
    """The run's data. source: where it is now, if it was moved."""
    settings = run.job.settings.data
    found = open_data(settings.model_copy(update={"source": source}) if source else settings)
    if found.domain.shape != run.domain.shape:
        raise SettingError(
            f"the data has events of shape {found.domain.shape} now, and {run.path} was trained on "
            f"{run.domain.shape}: name its own by --data"
        )
    return found


def taken(
    run: Run,
    data: DataSet,
    seed: int = 0,
    side: int = landscapes.SIDE,
    arrows: int = landscapes.ARROWS,
) -> Landscape:
    """The landscape of a run's checkpoint over the box of its data; seed: of the samples."""
    real = data.gather(torch.arange(min(landscapes.OF_DATA, len(data)))).x.float().cpu()
    try:
        samples = run.sample(landscapes.SHOWN, seed=seed)
    except SettingError:  # the model makes none
        samples = torch.empty(0, 2)
    return surveyed(run, landscapes.box(real), samples, real[: landscapes.SHOWN], side, arrows)


def surveyed(
    run: Run,
    corners: tuple[Tensor, Tensor],
    samples: Tensor,
    real: Tensor,
    side: int = landscapes.SIDE,
    arrows: int = landscapes.ARROWS,
) -> Landscape:
    """A run's energy over the box between two corners, with samples and data to show in it."""
    energy = landscapes.placed(run.potential(), run.engine.device)
    found = landscapes.heights(energy, *corners, side), landscapes.pulls(energy, *corners, arrows)
    seed = run.job.settings.seed
    return Landscape(*found, *corners, samples, real, run.step, seed, run.weights)


def density(land: Landscape) -> Tensor:
    """exp(−U)/Z (S, S) over the box, Z summed over the map's own places."""
    steps = (land.high - land.low).double() / (len(land.energy) - 1)
    shares = torch.softmax(-land.energy.double().flatten(), 0).view_as(land.energy)
    return shares / steps.prod()


def smoothed(x: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """The density (SIDE, SIDE) of points (N, 2) over the box, rows up: counted, then smoothed."""
    from scipy.ndimage import gaussian_filter

    across, up = x.double().T.numpy()
    span = [(float(a), float(b)) for a, b in zip(low, high, strict=True)]
    counts, _, _ = np.histogram2d(across, up, bins=SIDE, range=span, density=True)
    return torch.from_numpy(gaussian_filter(counts.T, WIDTH))


# --- how it is drawn ------------------------------------------------------------------------------


def ends(shown: Sequence[Landscape]) -> tuple[float, float]:
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


def terrain(axes: "Axes", land: Landscape, between: tuple[float, float]) -> Any:
    """The map in colours, with contour lines; returns what a colour bar needs."""
    from matplotlib.ticker import MaxNLocator

    across, up = (line.numpy() for line in landscapes.lines(land.low, land.high, len(land.energy)))
    levels = MaxNLocator(LEVELS).tick_values(*between)
    far = 10 * float(levels[-1] - levels[0])  # beyond it all is one colour
    energy = land.energy.nan_to_num(nan=float("inf")).clamp(levels[0] - far, levels[-1] + far)
    filled = axes.contourf(across, up, energy.numpy(), levels, cmap=COLOURS, extend="both")
    axes.contour(
        across, up, energy.numpy(), levels, colors="white", linewidths=0.35, alpha=0.6,
        linestyles="solid",
    )  # fmt: skip
    frame(axes, land)
    return filled


def arrows(axes: "Axes", land: Landscape) -> None:
    """−∇U in white; the length grows with its size, slower and slower, to that of a cell."""
    across, up = landscapes.middles(land.low, land.high, len(land.pull))
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


def dots(axes: "Axes", land: Landscape) -> None:
    """Data, and samples over them."""
    parts = ((land.data, DATA, 3, "data"), (land.samples, SAMPLES, 4, "samples"))
    for x, colour, size, name in parts:
        if len(x):
            across, up = x.T.numpy()
            axes.scatter(across, up, s=size, c=colour, alpha=0.75, linewidths=0, label=name)


def still(run: Run, data: DataSet, seed: int = 0, with_density: bool = False) -> Drawn:
    """One checkpoint at full resolution; with exp(−U)/Z and the density of the data beside it."""
    land = taken(run, data, seed, SIDE, ARROWS)
    figure, axes = sheet(land, 3 if with_density else 1)
    filled = terrain(axes[0], land, ends([land]))
    arrows(axes[0], land)
    dots(axes[0], land)
    titled(figure, axes[0], "energy U(x); arrows: −∇U", filled)
    outside = int(((land.samples < land.low) | (land.samples > land.high)).any(1).sum())
    notes = [f"{outside} of {len(land.samples)} samples lie outside the box"] if outside else []
    if with_density:
        real = data.gather(torch.arange(min(COUNTED, len(data)))).x.float().cpu()
        shown = {
            "exp(−U)/Z over this box": density(land),
            f"{len(real):,} data points, smoothed": smoothed(real, land.low, land.high),
        }
        for each, (title, values) in zip(axes[1:], shown.items(), strict=True):
            (left, bottom), (right, top) = land.low.tolist(), land.high.tolist()
            extent = (left, right, bottom, top)
            drawn = each.imshow(values.numpy(), cmap=DENSITY, origin="lower", extent=extent)
            frame(each, land)
            titled(figure, each, title, drawn)
        if run.sampler.rule is None:
            notes.append(
                f"the energy of {run.job.model} was not trained as a density: exp(−U)/Z is what "
                "chains on it would sample"
            )
    headed(figure, f"{name_of(run.config)}, {where(land)}")
    return Drawn(figure, f"landscape of {run.path.name} at {where(land)}", notes)


def headed(figure: "Figure", text: str) -> Any:
    """A line above the figure, which is returned, and below it which dots are which."""
    handles, names = figure.axes[0].get_legend_handles_labels()
    figure.legend(
        handles, names, loc="outside lower center", ncols=2, fontsize=TEXT, frameon=False,
        markerscale=3,
    )  # fmt: skip
    return figure.suptitle(text, fontsize=TITLE)


def name_of(config: Mapping[str, Any]) -> str:
    """The recipe and the data of a run's config.json, as a heading has them."""
    recipe = Path(config.get("recipe") or config["model"]).name
    source = Path(config["settings"]["data"]["source"]).name
    return recipe if recipe.endswith(source) else f"{recipe} on {source}"


def where(land: Landscape) -> str:
    """Of which weights it is."""
    return f"step {land.step:,}, seed {land.seed}, {land.weights} weights"


def sheet(land: Landscape, panels: int = 1) -> tuple["Figure", list["Axes"]]:
    """A figure with panels of the box's shape, each with room for a colour bar."""
    width, height = (land.high - land.low).tolist()
    across = SIZE * min(max((width / height) ** 0.5, NARROWEST), WIDEST)
    size = (panels * (across + 0.9), across * height / width + 1.1)
    figure = new_figure(*size, "constrained")
    return figure, list(figure.subplots(1, panels, squeeze=False)[0])


def frame(axes: "Axes", land: Landscape) -> None:
    """Axes that show the box, neither more nor less."""
    axes.set_xlim(float(land.low[0]), float(land.high[0]))
    axes.set_ylim(float(land.low[1]), float(land.high[1]))
    axes.set_aspect("equal")
    axes.tick_params(labelsize=SMALL)


def titled(figure: "Figure", axes: "Axes", text: str, shown: Any) -> None:
    """A panel's title and its colour bar."""
    axes.set_title(text, fontsize=TEXT)
    bar = figure.colorbar(shown, ax=axes, pad=0.02, fraction=0.05)
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=SMALL)
