"""The rows of a sweep's page: the best and the worst trials, what failed, time, provenance."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

from energan.errors import EnerganError
from energan.experiment.settings import load
from energan.io.text import agree, elapsed, number, plural, range_text
from energan.metrics.bootstrap import over_seeds
from energan.report.sweep.comparison import metric_name, sign_of, worst_text
from energan.report.sweep.labels import axis_value, trial_label
from energan.report.sweep.records import SweepRecords, relative, score_of
from energan.sweeps.store import Record

Facts = list[tuple[str, str]]
BEST, WORST_SHOWN, REASONS, NAMED = 10, 5, 8, 8
OWN_SCALE = (
    "It depends on the classifier: the paper says that it compares with no other published score, "
    "and ours compares with no score by another classifier"
)


@dataclass(frozen=True)
class TrialLine:
    """A trial in a table. values: on the axes that vary. link: to its run, if it is there."""

    place: str
    score: str
    interval: str
    others: list[str]
    values: list[str]
    time: str
    id: str
    link: str


@dataclass(frozen=True)
class TrialRanking:
    """Of one sweep: its best trials and its worst, with their other scores and their settings."""

    label: str
    metric: str
    others: list[str]
    axes: list[str]
    best: list[TrialLine]
    worst: list[TrialLine]


def ranking(one: SweepRecords, home: Path) -> TrialRanking:
    """home: the folder of the page."""
    ranked = one.ranked()
    others = list({name: None for r in ranked for name in r["scores"] if name != one.metric})
    places = list(enumerate(ranked, 1))
    shown = places[:BEST]
    worst = places[max(len(shown), len(ranked) - WORST_SHOWN) :]

    def line(place: int, record: Record) -> TrialLine:
        found = record["scores"][one.metric]
        low, high = found.get("low"), found.get("high")
        ends = "" if low is None or high is None else range_text(low, high)
        values = [axis_value(record["values"].get(name, "–")) for name in one.varied]
        more = [number(score_of(record, name)) for name in others]
        run = one.run(record)
        return TrialLine(
            f"{place:,}", number(found["value"]), ends, more, values,
            elapsed(record.get("seconds", math.nan)), record["id"],
            relative(run, home) if run.is_dir() else "",
        )  # fmt: skip

    return TrialRanking(
        one.label, sign_of(one.metric), [sign_of(name) for name in others],
        list(one.varied), [line(*pair) for pair in shown], [line(*pair) for pair in worst],
    )  # fmt: skip


def reasons(one: SweepRecords) -> list[tuple[str, str, int, list[str]]]:
    """(state, reason, how many, settings of some) of trials without a score, the most frequent
    first."""
    found: dict[tuple[str, str], list[Record]] = {}
    for r in one.records:
        if r["state"] != "done":
            why = " ".join(str(r.get("reason") or "no reason given").split())[:300]
            found.setdefault((r["state"], why), []).append(r)
    often = sorted(found.items(), key=lambda pair: -len(pair[1]))[:REASONS]
    return [
        (state, why, len(own), [f"{trial_label(one, r)} ({r['id']})" for r in own[:NAMED]])
        for (state, why), own in often
    ]


def times(one: SweepRecords) -> Facts:
    """Seconds a trial, what was spent, what the whole grid takes at the mean of those that ran."""
    on_cpu = _all(one, "device") in ("cpu", None)
    unit = "core hours" if on_cpu else "device hours"
    spent = [
        (
            float(r["seconds"]),
            float(r.get("scoring_seconds", 0.0)),
            int(r.get("threads", 1)) if on_cpu else 1,
        )
        for r in one.records
        if isinstance(r.get("seconds"), (int, float)) and r["state"] != "failed"
    ]
    if not spent:
        return []
    each = [(train + score) for train, score, _ in spent]
    hours = [(train + score) * cores / 3600 for train, score, cores in spent]
    rows = [
        ("A trial", f"{elapsed(mean(t for t, _, _ in spent))} of training, "
                    f"{elapsed(mean(s for _, s, _ in spent))} of scoring, on average; "
                    f"{elapsed(min(each))} to {elapsed(max(each))} together"),
        ("So far", f"{number(round(sum(hours), 3))} {unit}, of trials that ended"),
    ]  # fmt: skip
    steps = [r["steps"] for r in one.records if isinstance(r.get("steps"), int)]
    seconds = sum(t for t, _, _ in spent)
    if steps and seconds:
        rows.append(("Throughput", f"{number(sum(steps) / seconds)} steps a second of training"))
    if one.count and one.count > len(one.records):
        rows.append(("The whole grid", _projected(one, hours, unit, mean(hours))))
    full = recipe_steps(one)
    if full and steps and one.count and max(steps) < full:
        long = mean((t * full / max(steps) + s) * n / 3600 for t, s, n in spent) * one.count
        rows.append(
            (f"At the recipe's {full:,} steps", f"about {number(long)} {unit}, training drawn out "
             "in proportion")
        )  # fmt: skip
    return rows


def provenance(one: SweepRecords) -> Facts:
    """What the scores are of and made with, so that another knows what they compare with."""
    about: Record = next((r["extractor"] for r in one.records if r.get("extractor")), {})
    rows = [("Sweep", f"{one.name}: {one.definition.get('summary') or 'no summary'}")]
    rows.append(("Recipe", str(one.definition.get("recipe") or _all(one, "recipe") or "–")))
    for name, values in one.axes.items():
        rows.append((f"Axis {name}", ", ".join(axis_value(value) for value in values)))
    note = f" {OWN_SCALE}." if "inception_score" in (one.metric or "") else ""
    rows.append(("Ranked by", f"{metric_name(one.metric)}, {one.better} is better.{note} "
                              f"{worst_text(one.metric)}"))  # fmt: skip
    if about:
        told = [str(about.get("name", "")), str(about.get("what", ""))]
        told += [f"trained on {about['trained_on']}"] if about.get("trained_on") else []
        if about.get("test_accuracy") is not None:
            told.append(f"{100 * about['test_accuracy']:.4g} % right on {about.get('tested_on')}")
        told += [f"sha256 {about['sha256']}"] if about.get("sha256") else []
        rows.append(("Scored with", "; ".join(part for part in told if part)))
    for title, key in (
        ("Samples a score", "samples"), ("Weights", "weights"), ("Seed", "seed"),
        ("Device", "device"), ("Precision", "precision"), ("Trained together", "cohort"),
        ("Hosts", "host"), ("energan", "energan"), ("torch", "torch"),
    ):  # fmt: skip
        found = _all(one, key)
        if found is not None:
            rows.append((title, found))
    return rows


def notes(one: SweepRecords) -> list[str]:
    """What a reader must know before the figures."""
    found = []
    steps = sorted({r["steps"] for r in one.records if isinstance(r.get("steps"), int)
                    and r["state"] == "done"})  # fmt: skip
    full = recipe_steps(one)
    if steps and full and steps[-1] < full:
        found.append(f"Trials trained {steps[-1]:,} steps, and the recipe has {full:,}: ranks "
            "of this shortened search may differ from those at full length.")  # fmt: skip
    if len(steps) > 1:
        found.append("Trials trained different numbers of steps, "
        f"{', '.join(f'{s:,}' for s in steps[:6])}: their scores cannot be compared.")  # fmt: skip
    if one.count and len(one.records) < one.count:
        found.append(f"{len(one.records):,} of the grid's {plural(one.count, 'trial')} "
            f"{agree(len(one.records), 'have')} a record: these results are a sample of the "
            "search.")  # fmt: skip
    made_with = {(r["extractor"] or {}).get("sha256") for r in one.records if r.get("extractor")}
    if len(made_with) > 1:
        found.append(
            "Trials were scored with different classifiers: their scores cannot be compared."
        )
    without = one.states["done"] - len(one.ranked())
    if without:
        found.append(f"{plural(without, 'trial')} that ended without an error "
            f"{agree(without, 'have')} no finite {sign_of(one.metric)}, and "
            f"{agree(without, 'are')} in no figure.")  # fmt: skip
    if one.unread:
        found.append(f"{plural(len(one.unread), 'record')} could not be read: "
                     f"{', '.join(one.unread[:5])}.")  # fmt: skip
    return [f"{one.label}: {text}" for text in found]


def recipe_steps(one: SweepRecords) -> int | None:
    """Training steps of the recipe at its full length; None if it is not known here."""
    name = one.definition.get("recipe") or next((r.get("recipe") for r in one.records), None)
    try:
        return int(load(str(name)).settings.training.steps) if name else None
    except EnerganError:
        return None


def _projected(one: SweepRecords, hours: Sequence[float], unit: str, each: float) -> str:
    assert one.count is not None
    text = f"about {number(each * one.count)} {unit} for {one.count:,} trials"
    if len(hours) > 1:
        ends = over_seeds(hours)
        low, high = max(ends.low, 0.0) * one.count, ends.high * one.count
        text += f" (95 % interval {number(low)} to {number(high)})"
    text += f", by the mean of {plural(len(hours), 'trial')}"
    return text + ("" if not one.missing else "; the remaining ones may take longer or shorter")


def _all(one: SweepRecords, key: str) -> str | None:
    """The values that the records have there, as text."""
    found: dict[Any, None] = {r[key]: None for r in one.records if r.get(key) is not None}
    return ", ".join(f"{v:,}" if isinstance(v, int) else str(v) for v in found) if found else None
