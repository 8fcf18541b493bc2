"""How a sweep's axes, values and trials are named on its page, and in the names of its files."""

import json
from typing import Any

from energan.report.sweep.records import SweepRecords
from energan.sweeps.store import Record


def axis_label(axis: str) -> str:
    """An axis' name without the group of its setting."""
    return axis.removeprefix("model.").removeprefix("training.").replace("_", " ")


def axis_value(value: Any) -> str:
    """A value of an axis, in few letters."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def trial_label(one: SweepRecords, record: Record) -> str:
    """The values of a trial on the axes that vary: "nLayerG 5, lr 0.01"."""
    names = one.varied or one.axes
    values = record["values"]
    return ", ".join(f"{axis_label(n)} {axis_value(values[n])}" for n in names if n in values)


def file_name(text: str) -> str:
    """A name as part of a file's name."""
    return "".join(c if c.isalnum() or c in "-._" else "-" for c in text).strip("-").lower()
