"""Pictures of landscapes: the energy as a map with its contours, data, samples, and −∇U."""

from collections.abc import Mapping
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
from energan.io.text import agree, plural
from energan.report import energy_map
from energan.report.figures.layout import SMALL, TEXT, TITLE, new_figure
from energan.report.figures.options import Drawing, FigureOptions

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DENSITY = "magma"
SIDE, ARROWS, COUNTED, WIDTH = 241, 24, 50_000, 2.0
"""A still picture's places and arrows along a side, the events whose density is drawn, and the
standard deviation, in places, of what smooths it."""
SIZE, NARROWEST, WIDEST = 4.8, 0.7, 1.4
"""Inches across of a panel that is square, and how much less or more others have."""


# --- what is shown --------------------------------------------------------------------------------


def open_plane(path: Path, options: FigureOptions) -> Run:
    """The run of points in the plane. Raises SettingError if it is of something else."""
    run = options.open(path)
    if landscapes.has_landscape(run.domain):
        return run
    shape = run.domain.shape
    if run.given:
        what = "points with conditions of their own"
    else:
        what = f"examples of shape {shape}" if len(shape) > 1 else f"points of {_numbers(shape[0])}"
    hint = "; `energan report` draws the energy over the line" if shape == (1,) else ""
    raise SettingError(
        f"{path} was trained on {what}, and landscapes need points in the plane, as in the "
        f"recipes gan-ring, ebgan-ring and igebm-ring{hint}"
    )


def _numbers(count: int) -> str:
    return "one number" if count == 1 else f"{count} numbers"


def open_data_of(run: Run, source: str | None = None) -> DataSet:
    """The run's data. source: where it is now, if it was moved."""
    settings = run.job.settings.data
    found = open_data(settings.model_copy(update={"source": source}) if source else settings)
    if found.domain.shape != run.domain.shape:
        raise SettingError(
            f"the data has examples of shape {found.domain.shape} now, and {run.path} was "
            f"trained on {run.domain.shape}: name the run's own data with --data"
        )
    return found


def landscape_of(
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
    return energy_map.compute_landscape(
        run, landscapes.bounding_box(real), samples, real[: landscapes.SHOWN], side, arrows
    )


def density(land: Landscape) -> Tensor:
    """exp(−U)/Z (S, S) over the box, Z summed over the map's own places."""
    steps = (land.high - land.low).double() / (len(land.energy) - 1)
    shares = torch.softmax(-land.energy.double().flatten(), 0).view_as(land.energy)
    return shares / steps.prod()


def smooth(x: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """The density (SIDE, SIDE) of points (N, 2) over the box, rows up: counted, then smoothed."""
    from scipy.ndimage import gaussian_filter

    across, up = x.double().T.numpy()
    span = [(float(a), float(b)) for a, b in zip(low, high, strict=True)]
    counts, _, _ = np.histogram2d(across, up, bins=SIDE, range=span, density=True)
    return torch.from_numpy(gaussian_filter(counts.T, WIDTH))


# --- how it is drawn ------------------------------------------------------------------------------


def draw_landscape(run: Run, data: DataSet, seed: int = 0, with_density: bool = False) -> Drawing:
    """One checkpoint at full resolution; with exp(−U)/Z and the density of the data beside it."""
    land = landscape_of(run, data, seed, SIDE, ARROWS)
    figure, axes = new_sheet(land, 3 if with_density else 1)
    filled = energy_map.draw_map(axes[0], land, energy_map.energy_range([land]))
    energy_map.draw_arrows(axes[0], land)
    energy_map.draw_points(axes[0], land)
    add_title(figure, axes[0], "energy U(x); arrows: −∇U", filled)
    outside = int(((land.samples < land.low) | (land.samples > land.high)).any(1).sum())
    of = f"of {plural(len(land.samples), 'sample')} {agree(outside, 'lie')}"
    notes = [f"{outside} {of} outside the box"] if outside else []
    if with_density:
        real = data.gather(torch.arange(min(COUNTED, len(data)))).x.float().cpu()
        shown = {
            "exp(−U)/Z over this box": density(land),
            f"{len(real):,} data points, smoothed": smooth(real, land.low, land.high),
        }
        for each, (title, values) in zip(axes[1:], shown.items(), strict=True):
            (left, bottom), (right, top) = land.low.tolist(), land.high.tolist()
            extent = (left, right, bottom, top)
            drawn = each.imshow(values.numpy(), cmap=DENSITY, origin="lower", extent=extent)
            energy_map.show_box(each, land)
            add_title(figure, each, title, drawn)
        if run.sampler.rule is None or not run.sampler.rule.spread:
            notes.append(
                f"the energy of {run.job.model} was not trained as a density: exp(−U)/Z is what "
                "chains on it would sample"
            )
    add_heading(figure, f"{run_label(run.config)}, {checkpoint_label(land)}")
    return Drawing(figure, f"landscape of {run.path.name} at {checkpoint_label(land)}", notes)


def add_heading(figure: "Figure", text: str) -> Any:
    """A line above the figure, which is returned, and below it which dots are which."""
    handles, names = figure.axes[0].get_legend_handles_labels()
    figure.legend(
        handles, names, loc="outside lower center", ncols=2, fontsize=TEXT, frameon=False,
        markerscale=3,
    )  # fmt: skip
    return figure.suptitle(text, fontsize=TITLE)


def run_label(config: Mapping[str, Any]) -> str:
    """The recipe and the data of a run's config.json, as a heading has them."""
    recipe = Path(config.get("recipe") or config["model"]).name
    source = Path(config["settings"]["data"]["source"]).name
    return recipe if recipe.endswith(source) else f"{recipe} on {source}"


def checkpoint_label(land: Landscape) -> str:
    """Of which weights it is."""
    return f"step {land.step:,}, seed {land.seed}, {land.weights} weights"


def new_sheet(land: Landscape, panels: int = 1) -> tuple["Figure", list["Axes"]]:
    """A figure with panels of the box's shape, each with room for a colour bar."""
    width, height = (land.high - land.low).tolist()
    across = SIZE * min(max((width / height) ** 0.5, NARROWEST), WIDEST)
    size = (panels * (across + 0.9), across * height / width + 1.1)
    figure = new_figure(*size, "constrained")
    return figure, list(figure.subplots(1, panels, squeeze=False)[0])


def add_title(figure: "Figure", axes: "Axes", text: str, shown: Any) -> None:
    """A panel's title and its colour bar."""
    axes.set_title(text, fontsize=TEXT)
    bar = figure.colorbar(shown, ax=axes, pad=0.02, fraction=0.05)
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=SMALL)
