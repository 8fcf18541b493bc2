"""Pictures of how well a run classifies: its confusion, and what its confidence is worth."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from energan.io.text import agree, is_number, number, weights_text
from energan.report.html import PageTable, Picture, Theme, draw_figure, safe_label
from energan.report.run.contents import RunContents

INTRO = (
    "On labelled examples that were not trained on. The 95% interval (Wilson) of the error "
    "covers chance in which examples were drawn, not chance in the seed."
)

COLUMNS = (
    "Checkpoint", "On", "Events", "Error, %", "Interval, %", "Calibration error, %"
)  # fmt: skip
CONFUSION, RELIABILITY = "Confusion", "Reliability"
COUNTED, NAMED = 16, 40
"""Largest number of classes with counts in the cells and names on the rows."""


def tabulate(contents: RunContents) -> list[PageTable]:
    """One table with a row for each entry of the run's metrics.json; none without entries."""
    rows = [_row(entry) for entry in _entries(contents)]
    return [PageTable(COLUMNS, rows)] if rows else []


def draw_newest(contents: RunContents) -> list[Picture]:
    """The pictures of the newest entry, of the test part before others."""
    found = _entries(contents)
    if not found:
        return []
    return draw_entry(max(found, key=lambda e: (e.get("step") or 0, e.get("part") == "test")))


def _entries(contents: RunContents) -> list[dict[str, Any]]:
    return [e for e in contents.scores.classes if is_number(e.get("error"))]


def _row(entry: dict[str, Any]) -> tuple[str, ...]:
    data = entry.get("data") or {}
    source, part = str(data.get("source", "")), str(entry.get("part", ""))
    ends: Any = entry.get("error_interval")
    known = isinstance(ends, list) and len(ends) == 2 and all(map(is_number, ends))
    told = {"test": f"{source}, test part", "held-out": f"{source}, held out"}
    note = data.get("note")
    calibration: Any = entry.get("calibration_error")
    return (
        f"step {number(entry.get('step'))}, {weights_text(entry.get('weights'))}",
        told.get(part, part) + (f" ({note})" if note else ""),
        number(entry.get("count")),
        f"{100 * entry['error']:.2f}",
        " – ".join(f"{100 * end:.2f}" for end in ends) if known else "–",
        f"{100 * calibration:.2f}" if is_number(calibration) else "–",
    )


def draw_entry(entry: dict[str, Any]) -> list[Picture]:
    """Both pictures of an entry of metrics.json, those that it has the figures for."""
    made = [draw_confusion(entry), draw_reliability(entry)]
    return [picture for picture in made if picture is not None]


def draw_confusion(entry: dict[str, Any]) -> Picture | None:
    """Counts by true class (rows) and found class (columns), coloured by the share of the row.

    None if the entry has no such table.
    """
    table = _table(entry)
    if table is None:
        return None
    names = _names(entry, len(table))
    wrong = table.copy()
    np.fill_diagonal(wrong, 0)
    total = np.maximum(table.sum(1, keepdims=True), 1)

    def draw(axes: Any, theme: Theme) -> None:
        right = np.eye(len(table), dtype=bool)
        # two scales: beside rows that are nearly all right, errors would have no colour at all
        shares = table / total
        most = max(float(shares[~right].max()), 1e-9)
        colours = np.zeros((*table.shape, 4))
        colours[right] = _paint(theme.colours[0], 0.15 + 0.6 * shares[right])
        colours[~right] = _paint(theme.colours[1], 0.85 * (shares[~right] / most) ** 0.7)
        axes.imshow(colours, aspect="equal", interpolation="nearest")
        if len(table) <= COUNTED:
            size = 9 if len(table) <= 10 else 7
            for row, column in np.argwhere(table > 0).tolist():
                axes.text(column, row, f"{table[row, column]:,}", ha="center", va="center",
                          fontsize=size, color=theme.ink)  # fmt: skip
        every = max(1, -(-len(table) // NAMED))
        places = range(0, len(table), every)
        shown = [names[i] for i in places]
        turned = max(map(len, shown)) > 3
        side = {"rotation": 60, "ha": "right", "rotation_mode": "anchor"} if turned else {}
        axes.set_xticks(places, shown, **side)
        axes.set_yticks(places, shown)
        axes.set_xlabel("found")
        axes.set_ylabel("true")
        axes.tick_params(length=0)
        axes.set_xticks(np.arange(len(table) + 1) - 0.5, minor=True)
        axes.set_yticks(np.arange(len(table) + 1) - 0.5, minor=True)
        axes.tick_params(which="minor", length=0)
        if len(table) <= NAMED:
            axes.grid(which="minor", color=theme.faint, linewidth=0.3, alpha=0.5, clip_on=False)
        axes.set(frame_on=False)
        share = wrong.sum() / table.sum()
        title = f"error {100 * share:.2f} % of {table.sum():,}; blue right, orange wrong"
        axes.set_title(title, loc="left", fontsize=10)

    caption = (
        f"Rows are true classes, columns predicted classes; {int(wrong.sum()):,} of "
        f"{int(table.sum()):,} {agree(int(wrong.sum()), 'are')} wrong. Colours are fractions of "
        "the row, blue if right, orange if wrong, each on its own scale."
    )
    wide = min(7.5, max(3.4, 1.4 + 0.36 * len(table)))
    return draw_figure("confusion", CONFUSION, caption, draw, (wide, wide), tall=True)


def draw_reliability(entry: dict[str, Any]) -> Picture | None:
    """Accuracy over confidence, and how many events have which confidence; None without bins."""
    bins = entry.get("bins")
    if not isinstance(bins, list) or not all(isinstance(b, dict) for b in bins):
        return None
    there = [b for b in bins if b.get("count") and is_number(b.get("accuracy"))]
    if not there:
        return None
    error: Any = entry.get("calibration_error")

    def draw(axes: Any, theme: Theme) -> None:
        axes.set_axis_off()
        upper = axes.inset_axes((0, 0.36, 1, 0.64))
        lower = axes.inset_axes((0, 0, 1, 0.27), sharex=upper)
        upper.plot([0, 1], [0, 1], "--", color=theme.faint, linewidth=1)
        for b in there:
            low, width = b["low"], b["high"] - b["low"]
            centre = low + width / 2
            least, most = sorted((b["accuracy"], b["confidence"]))
            unsure = b["accuracy"] > b["confidence"]
            upper.bar(centre, least, 0.9 * width, color=theme.colours[0], alpha=0.8, linewidth=0)
            upper.bar(centre, most - least, 0.9 * width, least, alpha=0.4, linewidth=0,
                      color=theme.colours[0 if unsure else 1])  # fmt: skip
            lower.bar(centre, b["count"], 0.9 * width, color=theme.faint)
        upper.plot([b["confidence"] for b in there], [b["accuracy"] for b in there], "o",
                   color=theme.ink, markersize=3)  # fmt: skip
        upper.set(xlim=(0, 1), ylim=(0, 1.02), ylabel="share that is right")
        upper.tick_params(labelbottom=False)
        if is_number(error):
            upper.set_title(f"calibration error {100 * error:.2f} %", loc="left", fontsize=10)
        key = "dots: fraction right\npale blue: underconfident\norange: overconfident"
        upper.text(0.02, 0.98, key, va="top", fontsize=8, color=theme.ink)
        lower.set_yscale("log")
        lower.set(ylabel="events", xlabel="probability of the found class", ylim=(0.7, None))

    caption = (
        "Of the examples whose predicted class has a probability near p, a fraction p should be "
        "right (dashed line). Dots and blue bars are the measured fractions. Orange is what is "
        "missing (overconfident), pale blue what is in excess (underconfident). Below: the "
        "number of examples in each bin."
    )
    return draw_figure("reliability", RELIABILITY, caption, draw, (4.7, 4.2))


def _table(entry: dict[str, Any]) -> NDArray[np.int64] | None:
    try:
        table = np.array(entry.get("confusion"), dtype=np.int64)
    except (TypeError, ValueError):
        return None
    square = table.ndim == 2 and table.shape[0] == table.shape[1] > 1
    return table if square and int(table.min()) >= 0 and int(table.sum()) else None


def _names(entry: dict[str, Any], classes: int) -> list[str]:
    names = entry.get("class_names")
    if not isinstance(names, list) or len(names) != classes:
        names = list(range(classes))
    return [safe_label(str(name)) for name in names]


def _paint(colour: str, strength: NDArray[np.float64]) -> NDArray[np.float64]:
    """A colour (N, 4) whose opacity is the strength."""
    from matplotlib.colors import to_rgb

    return np.column_stack([np.tile(to_rgb(colour), (len(strength), 1)), strength.clip(0, 1)])
