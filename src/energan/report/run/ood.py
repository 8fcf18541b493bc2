"""How the energy ranks other data: a table and histograms, from what metrics.json keeps."""

from typing import Any

import numpy as np

from energan.io.text import is_number, number, range_text, weights_text
from energan.report.energies import EnergyRow, EnergyScale, Values, draw_rows
from energan.report.html import PageTable, Picture, Theme, draw_figure, safe_label
from energan.report.run.contents import RunContents

TITLE = "Energy of other data"
INTRO = (
    "How the energy ranks other data against held-out data. AUROC is the probability that an "
    "example of the set has the higher energy: 1 if all can be told apart, 0.5 if none can. "
    "Below 0.5 the energy takes the set for more similar to the data than held-out data, as "
    "likelihood models do with simpler images. Baselines (distance to the mean image, PCA, "
    "nearest neighbour) need no training; below their rows is the energy's AUROC minus theirs."
)
COLUMNS = (
    "AUROC", "Average precision", "FPR at 95% TPR", "Mean energy", "Events", "Best baseline"
)  # fmt: skip


def tabulate(contents: RunContents) -> list[PageTable]:
    """A table for each entry that can be shown."""
    return [_ranking(entry) for entry in _entries(contents)]


def draw_newest(contents: RunContents) -> list[Picture]:
    """Histograms of the newest entry."""
    found = _entries(contents)
    picture = draw_energies(found[-1]) if found else None
    return [picture] if picture else []


def _entries(contents: RunContents) -> list[dict[str, Any]]:
    whole = []
    for entry in contents.scores.outside:
        sets = [s for s in entry["sets"] if isinstance(s, dict) and is_number(s.get("auroc"))]
        if sets and isinstance(entry.get("held_out"), dict):
            whole.append({**entry, "sets": sets})
    return whole


def _ranking(entry: dict[str, Any]) -> PageTable:
    own = entry["held_out"]
    rows = [
        (
            str(s.get("name")), (number(s["auroc"]), _ends(s)),
            number(s.get("average_precision")), number(s.get("fpr_at_95_tpr")),
            number(s.get("mean_energy")), number(s.get("events")), _best_baseline(s),
        )
        for s in entry["sets"]
    ]  # fmt: skip
    caption = (
        f"Compared with {number(own.get('events'))} examples of {own.get('source')} "
        f"({own.get('split')}), mean energy {number(own.get('mean_energy'))}; seed "
        f"{entry.get('seed')}; intervals: {entry.get('interval')}; energan "
        f"{entry.get('energan')}."
    )
    column = f"Step {number(entry.get('step'))}, {weights_text(entry.get('weights'))} weights"
    return PageTable((column, *COLUMNS), rows, caption)


def _best_baseline(found: dict[str, Any]) -> tuple[str, str]:
    """Its AUROC with its name, and the energy's less that with the ends of its interval."""
    there = found.get("baselines")
    known = [
        one for one in (there if isinstance(there, list) else ())
        if isinstance(one, dict) and is_number(one.get("auroc"))
    ]  # fmt: skip
    if not known:
        return "–", ""
    best = max(known, key=lambda one: one["auroc"])
    ends = _ends(best)
    return (
        f"{number(best['auroc'])} ({best.get('name')})",
        number(best.get("difference")) + (f": {ends}" if ends else ""),
    )


def _ends(found: dict[str, Any]) -> str:
    """Of an interval; "" where held-out data are of one group, so that there is none."""
    return range_text(found["low"], found.get("high")) if found.get("low") is not None else ""


def draw_energies(entry: dict[str, Any]) -> Picture | None:
    """A row of histograms for each set, that of held-out data behind it; None without energies."""
    shares = _array(entry.get("shares"))
    own, *others = (_levels(found, shares) for found in (entry["held_out"], *entry["sets"]))
    rows = [(s, v) for s, v in zip(entry["sets"], others, strict=True) if v is not None]
    if own is None or not rows:
        return None
    scale = EnergyScale(own, [levels for _, levels in rows])
    shown = [
        EnergyRow(
            scale.heights(levels, shares),
            0 if found["auroc"] >= 0.5 else 1,
            f"{safe_label(str(found.get('name')))}  {found['auroc']:.3f}",
        )
        for found, levels in rows
    ]

    def draw(axes: Any, theme: Theme) -> None:
        behind = scale.heights(own, shares)
        draw_rows(axes, theme, scale, behind, shown, ("held out", "other data"))

    caption = (
        "Grey: held-out data. Blue: the data set named at the left, with its AUROC; orange if "
        "that is below 0.5. Each histogram has its own height."
    )
    size = (4.7, 0.9 + 0.36 * len(rows))
    return draw_figure("energies-of-other-data", TITLE, caption, draw, size, tall=len(rows) > 5)


def _array(values: Any) -> Values:
    """A list of numbers; an empty one of anything else."""
    there = isinstance(values, list) and all(map(is_number, values))
    return np.array(values if there else [], dtype=np.float64)


def _levels(found: dict[str, Any], shares: Values) -> Values | None:
    """Quantiles of the energies of one set; None if they are not there as they should be."""
    values = _array(found.get("energies"))
    return values if len(shares) == len(values) > 1 else None
