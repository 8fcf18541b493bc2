"""Samples of several runs beside one another: figures 4, 9 and 10 of Zhao et al. 2017."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from energan.core import SettingError
from energan.core.schedules import parse
from energan.data import open_data
from energan.experiment.run_records import networks_of
from energan.inference.run import Run
from energan.io import pictures
from energan.report.figures.layout import (
    POINTS,
    SMALL,
    TEXT,
    TITLE,
    add_axes,
    add_text,
    draw_panel,
    new_figure,
    panel_letter,
    square_columns,
    tile_size,
)
from energan.report.figures.options import (
    Drawing,
    FigureOptions,
    differences,
    system_name,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ACROSS = 3
"""Panels in a row of figure 4; the paper has three."""
STRIP, NAME = 16, 18
OF_SEED, SEEDS_ACROSS = 36, 5
"""Samples of a seed, and seeds in a row of figure 10."""
GAP, LINE, LEAST = 0.12, 0.145, 3.2
"""Inches between panels, that a small line takes, and that a panel of figure 4 is wide at least."""


def draw_samples(paths: Sequence[Path], options: FigureOptions) -> Drawing:
    """Figure 4: a panel of unpicked samples for each run, (a), (b), (c), and what differs."""
    return draw_samples_of([options.open(path) for path in paths], options)


def draw_samples_of(runs: Sequence[Run], options: FigureOptions) -> Drawing:
    count, told = options.count(64), differences(runs)
    columns, across = square_columns(count), min(ACROSS, len(runs))
    rows = -(-count // columns)
    width = max(LEAST, tile_size(runs[0].domain) * columns)
    height = width * (rows / columns if pictures.is_image(runs[0].domain) else 1)
    under = 0.42 + LINE * max(len(one) for one in told)
    down = -(-len(runs) // across)
    figure = new_figure(across * (width + GAP) + GAP, down * (height + under) + GAP)
    for i, run in enumerate(runs):
        left, top = GAP + i % across * (width + GAP), GAP + i // across * (height + under)
        axes = add_axes(figure, left, top, width, height)
        _draw_samples(axes, run, count, columns, options)
        middle, end = left + width / 2, top + height + 0.05
        add_text(figure, f"{panel_letter(i)} {system_name(run)}", middle, end, fontsize=TITLE)
        add_text(figure, "\n".join(told[i]), middle, end + 0.24, fontsize=SMALL, color="0.35")
    names = ", ".join(f"{panel_letter(i)} {run.path.name}" for i, run in enumerate(runs))
    description = f"{count} unpicked samples a panel (seed {options.seed}): {names}"
    return Drawing(figure, description, _step_notes(runs))


def draw_margins(paths: Sequence[Path], options: FigureOptions) -> Drawing:
    """Figure 9: a strip of samples for each margin, the smallest first.

    A margin that was estimated counts as what it was; one that follows a schedule, as at the
    checkpoint's step. Raises SettingError for a run whose model has no margin.
    """
    known = {run: margin_of(run) for run in [options.open(path) for path in paths]}
    runs = sorted(known, key=lambda run: known[run])
    count, each = options.count(STRIP), [known[run] for run in runs]
    shapes = {run.domain.shape for run in runs}
    if len(shapes) > 1 or not pictures.is_image(runs[0].domain):
        raise SettingError(
            "the runs of a strip are trained on images of one size: these have shapes "
            f"{' and '.join(map(str, sorted(shapes)))}"
        )
    columns = max(1, round((count / 4) ** 0.5))
    side, rows = tile_size(runs[0].domain), -(-count // columns)
    width, height, again = side * columns, side * rows, len(set(each)) < len(each)
    step = max(width, 0.62) + GAP
    figure = new_figure(step * len(runs) + GAP, height + 0.36 + 0.25 * again)
    for i, (run, margin) in enumerate(zip(runs, each, strict=True)):
        left = GAP + i * step
        axes = add_axes(figure, left + (step - GAP - width) / 2, 0.3, width, height)
        draw_panel(axes, run.sample(count, seed=options.seed), run.domain, columns)
        add_text(figure, f"m = {margin:g}", left + (step - GAP) / 2, 0.08, fontsize=TEXT)
        if again:
            name = run.path.name[-NAME:]
            below = 0.3 + height + 0.06
            add_text(figure, name, left + (step - GAP) / 2, below, fontsize=SMALL, color="0.35")
    description = f"{count} unpicked samples a margin (seed {options.seed}): " + ", ".join(
        f"m = {m:g} {run.path.name}" for m, run in zip(each, runs, strict=True)
    )
    return Drawing(figure, description, _step_notes(runs))


def draw_seeds(paths: Sequence[Path], options: FigureOptions) -> Drawing:
    """Figure 10: a panel of unpicked samples for each seed, the lowest first.

    Raises SettingError if the runs are of different models or events, or make no samples.
    """
    runs = sorted((options.open(path) for path in paths), key=_seed)
    first = runs[0]
    for run in runs:
        if (run.job.model, run.domain.shape) != (first.job.model, first.domain.shape):
            raise SettingError(
                "the seeds of a figure are of one model and of examples of one shape: "
                f"{first.path} is {first.job.model} of {first.domain.shape}, and {run.path} "
                f"{run.job.model} of {run.domain.shape}"
            )
    image = pictures.is_image(first.domain)
    count, across = options.count(OF_SEED), min(SEEDS_ACROSS, len(runs))
    columns = square_columns(count)
    width = tile_size(first.domain) * columns if image else LEAST
    height = width * -(-count // columns) / columns if image else LEAST
    step, row = max(width, 0.62) + GAP, height + 0.4
    figure = new_figure(across * step + GAP, -(-len(runs) // across) * row + GAP)
    for i, run in enumerate(runs):
        left, top = GAP + i % across * step, i // across * row
        add_text(figure, f"seed {_seed(run)}", left + (step - GAP) / 2, top + 0.1, fontsize=TEXT)
        axes = add_axes(figure, left + (step - GAP - width) / 2, top + 0.32, width, height)
        _draw_samples(axes, run, count, columns, options)
    told = ", ".join(str(_seed(run)) for run in runs)
    description = f"{count} unpicked samples of {system_name(first)} for each of the seeds {told}"
    return Drawing(
        figure,
        f"{description} (draws of seed {options.seed})",
        _seed_notes(runs) + _step_notes(runs),
    )


def _draw_samples(axes: "Axes", run: Run, count: int, columns: int, options: FigureOptions) -> None:
    """So many images; of points more, before as many of the data, unless a number was asked for."""
    if pictures.is_image(run.domain):
        draw_panel(axes, run.sample(count, seed=options.seed), run.domain, columns)
        return
    real = open_data(run.job.settings.data).raw(slice(POINTS))
    x = run.sample(count if options.n else POINTS, seed=options.seed)
    draw_panel(axes, x, run.domain, columns, real)


def _seed(run: Run) -> int:
    return int(run.job.settings.seed)


def _seed_notes(runs: Sequence[Run]) -> list[str]:
    """What the reader should know if the runs differ in more than their seeds."""
    names = {s.rpartition(" ")[0] for told in differences(runs) for s in told} - {"seed", "step"}
    more = f"the runs differ in more than their seeds: {', '.join(sorted(names))}"
    twice = "some of the runs have the same seed"
    found = [more] if names else []
    return found + ([twice] if len({_seed(run) for run in runs}) < len(runs) else [])


def margin_of(run: Run) -> float:
    """The margin at the checkpoint's step. Raises SettingError if the objective has none."""
    margin = networks_of(run.folder)[2].hyper.get("margin")
    if margin is None:
        raise SettingError(
            f"{run.path}: the model {run.job.model} has no margin; choose runs of an EBGAN"
        )
    return parse(margin)(run.step)


def _step_notes(runs: Sequence[Run]) -> list[str]:
    steps = {run.step for run in runs}
    if len(steps) == 1:
        return []
    return [f"the runs are at different steps, {min(steps):,} to {max(steps):,}"]
