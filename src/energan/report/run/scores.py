"""The scores of runs in one table, with intervals, the best of each row, and the protocol."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from energan.io.text import is_number, number, range_text, weights_text
from energan.metrics.catalogue import title_of
from energan.report.html import Picture, Theme, draw_figure
from energan.report.run.contents import RunContents

ARROWS = {"higher": "↑", "lower": "↓"}


@dataclass
class MetricCell:
    """One score: the value, its interval if it has one, whether it is the best of its row."""

    value: str
    interval: str = ""
    best: bool = False


@dataclass
class MetricRow:
    """One metric over all evaluations. marks: numbers of its footnotes. real: what data gets."""

    name: str
    arrow: str
    cells: list[MetricCell | None]
    real: str = ""
    marks: list[int] = field(default_factory=list)


@dataclass
class MetricTable:
    """columns: (run, "step 12,000, EMA"). protocols: (columns, how their scores were made).

    mixed: whether columns were scored against unlike references or by unlike extractors.
    """

    columns: list[tuple[str, str]]
    rows: list[MetricRow]
    footnotes: list[str]
    protocols: list[tuple[str, str]]
    mixed: bool


def tabulate(runs: Sequence[RunContents]) -> MetricTable | None:
    """All evaluations of all runs; None if there is none."""
    entries = [(m, e) for m in runs for e in m.scores.evaluations]
    if not entries:
        return None
    found = [{m["name"]: m for m in e["metrics"]} for _, e in entries]
    footnotes: list[str] = []
    rows = [_row(name, found, footnotes) for name in {n: None for f in found for n in f}]
    columns = [(m.label, _column(e)) for m, e in entries]
    told: dict[str, list[str]] = {}
    for (label, when), (_, entry) in zip(columns, entries, strict=True):
        who = f"{label}, {when}" if len(runs) > 1 else when
        told.setdefault(_protocol(entry), []).append(who)
    protocols = [("; ".join(who), text) for text, who in told.items()]
    means = {_means(e) for _, e in entries}
    return MetricTable(columns, rows, footnotes, protocols, len(means) > 1)


def draw_class_coverage(contents: RunContents) -> list[Picture]:
    """The share of each class among samples, of the newest evaluation that has them."""
    for entry in reversed(contents.scores.evaluations):
        for metric in entry["metrics"]:
            if metric["name"] == "class_coverage":
                shares, names = _shares(metric.get("details"))
                if shares:
                    return [_bars(shares, names, metric, entry)]
    return []


def _row(name: str, found: list[dict[str, Any]], footnotes: list[str]) -> MetricRow:
    metrics = [f.get(name) for f in found]
    there = [m for m in metrics if m is not None]
    better = next((m["better"] for m in there if m.get("better") in ARROWS), None)
    values = [m["value"] for m in there if is_number(m.get("value"))]
    best = None
    if better and len(set(values)) > 1:
        best = max(values) if better == "higher" else min(values)
    cells = [None if m is None else _cell(m, best) for m in metrics]
    reals = {number(m["real"]): None for m in there if m.get("real") is not None}
    row = MetricRow(title_of(name), ARROWS.get(better or "", ""), cells, " / ".join(reals))
    for text in (t for m in there for t in (m.get("interval"), m.get("note")) if t):
        if str(text) not in footnotes:
            footnotes.append(str(text))
        mark = footnotes.index(str(text)) + 1
        if mark not in row.marks:
            row.marks.append(mark)
    row.marks.sort()
    return row


def _cell(metric: dict[str, Any], best: float | None) -> MetricCell:
    value, low, high = (metric.get(n) for n in ("value", "low", "high"))
    interval = "" if low is None or high is None else range_text(low, high)
    return MetricCell(number(value), interval, best is not None and value == best)


def _column(entry: dict[str, Any]) -> str:
    step, weights = entry.get("step"), entry.get("weights")
    where = f"step {step:,}" if isinstance(step, int) else "step unknown"
    return f"{where}, {weights_text(weights) if weights else 'weights unknown'}"


def _protocol(entry: dict[str, Any]) -> str:
    """How the scores of one evaluation were made, in a sentence."""
    count = entry.get("samples")
    text = f"{count:,} samples" if isinstance(count, int) else "samples"
    text += f" of seed {entry.get('seed', 'unknown')}"
    if (reference := entry.get("reference")) is not None:
        text += f", against {_reference(reference)}"
    if (extractor := entry.get("extractor")) is not None:
        text += f"; features by {_extractor(extractor)}"
    if isinstance(entry.get("images"), str):
        text += f"; images: {entry['images']}"
    return f"{text}; energan {entry.get('energan', 'of an unknown version')}."


def _reference(reference: dict[str, Any]) -> str:
    told = [str(reference["split"])] if reference.get("split") else []
    if isinstance(reference.get("events"), int):
        told.append(f"{reference['events']:,} examples")
    if reference.get("sha256"):
        told.append(f"sha256 {str(reference['sha256'])[:12]}…")
    return f"{reference.get('source', 'unknown data')} ({', '.join(told)})"


def _extractor(extractor: dict[str, Any]) -> str:
    text = str(extractor.get("name", "an unknown extractor"))
    told = [str(extractor["what"])] if extractor.get("what") else []
    if extractor.get("sha256"):
        told.append(f"sha256 {str(extractor['sha256'])[:12]}…")
    if is_number(extractor.get("test_accuracy")):
        where = f" on {extractor['tested_on']}" if extractor.get("tested_on") else ""
        told.append(f"test accuracy {extractor['test_accuracy']:.2%}{where}")
    if extractor.get("resize"):
        told.append(f"resize {extractor['resize']}")
    return f"{text} ({', '.join(told)})" if told else text


def _means(entry: dict[str, Any]) -> str:
    """What must agree before two evaluations can be compared."""
    parts = ((entry.get(name) or {}).get("sha256") for name in ("reference", "extractor"))
    return repr((*parts, entry.get("samples")))


def _shares(details: Any) -> tuple[list[float], list[str]]:
    """Shares and names of classes, where they are all there."""
    shares = details.get("shares") if isinstance(details, dict) else None
    if isinstance(shares, dict):
        details, shares = {"names": list(shares)}, list(shares.values())
    if not isinstance(shares, list) or not shares or not all(map(is_number, shares)):
        return [], []
    names = details.get("names")
    if not isinstance(names, list) or len(names) != len(shares):
        names = range(len(shares))
    return shares, [str(n) for n in names]


def _bars(
    shares: list[float], names: list[str], metric: dict[str, Any], entry: dict[str, Any]
) -> Picture:
    def draw(axes: Any, theme: Theme) -> None:
        axes.bar(range(len(shares)), [100 * s for s in shares], color=theme.colours[0], width=0.7)
        axes.axhline(100 / len(shares), color=theme.faint, linewidth=0.8, linestyle="--")
        if len(shares) <= 20:
            turned = max(map(len, names)) > 3
            axes.set_xticks(range(len(shares)), [n[:18].replace("$", r"\$") for n in names],
                            rotation=60 if turned else 0)  # fmt: skip
        axes.set_xlabel("class")
        axes.set_ylabel("% of samples")

    value, real = number(metric.get("value")), metric.get("real")
    there = f"{value} of {number(real)} classes" if real is not None else f"{value} classes"
    caption = (
        f"{_column(entry)}: {there} covered. Dashed: equal fractions. The generator has dropped "
        "classes that are missing or far below the others."
    )
    return draw_figure("classes", "Class coverage", caption[:1].upper() + caption[1:], draw)
