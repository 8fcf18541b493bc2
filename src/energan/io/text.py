"""How trials, scores and times are written in a line. Nothing here needs torch."""

import math
from collections.abc import Sequence
from typing import Any

from energan.errors import printable as printable


def varying(values: Sequence[dict[str, Any]]) -> list[str]:
    """The axes on which these differ; all of them if they differ on none."""
    axes = list(values[0]) if values else []
    return [a for a in axes if any(v.get(a) != values[0][a] for v in values)] or axes


def settings_text(values: dict[str, Any], axes: Sequence[str]) -> str:
    """As nLayerG=5 encoder=128-64; axes named by settings go without their groups where that is
    enough to tell them apart."""
    tails = [axis.rpartition(".")[2] for axis in axes]
    names = tails if len(set(tails)) == len(axes) else axes
    return " ".join(
        f"{name}={value_text(values.get(axis))}" for name, axis in zip(names, axes, strict=True)
    )


def value_text(value: Any) -> str:
    if isinstance(value, list | tuple):
        return "-".join(map(value_text, value)) or "none"
    if isinstance(value, dict):
        return ",".join(f"{k}:{value_text(v)}" for k, v in value.items())
    if isinstance(value, float):
        return f"{value:g}"
    return "none" if value is None else str(value)


def score_text(score: float | None) -> str:
    if score is None:
        return "none"
    return f"{score:.4g}" if math.isfinite(score) else "not finite"


def duration(seconds: float | None) -> str:
    """ "45 s", "38 min", "5.2 h", "3.4 days"; "?" if it is not known."""
    if seconds is None or not math.isfinite(seconds):
        return "?"
    if seconds < 100:
        return f"{seconds:.0f} s"
    if seconds < 100 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 48 * 3600 else f"{seconds / 86400:.1f} days"


def elapsed(seconds: float) -> str:
    """A time that was measured: "4.25 s", "1 min 05 s", "5 h 12 min"; "–" if it is not known."""
    if not math.isfinite(seconds):
        return "–"
    if seconds < 60:
        return f"{seconds:.3g} s"
    minutes, left = divmod(round(seconds), 60)
    return (
        f"{minutes} min {left:02} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02} min"
    )


def plural(count: int, noun: str) -> str:
    """ "1 trial", "1,200 trials", "2 energies", "2 classes"."""
    if count == 1:
        return f"1 {noun}"
    if noun.endswith("y") and noun[-2] not in "aeiou":
        return f"{count:,} {noun[:-1]}ies"
    return f"{count:,} {noun}" + ("es" if noun.endswith(("s", "x", "ch", "sh")) else "s")


def agree(count: int, verb: str) -> str:
    """The verb as it stands after so many: "are" or "is", "lie" or "lies"."""
    if count != 1:
        return verb
    return {"are": "is", "have": "has", "were": "was", "do": "does"}.get(verb, f"{verb}s")


def kind_of(bands: int) -> str:
    """Of images with so many: "grey", "colour", "4 bands"."""
    return {1: "grey", 3: "colour"}.get(bands, f"{bands} bands")


def size_text(count: float) -> str:
    """Bytes in the unit that fits."""
    if count < 1e5:
        return f"{count:,.0f} bytes"
    if count >= 1e15:
        return f"{count / 1e12:,.0f} TB" if count < 1e21 else f"{count:.0e} bytes"
    return f"{count / 1e9:,.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"


def number(value: Any) -> str:
    """Four significant digits; large whole numbers whole."""
    if not is_number(value):
        return "–" if value is None else str(value)
    if abs(value) >= 1000 or value == int(value):
        return f"{value:,.0f}".replace("-", "−")
    return f"{value:#.4g}".rstrip(".").replace("-", "−")


def range_text(low: Any, high: Any) -> str:
    """The ends of an interval: "8.500 – 9.200"."""
    return f"{number(low)} – {number(high)}"


def weights_text(weights: Any) -> str:
    """Of a checkpoint: averaged (EMA) or raw."""
    return "EMA" if weights == "ema" else str(weights)


def is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
