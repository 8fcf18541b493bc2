"""All trials of sweeps as one table: CSV for people, Arrow for programs."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from energan.io.files import write_atomically
from energan.report.sweep.records import SweepRecords, relative
from energan.sweeps.store import Record

if TYPE_CHECKING:
    import pyarrow

FIRST = {"sweep": str, "id": str, "state": str, "reason": str}
LAST = {
    "recipe": str, "model": str, "seed": int, "steps": int, "seconds": float,
    "scoring_seconds": float, "attempts": int, "cohort": int, "threads": int, "device": str,
    "precision": str, "weights": str, "samples": int, "host": str, "hash": str, "energan": str,
    "torch": str, "finished": float,
}  # fmt: skip
MOST = 2**63


def tabulate(sweeps: Sequence[SweepRecords]) -> "pyarrow.Table":
    """A row for each record: what it is, a column for each axis, each score with the ends of its
    interval, whether it diverged, how it was made, and its run's folder.

    An axis is a column of numbers, of booleans or of text as its values are; of JSON if they are
    mixed. What a record does not have is null. An axis named as another column gets "axis_" before.
    """
    import pyarrow as pa

    rows = [(one, record) for one in sweeps for record in one.records]
    axes: dict[str, list[Any]] = {}
    for one in sweeps:
        for name, values in one.axes.items():
            axes.setdefault(name, []).extend(values)
    metrics = {name: None for one in sweeps for name in one.definition.get("metrics") or ()}
    metrics |= {name: None for _, record in rows for name in record["scores"]}
    columns: dict[str, pa.Array] = {}
    types = {bool: pa.bool_(), int: pa.int64(), float: pa.float64()}

    def add(name: str, values: list[Any], kind: type) -> None:
        made = [_column_value(kind, value) for value in values]
        columns[name] = pa.array(made, types.get(kind, pa.string()))

    kind: type
    for name, kind in FIRST.items():
        add(name, [one.name if name == "sweep" else r.get(name) for one, r in rows], kind)
    scores = {f"{m}{end}" for m in metrics for end in ("", "_low", "_high")}
    taken = {*FIRST, *LAST, *scores, "diverged", "extractor", "run"}
    for name, known in axes.items():
        title = f"axis_{name}" if name in taken else name
        add(title, [r["values"].get(name) for _, r in rows], _kind(known))
    for metric in metrics:
        for end, key in (("", "value"), ("_low", "low"), ("_high", "high")):
            add(
                f"{metric}{end}", [(r["scores"].get(metric) or {}).get(key) for _, r in rows], float
            )
    add("diverged", [r["state"] == "diverged" for _, r in rows], bool)
    for name, kind in LAST.items():
        add(name, [r.get(name) for _, r in rows], kind)
    add("extractor", [extractor(r) for _, r in rows], str)
    home = sweeps[0].path if sweeps else Path()
    add("run", [relative(one.run(r), home) for one, r in rows], str)
    return pa.table(columns)


def write(folder: Path, made: "pyarrow.Table") -> tuple[Path, Path]:
    """table.csv and table.arrow (an IPC file) in the folder, each there whole or not at all."""
    import pyarrow as pa
    from pyarrow import csv

    paths = folder / "table.csv", folder / "table.arrow"
    file = pa.BufferOutputStream()
    csv.write_csv(made, file)
    write_atomically(paths[0], file.getvalue().to_pybytes())
    file = pa.BufferOutputStream()
    with pa.ipc.new_file(file, made.schema) as writer:
        writer.write_table(made)
    write_atomically(paths[1], file.getvalue().to_pybytes())
    return paths


def extractor(record: Record) -> str | None:
    """The hash of what the scores were made with, or its name, if there was anything."""
    about = record.get("extractor") or {}
    found = about.get("sha256") or about.get("name")
    return None if found is None else str(found)


def _kind(values: Sequence[Any]) -> type:
    """What an axis' values are: bool, int, float, str; object if they are mixed or nested."""
    kinds = {type(v) for v in values if v is not None}
    if any(isinstance(v, int) and abs(v) >= MOST for v in values):
        return object
    if kinds == {int, float}:
        return float
    only = kinds.pop() if len(kinds) == 1 else str if not kinds else object
    return only if only in (bool, int, float, str) else object


def _column_value(kind: type, value: Any) -> Any:
    """The value as its column has it; what does not fit there is null, but for text."""
    if value is None:
        return None
    if kind is object:
        return json.dumps(value, ensure_ascii=False, sort_keys=True)
    if kind is str:
        return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    fits = isinstance(value, (bool,) if kind is bool else (int, float))
    return kind(value) if fits and (kind is bool or not isinstance(value, bool)) else None
