"""What a sweep's folder tells: its definition, its records, and how a record counts as a score."""

import math
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from energan.errors import RunError
from energan.sweeps.store import Record, SweepFolder

WORST = {"modified_inception_score": 0.0}
"""What a diverged trial counts as, of metrics that have a worst value."""


@dataclass
class SweepRecords:
    """One sweep. label: EBGAN or GAN where its models tell, else its name; unique on a page.

    axes: their values, those of records too that the definition does not name. asked: ids of the
    trials that were asked for. count: of the whole grid, if known. unread: records that are broken.
    place: among the sweeps of a page, which gives it its colour.
    """

    path: Path
    label: str
    definition: Record
    axes: dict[str, list[Any]]
    records: list[Record]
    asked: set[str]
    count: int | None
    metric: str | None
    better: str
    unread: list[str] = field(default_factory=list)
    place: int = 0

    @property
    def name(self) -> str:
        return str(self.definition.get("name") or self.path.name)

    @property
    def states(self) -> Counter[str]:
        return Counter(record["state"] for record in self.records)

    @property
    def missing(self) -> int:
        """Trials that were asked for and have no record."""
        return len(self.asked - {record["id"] for record in self.records})

    @property
    def varied(self) -> dict[str, list[Any]]:
        """The axes with more than one value."""
        return {name: values for name, values in self.axes.items() if len(values) > 1}

    def score(self, record: Record) -> float | None:
        """What it counts as: its score; the worst if it diverged and there is one; else None."""
        if record["state"] == "diverged":
            return None if self.metric is None else WORST.get(self.metric)
        return score_of(record, self.metric)

    def scored(self, where: Sequence[Record] | None = None) -> list[tuple[Record, float]]:
        """Records with what they count as, those left out that count as nothing."""
        records = self.records if where is None else where
        return [(r, s) for r in records if (s := self.score(r)) is not None]

    def ranked(self) -> list[Record]:
        """The trials that have a score of their own, the best first."""
        sign = -1 if self.better == "higher" else 1
        found = [(s, r) for r in self.records if (s := score_of(r, self.metric)) is not None]
        return [r for _, r in sorted(found, key=lambda pair: (sign * pair[0], pair[1]["id"]))]

    def run(self, record: Record) -> Path:
        """The folder of its run, which may not be there."""
        return self.path / "trials" / str(record["id"])


def read(folders: Iterable[Path]) -> list[SweepRecords]:
    """The sweeps in these folders, with labels that differ. Raises RunError if one holds none."""
    found = [_read(Path(folder)) for folder in folders]
    if not found:
        raise RunError("name a sweep's folder, for example sweeps/ebgan-grid")
    labels = Counter(one.label for one in found)
    for i, one in enumerate(found):
        one.place = i
        if labels[one.label] > 1:
            one.label = one.name
    labels = Counter(one.label for one in found)
    for i, one in enumerate(found):
        if labels[one.label] > 1:
            one.label += f" ({i + 1})"
    return found


def score_of(record: Record, metric: str | None) -> float | None:
    """The score of a trial that is done; None if it has none that is finite."""
    value = (record["scores"].get(metric) or {}).get("value") if record["state"] == "done" else None
    return float(value) if isinstance(value, (int, float)) and math.isfinite(value) else None


def same(a: Any, b: Any) -> bool:
    """Whether two values of an axis are the same: 1 is 1.0, and True is not 1."""
    return a == b and isinstance(a, bool) == isinstance(b, bool)


def index_of(values: Sequence[Any], value: Any) -> int:
    """Where a value stands among those of its axis; −1 if nowhere."""
    return next((i for i, known in enumerate(values) if same(known, value)), -1)


def is_numeric(values: Sequence[Any]) -> bool:
    return all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in values)


def _read(path: Path) -> SweepRecords:
    folder, records, unread = SweepFolder(path), list[Record](), list[str]()
    try:
        definition = folder.definition() or {}
    except RunError:
        definition = {}
    if not definition and not folder.results.is_dir():
        raise RunError(
            f"{path} holds no sweep (there is no sweep.json); `energan sweep` starts one"
        )
    defaults: Record = {"values": {}, "scores": {}, "reason": None}
    for trial in sorted(folder.done()):
        try:
            record = folder.read(trial) or {}
        except RunError:
            unread.append(f"{trial}.json")
        else:
            records.append(defaults | {k: v for k, v in record.items() if v is not None})
    metric = next(iter(definition.get("metrics") or ()), None)
    if metric is None:
        metric = next((r["metric"] for r in records if r.get("metric")), None)
    told = [(r["scores"].get(metric) or {}).get("better") for r in records]
    better = next((b for b in told if b), "higher")
    axes = {name: list(values) for name, values in (definition.get("axes") or {}).items()}
    for record in records:
        for name, value in record["values"].items():
            known = axes.setdefault(name, [])
            if index_of(known, value) < 0:
                known.append(value)
    asked, count = set(definition.get("trials") or ()), definition.get("count")
    label = _label(records) or str(definition.get("name") or path.name)
    return SweepRecords(
        path, label, definition, axes, records, asked, count, metric, better, unread
    )


def _label(records: Sequence[Record]) -> str | None:
    """As the paper writes it, if all records are of one of its two models."""
    models = {record.get("model") for record in records}
    return {"gan": "GAN", "ebgan": "EBGAN"}.get(str(models.pop())) if len(models) == 1 else None


def relative(path: Path, start: Path) -> str:
    """A path as a link in a page that lies in `start`."""
    return os.path.relpath(path.resolve(), start.resolve()).replace(os.sep, "/")
