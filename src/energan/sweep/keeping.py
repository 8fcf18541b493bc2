"""Which trials keep their checkpoints: thousands of them fill a disk."""

import math
import shutil
from collections.abc import Iterable

from energan.sweep.folder import Record, SweepFolder
from energan.sweep.setup import Setup


def score_of(record: Record) -> float | None:
    """The score that ranks a trial, larger is better; None if it has none."""
    found = record["scores"].get(record["metric"])
    if record["state"] != "done" or found is None or found["value"] is None:
        return None
    value = float(found["value"])
    if not math.isfinite(value):
        return None
    return -value if found.get("better") == "lower" else value


def best_of(records: Iterable[Record]) -> Record | None:
    """The record of the best score, of equal ones that of the lowest id; None if there is none."""
    ranked = [(score, r["id"], r) for r in records if (score := score_of(r)) is not None]
    return min(ranked, key=lambda one: (-one[0], one[1]))[2] if ranked else None


def tidy(folder: SweepFolder, record: Record, setup: Setup) -> None:
    """Throw away the checkpoints that a record which was just written makes useless.

    keep best: those of this trial, unless it is the best of its sweep; then those of the others.
    Called after the record is there, so that of two trials that end at once the better one stays.
    """
    if setup.keep == "all" or record["state"] != "done":
        return
    # the best until now has its checkpoints: only those that have some are read
    kept = {p.parent.name for p in folder.trials.glob("*/checkpoints")} | {record["id"]}
    best = best_of(r for r in folder.records(kept) if r["sweep"] == record["sweep"])
    stays = best["id"] if setup.keep == "best" and best is not None else None
    weighed = kept if stays == record["id"] else {record["id"]}
    for trial in weighed:
        if trial != stays and folder.read(trial) is not None:  # one without a record still trains
            shutil.rmtree(folder.run(trial).checkpoints, ignore_errors=True)
