"""Which axis of a sweep matters: shares of the variance of its scores, and means by value."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from energan.io.text import number, plural, range_text
from energan.metrics.bootstrap import over_seeds
from energan.metrics.decomposition import (
    Anova,
    ShareEstimate,
    Shares,
    as_grid,
    estimated_shares,
    functional_anova,
)
from energan.report.html import Picture, Theme, draw_figure
from energan.report.sweep.comparison import percent, sign_of
from energan.report.sweep.labels import axis_label, axis_value, file_name
from energan.report.sweep.records import WORST, SweepRecords, index_of
from energan.sweeps.store import Record

PAIRS = 5
"""Joint effects that are told, the largest."""


@dataclass
class Importance:
    """sentences: what was computed and how far to trust it. rows: (axis, alone, with others).
    pairs: (two axes, share). title, means: axis -> (value, runs, mean, its interval, best).
    histograms: by the values of each axis."""

    label: str
    title: str
    sentences: list[str]
    means: dict[str, list[tuple[str, ...]]]
    second: str = ""
    rows: list[tuple[str, str, str]] = field(default_factory=list)
    pairs: list[tuple[str, str]] = field(default_factory=list)
    picture: Picture | None = None
    numbers: Record = field(default_factory=dict)
    histograms: list[Picture] = field(default_factory=list)


def importance(one: SweepRecords) -> Importance | None:
    """Of the axes that vary among the trials with a score; None if there are none."""
    found = [(r, s) for r, s in one.scored() if one.varied.keys() <= r["values"].keys()]
    if not found or not one.varied:
        return None
    scores = np.array([score for _, score in found])
    names, columns = [], []
    for name, values in one.varied.items():
        column = np.unique([index_of(values, r["values"][name]) for r, _ in found],
                           return_inverse=True)[1]  # fmt: skip
        if column.max() > 0:
            names.append(name)
            columns.append(column)
    made = Importance(one.label, f"Mean {sign_of(one.metric)}", [], _means(one, found))
    if not names:
        made.sentences.append("So far only one value of each axis has a score.")
        return made
    levels = np.stack(columns, 1)
    grid = as_grid(levels, scores)
    if grid is not None and grid.size == one.count:
        _decompose(made, names, functional_anova(grid))
    else:
        try:
            _estimate(made, names, estimated_shares(levels, scores), one.count)
        except ValueError as error:
            made.sentences.append(f"No shares of the variance: {error}.")
            return made
    diverged = one.states["diverged"]
    if diverged and one.metric in WORST:
        made.sentences.append(
            f"{plural(diverged, 'diverged trial')} counted at {sign_of(one.metric)} = "
            f"{WORST[one.metric]:g}."
        )
    elif diverged:
        made.sentences.append(f"{plural(diverged, 'diverged trial')} left out.")
    return made


def _decompose(made: Importance, names: list[str], found: Anova) -> None:
    made.second = "With all others"
    if not found.variance:
        made.sentences.append("All trials have the same score: there is no variance to divide.")
        return
    order = sorted(range(len(names)), key=lambda i: -found.main[i])
    made.rows = [
        (axis_label(names[i]), percent(found.main[i]), percent(found.total[i])) for i in order
    ]
    pairs = sorted(found.pairs.items(), key=lambda pair: -pair[1])[:PAIRS]
    made.pairs = [(_pair_label(names, i, j), percent(share)) for (i, j), share in pairs]
    made.sentences.append(
        "The whole grid has run, so the fractions are exact (functional ANOVA): Var E[y | x] / "
        "Var y for an axis alone, E Var[y | the others] / Var y with all its joint effects. "
        "Each combination ran once, so they include chance, nearly all of it in the second."
    )
    made.numbers = {
        "method": "functional ANOVA of the whole grid",
        "axes": {n: {"main": found.main[i], "total": found.total[i]} for i, n in enumerate(names)},
        "pairs": {_pair_label(names, i, j): share for (i, j), share in found.pairs.items()},
    }
    bars = [(axis_label(names[i]), found.main[i], None, found.total[i]) for i in order]
    made.picture = _draw_shares(made.label, bars, "Dark: alone. Pale: with all joint effects.")


def _estimate(made: Importance, names: list[str], found: Shares, count: int | None) -> None:
    made.second = "95 % interval"
    order = sorted(range(len(names)), key=lambda i: -found.main[i].share)
    made.rows = [(axis_label(names[i]), *_with_interval(found.main[i])) for i in order]
    rest = ShareEstimate(1 - found.additive.share, 1 - found.additive.high, 1 - found.additive.low)
    made.rows.append(("jointly, and chance", *_with_interval(rest)))
    pairs = sorted(found.pairs.items(), key=lambda pair: -pair[1].share)[:PAIRS]
    made.pairs = [
        (_pair_label(names, i, j), "{} ({})".format(*_with_interval(e))) for (i, j), e in pairs
    ]
    of = f" of {count:,}" if count else ""
    made.sentences.append(
        f"Estimated from {plural(found.count, 'trial')}{of} by an additive model of "
        f"{plural(found.coefficients, 'coefficient')}, minus what chance alone would explain; "
        "intervals are jackknife intervals over trials."
    )
    if found.few:
        made.sentences.append(
            "That is fewer than two trials per coefficient: too few to say which axis matters."
        )
    elif not any(e.low > 0 for e in found.main):
        made.sentences.append(
            "No axis has an interval above 0: this sample shows no axis that matters."
        )
    made.numbers = {
        "method": "additive least squares, unbiased; jackknife intervals",
        "trials": found.count,
        "coefficients": found.coefficients,
        "axes": {n: vars(found.main[i]) for i, n in enumerate(names)},
        "additive": vars(found.additive),
        "pairs": {_pair_label(names, i, j): vars(e) for (i, j), e in found.pairs.items()},
    }
    bars = [
        (axis_label(names[i]), _clamp(e.share), (_clamp(e.low), _clamp(e.high)), None)
        for i in order
        for e in [found.main[i]]
    ]
    made.picture = _draw_shares(made.label, bars, "Lines: 95 % intervals over trials.")


Bar = tuple[str, float, tuple[float, float] | None, float | None]


def _draw_shares(label: str, bars: Sequence[Bar], caption: str) -> Picture:
    def draw(axes: Any, theme: Theme) -> None:
        colour = theme.colours[0]
        for i, (_, share, ends, total) in enumerate(bars):
            if total is not None:
                axes.barh(i, 100 * total, 0.62, color=colour, alpha=0.3)
            axes.barh(i, 100 * share, 0.62, color=colour)
            reach = max(share, total or 0.0, ends[1] if ends else 0.0)
            if ends is not None:
                axes.plot([100 * e for e in ends], [i, i], color=theme.ink, linewidth=1)
            axes.text(100 * reach + 1, i, percent(share), va="center", fontsize=8, color=theme.ink)
        axes.set_yticks(range(len(bars)), [name for name, *_ in bars])
        axes.invert_yaxis()
        axes.set_xlim(0, 112)
        axes.set_xticks([0, 25, 50, 75, 100])
        axes.set_xlabel("share of the variance, %")

    title = f"What the scores of {label} depend on"
    size = (4.7, 0.8 + 0.27 * len(bars))
    return draw_figure(f"axes-{file_name(label)}", title, caption, draw, size)


def _means(
    one: SweepRecords, found: list[tuple[Record, float]]
) -> dict[str, list[tuple[str, ...]]]:
    """Of each value of each axis: how many trials scored, their mean, Student's interval of three
    at least, the best, how many diverged and how many failed."""
    means: dict[str, list[tuple[str, ...]]] = {}
    for axis, values in one.varied.items():
        rows: list[tuple[str, ...]] = []
        for value in values:
            own = [s for r, s in found if index_of([value], r["values"].get(axis)) == 0]
            states = Counter(
                r["state"] for r in one.records if index_of([value], r["values"].get(axis)) == 0
            )
            ill = f"{states['diverged']:,}", f"{states['failed']:,}"
            if not own:
                rows.append((axis_value(value), "0", "–", "–", "–", *ill))
                continue
            ends = over_seeds(own) if len(own) > 2 else None
            told = range_text(ends.low, ends.high) if ends else "–"
            best = max(own) if one.better == "higher" else min(own)
            mean = number(float(np.mean(own)))
            rows.append((axis_value(value), f"{len(own):,}", mean, told, number(best), *ill))
        means[axis] = rows
    return means


def _pair_label(names: list[str], i: int, j: int) -> str:
    return f"{axis_label(names[i])} × {axis_label(names[j])}"


def _with_interval(e: ShareEstimate) -> tuple[str, str]:
    """A share and its interval, within what a share can be."""
    return percent(_clamp(e.share)), f"{percent(_clamp(e.low))} – {percent(_clamp(e.high))}"


def _clamp(share: float) -> float:
    return min(max(share, 0.0), 1.0)
