"""Histograms of scores as a share of runs: figures 2 and 3 of Zhao et al. 2017, and of any axis."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from energan.report.html import Picture, Theme, draw_figure
from energan.report.sweep.comparison import sign_of
from energan.report.sweep.records import WORST, SweepRecords
from energan.sweeps.store import Record

Where = Callable[[Record], bool]
MOST_BINS = 40
TINY = 1e-300
"""Scores below are 0: their fractions are no floats."""


@dataclass(frozen=True)
class Group:
    """Scores of some runs. apart: diverged ones without a score, which get a bin of their own."""

    label: str
    scores: NDArray[np.float64]
    colour: int = 0
    diverged: int = 0
    apart: int = 0
    failed: int = 0

    @property
    def n(self) -> int:
        """Runs that count."""
        return len(self.scores) + self.apart


@dataclass(frozen=True)
class Panel:
    """Groups over one another in the same bins, the first of them in front. title: of the panel."""

    title: str
    groups: list[Group]


def group_of(one: SweepRecords, where: Where = lambda record: True) -> Group:
    """The runs of a sweep, or those of `where`."""
    chosen = [record for record in one.records if where(record)]
    states = [record["state"] for record in chosen]
    diverged = states.count("diverged")
    scores = np.array([score for _, score in one.scored(chosen)], dtype=np.float64)
    apart = 0 if one.metric in WORST else diverged
    return Group(one.label, scores, one.place, diverged, apart, states.count("failed"))


def edges(groups: Sequence[Group], metric: str | None) -> NDArray[np.float64]:
    """Round ends of bins of one width for all groups: Rice's rule for the smallest, about 5 to 40.

    Those of I′ begin at its worst, 0.
    """
    there = [g.scores for g in groups if len(g.scores)]
    if not there:
        return np.array([0.0, 1.0])
    every = np.concatenate(there)
    low, high = float(every.min()), float(every.max())
    if metric in WORST:
        low = min(WORST[metric], low)
    if high - low <= 1e-9 * max(abs(low), abs(high), TINY):
        width = _round(abs(high) / 5) if abs(high) > TINY else 1.0
        first = math.floor(high / width)
        last = first + 1
    else:
        wanted = min(max(2 * min(map(len, there)) ** (1 / 3), 5), MOST_BINS)
        width = _round((high - low) / wanted)
        first = math.floor(low / width)
        last = math.floor(high / width) + 1  # a score at an end is in the bin above it
    ends = np.array([i * width for i in range(first, last + 1)], dtype=np.float64)
    ends[0], ends[-1] = min(ends[0], low), max(ends[-1], high)  # whatever rounding did
    return ends


def shares(one: Group, ends: NDArray[np.float64]) -> NDArray[np.float64]:
    """Percent of the group's runs in each bin; those apart are in none, and in the whole."""
    return 100.0 * np.histogram(one.scores, ends)[0].astype(np.float64) / max(one.n, 1)


def numbers(panels: Sequence[Panel], ends: NDArray[np.float64], metric: str | None) -> Record:
    """What is behind a figure, as JSON takes it."""
    return {
        "metric": metric,
        "edges": [round(float(e), 12) for e in ends],
        "panels": [
            {
                "title": panel.title,
                "groups": [
                    {
                        "label": g.label,
                        "runs": g.n,
                        "counts": np.histogram(g.scores, ends)[0].tolist(),
                        "percent": [round(float(s), 6) for s in shares(g, ends)],
                        "diverged": g.diverged,
                        "diverged_in_a_bin_of_their_own": g.apart,
                        "failed_left_out": g.failed,
                    }
                    for g in panel.groups
                ],
            }
            for panel in panels
        ],
    }


def draw_histograms(
    name: str, title: str, caption: str, panels: Sequence[Panel], metric: str | None, across: int
) -> tuple[Picture, Record]:
    """Panels in rows of `across`, all with the same bins and scales, and the numbers behind."""
    every = [g for panel in panels for g in panel.groups]
    ends = edges(every, metric)
    down = -(-len(panels) // across)
    size = (4.7, 2.9) if len(panels) == 1 else (max(3.1 * across, 4.7), 2.2 * down + 0.5)
    apart = any(g.apart for g in every)
    tallest = max(
        (max(shares(g, ends).max(), 100 * g.apart / max(g.n, 1)) for g in every), default=0.0
    )

    def draw(axes: Any, theme: Theme) -> None:
        sheet = axes.figure
        axes.remove()
        grid = sheet.subplots(down, across, sharex=True, sharey=True, squeeze=False)
        grid[0, 0].set_ylim(0, 1.3 * max(tallest, 1.0))  # the legend lies above
        grid[0, 0].set_yticks([tick for tick in grid[0, 0].get_yticks() if 0 <= tick <= 100])
        for i, cell in enumerate(grid.flat):
            if i >= len(panels):
                cell.set_axis_off()
                continue
            _draw(cell, panels[i], ends, theme, apart)
            below = i + across >= len(panels)
            cell.tick_params(labelbottom=below, labelleft=i % across == 0)
            if below:
                cell.set_xlabel(sign_of(metric))
            if i % across == 0:
                cell.set_ylabel("runs, %")

    picture = draw_figure(name, title, caption, draw, size)
    return picture, numbers(panels, ends, metric)


def _draw(axes: Any, panel: Panel, ends: NDArray[np.float64], theme: Theme, apart: bool) -> None:
    width = float(ends[1] - ends[0])
    aside = float(ends[0]) - 2 * width
    for g in reversed(panel.groups):  # the first lies over the others
        colour = theme.colours[g.colour % len(theme.colours)]
        found = shares(g, ends)
        fill = {"color": colour, "alpha": 0.5, "linewidth": 0}
        if len(panel.groups) > 2:  # outlines alone: too many to see through
            fill = {"edgecolor": colour, "facecolor": "none"}
        else:
            axes.bar(ends[:-1], found, width, align="edge", **fill)
        axes.stairs(found, ends, color=colour, linewidth=1, label=f"{g.label}, n = {g.n:,}")
        if g.apart:
            share = 100 * g.apart / g.n
            axes.bar([aside], [share], width, align="edge", **fill)
    if apart:
        axes.set_xticks([tick for tick in axes.get_xticks() if ends[0] <= tick <= ends[-1]])
        axes.text(aside + width / 2, 0, "diverged ", rotation=90, ha="center", va="bottom",
                  fontsize=7, color=theme.ink)  # fmt: skip
    if panel.title:
        axes.set_title(panel.title, fontsize=9, color=theme.ink)
    handles, labels = axes.get_legend_handles_labels()
    axes.legend(handles[::-1], labels[::-1], loc="upper right", fontsize=7, handlelength=1.2)


def _round(width: float) -> float:
    """The nearest of 1, 2, 2.5, 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(width))
    return min(
        (power * step for step in (1, 2, 2.5, 5, 10)), key=lambda w: abs(math.log(w / width))
    )
