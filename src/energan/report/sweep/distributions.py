"""Distributions of scores: figures 2 and 3 of Zhao et al. 2017, and histograms by any axis."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import product

from energan.io.text import agree, plural
from energan.report.html import COLOURS, Picture
from energan.report.sweep.comparison import metric_name
from energan.report.sweep.histograms import Panel, Where, draw_histograms, group_of
from energan.report.sweep.labels import axis_label, axis_value, file_name
from energan.report.sweep.records import WORST, SweepRecords, same
from energan.sweeps.store import Record

ACROSS = 3
"""Panels in a row of figure 3."""
SMALL = 30
"""Number of runs below which fractions in bins mean little."""


def draw_sweeps(sweeps: Sequence[SweepRecords]) -> list[tuple[Picture, Record]]:
    """All histograms of sweeps with one metric; figures 2 and 3 where the axes are the paper's."""
    metric = sweeps[0].metric
    told = _scoreless(sweeps)
    layers = [one for one in sweeps if {"nLayerG", "nLayerD"} <= one.axes.keys()]
    name = metric_name(metric)
    made = []
    if len(layers) == len(sweeps):
        limits = (None, 4, 3)
        titles = ("(a) all", "(b) nLayerG, nLayerD ≤ 4", "(c) nLayerG, nLayerD ≤ 3")
        panels = [
            Panel(title, [group_of(one, where=_shallow(limit)) for one in sweeps])
            for title, limit in zip(titles, limits, strict=True)
        ]
        caption = f"Share of runs in each bin, as figure 2 of Zhao et al. 2017. {told}"
        made.append(draw_histograms("figure-2", f"{name} of all runs", caption, panels, metric, 3))
    else:
        panel = Panel("", [group_of(one) for one in sweeps])
        caption = f"Share of runs in each bin. {told}"
        made.append(
            draw_histograms("histogram", f"{name} of all runs", caption, [panel], metric, 1)
        )
    for one in sweeps:
        if {"optimD", "optimG", "lr"} <= one.varied.keys():
            behind = [other for other in sweeps if other is not one]
            made.append(_draw_optimisers(one, behind))
    return made


def draw_axis(one: SweepRecords, axis: str) -> tuple[Picture, Record] | None:
    """The runs of each value of an axis, as outlines; None if there are too many to tell apart."""
    values = one.varied[axis]
    if len(values) > len(COLOURS):
        return None
    groups = [
        replace(group_of(one, where=_at({axis: value})), label=axis_value(value), colour=i)
        for i, value in enumerate(values)
    ]
    groups = [g for g in groups if g.n]
    if not groups:
        return None
    title = f"{metric_name(one.metric)} by {axis_label(axis)}"
    file = f"{file_name(one.label)}-by-{file_name(axis)}"
    return draw_histograms(file, title, "", [Panel("", groups)], one.metric, 1)


def _draw_optimisers(one: SweepRecords, behind: Sequence[SweepRecords]) -> tuple[Picture, Record]:
    """Figure 3: a panel for each (optimD, optimG, lr), and behind it what it is compared with."""
    axes = ("optimD", "optimG", "lr")
    others = [group_of(other) for other in behind]
    panels = []
    for values in product(*(one.axes[axis] for axis in axes)):
        own = group_of(one, where=_at(dict(zip(axes, values, strict=True))))
        title = "D {}, G {}, lr {}".format(*map(axis_value, values))
        panels.append(Panel(title, [own, *others]))
    named = " and ".join(other.label for other in behind)
    least = min(panel.groups[0].n for panel in panels)
    caption = (
        f"A panel for each choice of optimisers and learning rate of {one.label}"
        + (f", over all runs of {named}" if behind else "")
        + ", as figure 3 of Zhao et al. 2017."
        + (f" The smallest panel has {plural(least, 'run')}, so its bins mean little."
           if least < SMALL else "")
    )  # fmt: skip
    name = "figure-3" if one.label == "GAN" else f"figure-3-{file_name(one.label)}"
    title = f"{metric_name(one.metric)} of {one.label} by optimisers"
    return draw_histograms(name, title, caption, panels, one.metric, ACROSS)


def _scoreless(sweeps: Sequence[SweepRecords]) -> str:
    """What became of runs without a score."""
    told = []
    for one in sweeps:
        states = one.states
        if states["diverged"] and one.metric in WORST:
            count = f"{states['diverged']:,} of {sum(states.values()):,} {one.label} runs diverged"
            counts = agree(states["diverged"], "count")
            told.append(f"{count} and {counts} at {WORST[one.metric]:g}, the worst.")
        elif states["diverged"]:
            told.append(f"{plural(states['diverged'], f'{one.label} run')} diverged: a bar apart.")
        if states["failed"]:
            told.append(f"{plural(states['failed'], f'{one.label} run')} failed: left out.")
    return " ".join(told) or "No run diverged or failed."


def _shallow(limit: int | None) -> Where:
    return lambda record: (
        limit is None
        or all(record["values"].get(axis, 0) <= limit for axis in ("nLayerG", "nLayerD"))
    )


def _at(values: Record) -> Where:
    return lambda record: all(
        axis in record["values"] and same(record["values"][axis], value)
        for axis, value in values.items()
    )
