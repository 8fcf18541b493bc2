"""What the page of a sweep says in words: what became of it, and whether two sweeps differ."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from energan.io.text import number, plural, range_text
from energan.metrics import catalogue
from energan.metrics.bootstrap import interval
from energan.metrics.classification import error_interval
from energan.report.sweep.labels import trial_label
from energan.report.sweep.records import WORST, SweepRecords, score_of

Scores = NDArray[np.float64]
RESAMPLES = 1000
FEW = 30


def metric_name(metric: str | None) -> str:
    """As a title."""
    return catalogue.title_of(metric or "score")


def sign_of(metric: str | None) -> str:
    """As a name in a sentence."""
    return catalogue.sign_of(metric or "score")


def headline(one: SweepRecords) -> str:
    """How many trials, what became of them, the best."""
    states, recorded = one.states, len(one.records)
    asked = max(len(one.asked), recorded)
    told = [f"{states['done']:,} done"]
    told += [f"{states[state]:,} {state}" for state in ("diverged", "failed") if states[state]]
    if one.missing:
        told.append(f"{one.missing:,} not there yet")
    of = f" of a grid of {one.count:,}" if one.count and one.count != asked else ""
    text = f"{one.label}: {plural(asked, 'trial')}{of}: {', '.join(told)}."
    best = next(iter(one.ranked()), None)
    if best is None:
        return f"{text} None has a score yet."
    score = score_of(best, one.metric)
    settings = trial_label(one, best)
    return f"{text} Best {sign_of(one.metric)}: {number(score)}" + (
        f", at {settings}." if settings else "."
    )


@dataclass(frozen=True)
class SweepRow:
    """Of one sweep: its median, quartiles, and the share of runs beyond each threshold."""

    label: str
    n: int
    median: str
    quartiles: str
    beyond: list[str]


@dataclass(frozen=True)
class Comparison:
    """columns: the thresholds, as titles. sentences: of each pair of sweeps."""

    columns: list[str]
    rows: list[SweepRow]
    sentences: list[str]


def compare(sweeps: Sequence[SweepRecords]) -> Comparison | None:
    """Medians, shares beyond round thresholds, and which of two sweeps scores better; None without
    scores. Diverged runs are in it where the metric has a worst value."""
    found = [(one, np.array([s for _, s in one.scored()], dtype=np.float64)) for one in sweeps]
    found = [(one, scores) for one, scores in found if len(scores)]
    if not found:
        return None
    metric, higher = found[0][0].metric, found[0][0].better == "higher"
    limits = thresholds(np.concatenate([scores for _, scores in found]))
    rows = []
    for one, scores in found:
        ends = interval(partial(_median, scores), len(scores))
        low, high = np.quantile(scores, (0.25, 0.75))
        shares = [scores >= limit if higher else scores <= limit for limit in limits]
        rows.append(
            SweepRow(
                one.label,
                len(scores),
                f"{number(float(np.median(scores)))} ({range_text(ends.low, ends.high)})",
                range_text(float(low), float(high)),
                [share_text(int(beyond.sum()), len(scores)) for beyond in shares],
            )
        )
    columns = [f"{'≥' if higher else '≤'} {number(limit)}" for limit in limits]
    sentences = [
        difference(a.label, x, b.label, y, sign_of(metric), higher)
        for i, (a, x) in enumerate(found)
        for b, y in found[i + 1 :]
    ]
    return Comparison(columns, rows, sentences)


def _median(scores: Scores, rows: NDArray[np.intp]) -> float:
    return float(np.median(scores[rows]))


def difference(first: str, a: Scores, second: str, b: Scores, sign: str, higher: bool) -> str:
    """In words whether scores a (N,) and b (M,) of two sweeps differ, as far as so many tell."""
    from scipy.stats import mannwhitneyu

    if min(len(a), len(b)) < 2:
        return f"{first} and {second}: a single run says nothing about a distribution."
    share, low, high = superiority(a, b, higher)
    p = float(mannwhitneyu(a, b).pvalue)
    # of scores that do not overlap every resample says 100 %, which is no interval
    interval = "" if low == high else f"95 % interval {percent(low)} to {percent(high)}; "
    chance = "p < 0.0001" if p < 1e-4 else f"p = {p:.2g}"
    text = (
        f"Of a run of {first} and one of {second}, drawn at random, that of {first} has the better "
        f"{sign} in {percent(share)} of pairs, ties counted half ({interval}Mann–Whitney "
        f"{chance}; n = {len(a):,} and {len(b):,}). "
    )
    if low <= 0.5 <= high or p >= 0.05:
        text += "This many runs cannot tell which of the two is better"
    else:
        better, worse = (first, second) if share > 0.5 else (second, first)
        text += f"Runs of {better} score better more often than those of {worse}"
    small = min(len(a), len(b)) < FEW
    return text + ("; with so few runs it is only an indication." if small else ".")


def superiority(a: Scores, b: Scores, higher: bool = True) -> tuple[float, float, float]:
    """The probability that a is better than b, ties counted half (U / NM), and its 95 % interval
    by the bootstrap over the runs of each."""
    from scipy.stats import bootstrap, rankdata

    def share(x: Scores, y: Scores, axis: int = -1) -> Scores:
        ranks = rankdata(np.concatenate([x, y], axis), axis=axis)[..., : x.shape[-1]]
        shares: Scores = (ranks.mean(axis) - (x.shape[-1] + 1) / 2) / y.shape[-1]
        return shares

    both = (a, b) if higher else (-a, -b)
    low, high = bootstrap(
        both, share, n_resamples=RESAMPLES, vectorized=True, batch=100, method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval  # fmt: skip
    return float(share(*both)), float(low), float(high)


def thresholds(scores: Scores) -> list[float]:
    """Three round numbers on the way from the least score to the most."""
    low, high = float(scores.min()), float(scores.max())
    if high <= low:
        return [low]
    step = 10.0 ** math.floor(math.log10((high - low) / 4))
    places = [
        round(round((low + (high - low) * part) / step) * step, 12) for part in (0.25, 0.5, 0.75)
    ]
    return sorted(set(places))


def share_text(count: int, n: int) -> str:
    """A share with Wilson's interval."""
    ends = error_interval(count, n)  # of any share
    return f"{percent(count / n)} ({percent(ends.low)} – {percent(ends.high)})"


def percent(share: float) -> str:
    text = f"{100 * share:.0f}" if 0.1 <= share <= 0.9 or share in (0, 1) else f"{100 * share:.1f}"
    return f"{text} %".replace("-", "−")


def worst_text(metric: str | None) -> str:
    """How diverged trials count."""
    if metric in WORST:
        return f"Diverged trials count at {sign_of(metric)} = {WORST[metric]:g}, the worst."
    return "Diverged trials are left out: this metric has no worst value."
