"""A run's metrics.json: evaluations, how its energy ranks other data, and how well it classifies,
with protocols."""

import json
from pathlib import Path
from typing import Any

import torch

from energan.evaluation.synthetic import KINDS
from energan.inference.run import Run
from energan.io.files import write_atomically
from energan.metrics.catalogue import METRICS
from energan.version import __version__

NAME, FORMAT = "metrics.json", 1
EVALUATIONS, OUTSIDE, CLASSES = "evaluations", "out_of_distribution", "classification"
"""The three lists of entries: what each entry scores stands in it as "metrics", as "sets", and as
"confusion" with the rest."""


def about_run(run: Run, seed: int, samples: int, resamples: int | None = None) -> dict[str, Any]:
    """What every entry tells of the run and of how it was scored."""
    record = {
        "step": run.step,
        "weights": run.weights,
        "weights_sha256": run.network.sha256,
        "seed": seed,
        "resamples": resamples,
        "device": str(run.engine.device),
        "samples": samples,
        "energan": __version__,
        "torch": str(torch.__version__),
        "threads": torch.get_num_threads(),
    }
    return {name: value for name, value in record.items() if value is not None}


def kept(path: Path) -> list[dict[str, Any]]:
    """The evaluations in a run's metrics.json; none if there is no such file, or it is damaged."""
    return _entries(path, EVALUATIONS, "metrics")


def kept_outside(path: Path) -> list[dict[str, Any]]:
    """The same of its entries on other data."""
    return _entries(path, OUTSIDE, "sets")


def kept_classes(path: Path) -> list[dict[str, Any]]:
    """The same of its entries on classes, the newest step last."""
    return _entries(path, CLASSES, "confusion")


def keep_classes(run: Run, record: dict[str, Any]) -> None:
    """Write the `record` of how well a run classifies into metrics.json, in place of the one by the
    same protocol."""

    def protocol(entry: dict[str, Any]) -> tuple[Any, ...]:
        data = entry.get("data") or {}
        names = ("step", "weights", "part", "energan", "weights_sha256", *_MACHINE)
        return *(entry.get(name) for name in names), data.get("sha256")

    rest = [e for e in kept_classes(run.path) if protocol(e) != protocol(record)]
    ordered = sorted([*rest, record], key=lambda e: [str(v).zfill(12) for v in protocol(e)])
    _write(run, classes=ordered)


def keep(run: Run, record: dict[str, Any]) -> None:
    """Write the `record` of an evaluation into the run's metrics.json.

    Scores by the same protocol join their entry there, each replacing the one of its name, so the
    same evaluation twice gives the same file.
    """
    entries = kept(run.path)
    same = [e for e in entries if _joins(e, record)]
    if _extractor(record) is None:
        same = same[:1]  # of several extractors the first
    rest = [e for e in entries if all(e is not s for s in same)]
    fresh = {m["name"] for m in record["metrics"]}
    old = [m for e in same for m in e["metrics"] if m.get("name") not in fresh]
    order = {name: place for place, name in enumerate(METRICS)}
    metrics = sorted(old + record["metrics"], key=lambda m: order.get(m["name"], len(order)))
    complete = record["complete"] or any(e.get("complete") for e in same)
    whole = {**record, "complete": complete, "metrics": metrics}
    if record["extractor"] is None and same:
        whole |= {name: same[0].get(name) for name in ("extractor", "asked")}
    _write(run, evaluations=sorted([*rest, whole], key=_place))


def keep_outside(run: Run, record: dict[str, Any]) -> dict[str, Any]:
    """Write the `record` of other data into metrics.json; as it stands there, with earlier sets.

    Sets by the same protocol join their entry, each replacing the one of its name.
    """
    entries = kept_outside(run.path)
    same = [e for e in entries if _outside_protocol(e) == _outside_protocol(record)]
    rest = [e for e in entries if all(e is not s for s in same)]
    sets = {s["name"]: s for e in [*same, record] for s in e["sets"]}
    order = {name: place for place, name in enumerate(KINDS)}  # and after them sources, by name
    names = sorted(sets, key=lambda name: (order.get(name, len(order)), name))
    whole = {**record, "sets": [sets[name] for name in names]}
    ordered = sorted([*rest, whole], key=lambda e: [str(v).zfill(12) for v in _outside_protocol(e)])
    _write(run, outside=ordered)
    return whole


_NAMES = ("step", "weights", "seed", "samples", "energan", "weights_sha256")
_MACHINE = ("torch", "threads", "device")


def protocol(entry: dict[str, Any]) -> tuple[Any, ...]:
    """What must be equal for scores to stand in one entry, beside the extractor."""
    reference = entry.get("reference") or {}
    return (
        *(entry.get(name) for name in (*_NAMES, "resamples", *_MACHINE)),
        reference.get("sha256"),
        reference.get("training_sha256"),
    )


def _outside_protocol(entry: dict[str, Any]) -> tuple[Any, ...]:
    held_out = entry.get("held_out") or {}
    return *(entry.get(name) for name in (*_NAMES, *_MACHINE)), held_out.get("sha256")


def _extractor(entry: dict[str, Any]) -> Any:
    return (entry.get("extractor") or {}).get("sha256")


def _joins(entry: dict[str, Any], record: dict[str, Any]) -> bool:
    """Whether both are of one protocol; scores that need no extractor join those of any."""
    one, other = _extractor(entry), _extractor(record)
    return protocol(entry) == protocol(record) and (one == other or None in (one, other))


def _place(entry: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(str(part).zfill(12) for part in (*protocol(entry), _extractor(entry)))


def _entries(path: Path, name: str, scores: str) -> list[dict[str, Any]]:
    try:
        stored = json.loads((path / NAME).read_text(encoding="utf8"))
        return [e for e in stored.get(name, []) if isinstance(e.get(scores), list)]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return []


def _write(
    run: Run,
    *,
    evaluations: list[dict[str, Any]] | None = None,
    outside: list[dict[str, Any]] | None = None,
    classes: list[dict[str, Any]] | None = None,
) -> None:
    """Write the file with these lists; those that are not given stay as they are."""
    file = run.path / NAME
    there = {EVALUATIONS: kept(run.path), OUTSIDE: kept_outside(run.path)}
    there[CLASSES] = kept_classes(run.path)
    if file.exists() and not any(there.values()):
        file.replace(file.with_suffix(".json.damaged"))  # nothing written is lost
    config = run.config
    about = {"hash": config["hash"], "recipe": config["recipe"], "model": config["model"]}
    about["seed"] = config["settings"]["seed"]
    given = {EVALUATIONS: evaluations, OUTSIDE: outside, CLASSES: classes}
    lists = there | {name: entries for name, entries in given.items() if entries is not None}
    # the file of a run without others has its evaluations alone
    lists = {n: entries for n, entries in lists.items() if entries or n == EVALUATIONS}
    whole = {"format": FORMAT, "run": about, **lists}
    write_atomically(file, json.dumps(whole, indent=1, ensure_ascii=False) + "\n")
