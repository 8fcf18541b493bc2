"""Figure 1 of Goodfellow et al. 2014: p_data, p_g and D on the line, through training."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from energan.core import SettingError
from energan.data import open_data
from energan.energies.logit import Logit
from energan.inference.run import Run
from energan.io.text import plural
from energan.report.figures.layout import SMALL, TEXT, TITLE, new_figure, panel_letter
from energan.report.figures.options import Drawing, FigureOptions, require_generator, single_run
from energan.samplers.generator import Generator
from energan.training import checkpoint_folder

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PANELS, SAMPLES, ARROWS, POINTS = 4, 10_000, 17, 400
HIGHEST = 1.6
"""Of a density that is drawn whole; higher peaks are cut."""
REMEDY = "train the recipe gan-line for this figure"


def draw_gan1d(paths: Sequence[Path], options: FigureOptions) -> Drawing:
    """For four checkpoints p_data (dotted), p_g (solid) and D (dashed), and below them z -> x.

    Densities are kernel estimates of the data and of 10,000 samples. Both networks are those of
    the checkpoint itself, not averaged, unless `options.weights` says so: D follows G step by step.
    Raises SettingError for a run on other than points of one number, made from z of one number.
    """
    path = single_run(paths, "gan1d")
    first = _open(path, "last", options)
    kept = checkpoint_folder.listed(first.folder.checkpoints)
    steps = options.steps or _spread([checkpoint_folder.step_of(p) for p in kept])
    runs = [_open(path, str(step), options) for step in steps]
    data = open_data(first.job.settings.data)
    real = data.raw()[:SAMPLES].flatten().double()
    drawn = [run.sample(SAMPLES, seed=options.seed).flatten().double() for run in runs]
    low, high = _window(real, drawn)
    grid = torch.linspace(low, high, POINTS, dtype=torch.float64)
    p_data = density(real, grid)

    figure = new_figure(2.75 * len(runs), 3.7, "constrained")
    rows = figure.add_gridspec(2, len(runs), height_ratios=(3, 1.15), hspace=0.02)
    above: Any = None
    for i, (run, x) in enumerate(zip(runs, drawn, strict=True)):
        above = figure.add_subplot(rows[0, i], sharey=above)
        energies = run.energy(grid.float().unsqueeze(1))
        _draw_curves(above, grid, p_data, density(x, grid), torch.sigmoid(-energies))
        _draw_arrows(figure.add_subplot(rows[1, i]), run, low, high, labelled=i == 0)
        above.set_title(f"{panel_letter(i)} step {run.step:,}", fontsize=TITLE)
    handles, labels = above.get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside upper center", ncols=3, fontsize=TEXT, frameon=False
    )
    notes = [
        f"{path} keeps {plural(len(runs), 'checkpoint')} only; the figure has "
        "four with --output.keep 20 --output.checkpoint-every 100"
    ] if len(runs) < PANELS and not options.steps else []  # fmt: skip
    at = ", ".join(f"{step:,}" for step in steps)
    return Drawing(figure, f"p_data, p_g and D at steps {at} of {path.name}", notes)


def density(points: Tensor, grid: Tensor) -> Tensor:
    """A Gaussian kernel estimate on `grid` (P,) from points (N,), Silverman's width; float64."""
    points = points.double()
    low, high = torch.quantile(points, torch.tensor([0.25, 0.75], dtype=torch.float64))
    spread = min(float(points.std()), float(high - low) / 1.349)
    width = max(0.9 * spread * len(points) ** -0.2, float(grid[1] - grid[0]))
    total: Tensor = torch.zeros_like(grid)
    for part in points.split(1000):
        total += torch.exp(-0.5 * ((grid - part[:, None]) / width) ** 2).sum(0)
    area = len(points) * width * (2 * torch.pi) ** 0.5
    return total.div_(area)


def _open(path: Path, step: str, options: FigureOptions) -> Run:
    run = Run(path, checkpoint=step, weights=options.weights or "raw")
    if run.domain.shape != (1,):
        raise SettingError(
            f"{path} was trained on examples of shape {run.domain.shape}, and the figure is of "
            f"points of one number: {REMEDY}"
        )
    if not isinstance(run.energy_network, Logit):
        raise SettingError(f"the model {run.job.model} has no D(x) = sigmoid(-U(x)): {REMEDY}")
    size = require_generator(run).latent_size
    if size != 1:
        raise SettingError(
            f"{path} draws z of {size} numbers, and the arrows start at one: {REMEDY}"
        )
    return run


def _spread(steps: list[int]) -> list[int]:
    """The first step after 0, the last, and two between, each about as many times the one before.

    The most happens early. Of four or fewer, all.
    """
    steps = sorted(steps)
    known = [step for step in steps if step > 0] or steps
    if len(steps) <= PANELS or len(known) <= PANELS:
        return steps if len(steps) <= PANELS else known
    chosen = [known[0]]
    for i in range(1, PANELS - 1):
        wanted = known[0] * (known[-1] / known[0]) ** (i / (PANELS - 1))
        left = [s for s in known if s > chosen[-1]][: -(PANELS - 1 - i)]
        chosen.append(min(left, key=lambda s: abs(np.log(s / wanted))))
    return [*chosen, known[-1]]


def _window(real: Tensor, drawn: Sequence[Tensor]) -> tuple[float, float]:
    """What is drawn of the line: nearly all data, most of the samples, and a little more."""
    ends = torch.tensor([0.001, 0.999], dtype=torch.float64)
    low, high = torch.quantile(real, ends).tolist()
    reach = high - low
    for x in drawn:  # samples that are far off do not squeeze the rest
        least, most = torch.quantile(x, torch.tensor([0.05, 0.95], dtype=torch.float64)).tolist()
        low, high = min(low, max(least, low - reach / 2)), max(high, min(most, high + reach / 2))
    return low - 0.05 * reach, high + 0.05 * reach


def _draw_curves(axes: "Axes", grid: Tensor, p_data: Tensor, p_g: Tensor, d: Tensor) -> None:
    x = grid.numpy()
    axes.plot(x, p_data.numpy(), ":", color="black", linewidth=2, label=r"$p_\mathrm{data}$")
    axes.plot(x, p_g.numpy(), "-", color="tab:green", linewidth=1.8, label=r"$p_g$")
    axes.plot(x, d.numpy(), "--", color="tab:blue", linewidth=1.8, label=r"$D(x)$")
    axes.axhline(0.5, color="0.85", linewidth=0.8, zorder=0)
    top = max(1.0, float(p_data.max()), min(float(p_g.max()), HIGHEST)) * 1.05
    axes.set_ylim(0, max(top, axes.get_ylim()[1] if axes.get_ylim()[0] == 0 else 0))
    axes.set_xlim(x[0], x[-1])
    axes.set_yticks([0, 0.5, 1])
    axes.tick_params(labelsize=SMALL, labelbottom=False)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    if axes.get_subplotspec().colspan.start:  # type: ignore[union-attr]
        axes.tick_params(labelleft=False)


def _draw_arrows(axes: "Axes", run: Run, low: float, high: float, *, labelled: bool) -> None:
    """z at equal steps of its probability on the line below, x = G(z) on the line above."""
    generator = require_generator(run)
    z = _levels(generator)
    with torch.no_grad():
        x = generator.network(z.unsqueeze(1).to(run.engine.device), "eval").flatten().cpu()
    z = z / z.abs().max()  # over the middle of the panel
    below = (low + high) / 2 + z * (high - low) * 0.42
    for start, end in zip(below.tolist(), x.tolist(), strict=True):
        if low <= end <= high:
            axes.annotate(
                "", (end, 1), (start, 0),
                arrowprops={"arrowstyle": "->", "color": "0.3", "linewidth": 0.8,
                            "shrinkA": 0, "shrinkB": 0, "mutation_scale": 7},
            )  # fmt: skip
    for height, name in ((1, "x"), (0, "z")):
        axes.axhline(height, color="black", linewidth=1)
        if labelled:
            axes.text(
                -0.04, height, f"${name}$", transform=axes.get_yaxis_transform(), ha="right",
                va="center", fontsize=TITLE,
            )  # fmt: skip
    axes.set_xlim(low, high)
    axes.set_ylim(-0.15, 1.15)
    axes.axis("off")


def _levels(generator: Generator) -> Tensor:
    """Values of z, float (ARROWS,), between which equal shares of its prior lie."""
    share = (torch.arange(ARROWS) + 0.5) / ARROWS
    if generator.prior == "normal":
        return torch.special.ndtri(share)  # type: ignore[no-any-return]
    bound = 1.0 if generator.prior == "uniform" else 3**0.5
    return (2 * share - 1) * bound
