"""All trials of a sweep in one picture: parallel coordinates (Inselberg 1985)."""

from typing import Any

from energan.report.html import Picture, Theme, draw_figure
from energan.report.sweep.comparison import sign_of
from energan.report.sweep.labels import axis_label, axis_value, file_name
from energan.report.sweep.records import SweepRecords, index_of, is_numeric, score_of

MOST = 2_000
"""Lines; of more trials the best and every so-many-th of the others are drawn."""
COLOURS = "viridis"


def draw_parallel(one: SweepRecords) -> Picture | None:
    """A line for each scored trial over the axes that vary, and over the score, by whose rank it is
    coloured; None where fewer than two trials have one."""
    ranked = one.ranked()
    if len(ranked) < 2:
        return None
    axes, crossings = _axes(one), heights(one)
    names = [*axes]
    scores = [float(score_of(record, one.metric) or 0.0) for record in ranked]
    low, high = min(scores), max(scores)
    step = max(1, len(ranked) // MOST)

    def draw(figure_axes: Any, theme: Theme) -> None:
        from matplotlib import colormaps

        colour = colormaps[COLOURS]
        for place in reversed(range(0, len(ranked), step)):  # the best on top
            rank = 1 - place / (len(ranked) - 1)
            figure_axes.plot(
                crossings[place], color=colour(rank), linewidth=2.2 if place == 0 else 1.0,
                alpha=0.9 if place == 0 else 0.55,
            )  # fmt: skip
        for at, name in enumerate(names):
            figure_axes.axvline(at, color=theme.faint, linewidth=0.6)
            values = axes[name]
            for i in _shown(len(values)):
                y = i / max(len(values) - 1, 1)
                figure_axes.text(at + 0.03, y, axis_value(values[i]), fontsize=7, color=theme.ink)
        for y, value in ((0.0, low), (1.0, high)):
            figure_axes.text(len(names) + 0.03, y, f"{value:.4g}", fontsize=7, color=theme.ink)
        figure_axes.set_xticks(
            range(len(names) + 1), [*map(axis_label, names), sign_of(str(one.metric))], fontsize=8
        )
        figure_axes.set_yticks([])
        figure_axes.set_ylim(-0.06, 1.08)
        figure_axes.set_xlim(-0.1, len(names) + 0.4)
        figure_axes.spines["left"].set_visible(False)

    what = "higher" if one.better == "higher" else "lower"
    caption = (
        f"A line for each of {len(ranked):,} trials with a score; the bright ones are the best "
        f"({what} is better)."
    )
    size = (max(4.7, 1.5 * (len(names) + 1)), 3.2)
    return draw_figure(
        f"parallel-{file_name(one.label)}", f"Trials of {one.label}", caption, draw, size
    )


def heights(one: SweepRecords) -> list[list[float]]:
    """Where the line of each ranked trial, the best first, crosses each axis and the score's: 0 at
    the bottom, 1 at the top."""
    axes, ranked = _axes(one), one.ranked()
    scores = [float(score_of(record, one.metric) or 0.0) for record in ranked]
    low, high = min(scores, default=0.0), max(scores, default=0.0)
    found = []
    for record, score in zip(ranked, scores, strict=True):
        places = [
            index_of(values, record["values"].get(name)) / max(len(values) - 1, 1)
            for name, values in axes.items()
        ]
        found.append([*places, (score - low) / (high - low) if high > low else 0.5])
    return found


def _axes(one: SweepRecords) -> dict[str, list[Any]]:
    """Those that vary, with their values in order."""
    return {name: _ordered(values) for name, values in one.varied.items()}


def _ordered(values: list[Any]) -> list[Any]:
    return sorted(values) if is_numeric(values) else list(values)


def _shown(count: int, most: int = 8) -> list[int]:
    """Places of values that are written: all, or some spread over them."""
    if count <= most:
        return list(range(count))
    return sorted({round(i * (count - 1) / (most - 1)) for i in range(most)})
