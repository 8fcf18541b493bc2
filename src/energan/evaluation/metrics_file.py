"""A run's metrics.json: evaluations, how its energy ranks other data, how well it classifies and
finds defects, with protocols."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from energan.errors import RunError
from energan.evaluation.synthetic import KINDS
from energan.inference.run import Run
from energan.io.documents import Document, as_document, read_json
from energan.io.files import write_atomically
from energan.io.run_documents import Step
from energan.metrics.catalogue import METRICS
from energan.version import __version__

NAME, FORMAT = "metrics.json", 2
"""Of format 1 are files whose intervals were resampled by other draws; they are read alike."""
EVALUATIONS, OUTSIDE, CLASSES = "evaluations", "out_of_distribution", "classification"
DEFECTS = "defects"
"""The four lists of entries: what each entry scores stands in it as "metrics", as "sets", as
"confusion" with the rest, and as "kinds"."""
REMEDY = "evaluate again, which keeps this file as metrics.json.damaged"


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


class _Entry(Document):
    """What stands in every entry, where it stands there."""

    step: Step | None = None
    weights: str | None = None
    seed: int | None = None
    samples: int | None = None
    energan: str | None = None
    reference: dict[str, Any] | None = None
    extractor: dict[str, Any] | None = None
    data: dict[str, Any] | None = None


class _Score(Document):
    """One metric of an evaluation."""

    name: str
    value: float | None = None
    low: float | None = None
    high: float | None = None
    interval: str | None = None
    better: str | None = None
    note: str | None = None
    details: dict[str, Any] | None = None


class _Evaluation(_Entry):
    metrics: list[_Score]


class _Named(Document):
    name: str


class _Outside(_Entry):
    sets: list[_Named]
    held_out: dict[str, Any] | None = None


class _Kind(Document):
    kind: str


class _Defects(_Entry):
    kinds: list[_Kind]


class _Classes(_Entry):
    confusion: list[Any]


@dataclass(frozen=True)
class Stored:
    """The entries of a run's metrics.json, and a sentence for each that cannot be used."""

    evaluations: list[dict[str, Any]]
    outside: list[dict[str, Any]]
    classes: list[dict[str, Any]]
    faults: list[str]
    defects: list[dict[str, Any]] = field(default_factory=list)


def read(path: Path) -> Stored:
    """The metrics.json of the run at `path`; nothing is in it if there is no such file."""
    file, faults = path / NAME, list[str]()
    whole: Any = {}
    if file.exists():
        try:
            whole = read_json(file, remedy=REMEDY)
        except RunError as error:
            faults.append(str(error))
    if not isinstance(whole, dict):
        faults.append(f"{file} holds no evaluations; {REMEDY}")
        whole = {}
    evaluations = _usable(whole, EVALUATIONS, _Evaluation, file, faults)
    outside = _usable(whole, OUTSIDE, _Outside, file, faults)
    classes = _usable(whole, CLASSES, _Classes, file, faults)
    defects = _usable(whole, DEFECTS, _Defects, file, faults)
    return Stored(evaluations, outside, classes, faults, defects)


def _usable(
    whole: dict[str, Any], name: str, kind: type[_Entry], file: Path, faults: list[str]
) -> list[dict[str, Any]]:
    """The entries of one list that fit; faults takes a sentence for each other."""
    entries = whole.get(name, [])
    if not isinstance(entries, list):
        faults.append(f"{file}: {name} is not a list; {REMEDY}")
        return []
    found = []
    for number, entry in enumerate(entries):
        try:
            as_document(entry, kind, f"{file}: {name}.{number}", remedy=REMEDY)
            found.append(entry)
        except RunError as error:
            faults.append(str(error))
    return found


def write_classification(run: Run, record: dict[str, Any]) -> None:
    """Write the `record` of how well a run classifies into metrics.json, in place of the one by the
    same protocol."""
    own = _classes_protocol(record)
    rest = [e for e in read(run.path).classes if _classes_protocol(e) != own]
    _write(run, CLASSES, [*rest, record], _classes_protocol)


def write_defects(run: Run, record: dict[str, Any]) -> None:
    """Write the `record` of how well a run finds defects, in place of the one by the same
    protocol."""
    own = _defects_protocol(record)
    rest = [e for e in read(run.path).defects if _defects_protocol(e) != own]
    _write(run, DEFECTS, [*rest, record], _defects_protocol)


def write_evaluation(run: Run, record: dict[str, Any]) -> None:
    """Write the `record` of an evaluation into the run's metrics.json.

    Scores by the same protocol join their entry there, each replacing the one of its name, so the
    same evaluation twice gives the same file.
    """
    entries = read(run.path).evaluations
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
    _write(run, EVALUATIONS, [*rest, whole], lambda e: (*protocol(e), _extractor(e)))


def write_ood(run: Run, record: dict[str, Any]) -> dict[str, Any]:
    """Write the `record` of other data into metrics.json; as it stands there, with earlier sets.

    Sets by the same protocol join their entry, each replacing the one of its name.
    """
    entries = read(run.path).outside
    same = [e for e in entries if _outside_protocol(e) == _outside_protocol(record)]
    rest = [e for e in entries if all(e is not s for s in same)]
    sets = {s["name"]: s for e in [*same, record] for s in e["sets"]}
    order = {name: place for place, name in enumerate(KINDS)}  # and after them sources, by name
    names = sorted(sets, key=lambda name: (order.get(name, len(order)), name))
    whole = {**record, "sets": [sets[name] for name in names]}
    _write(run, OUTSIDE, [*rest, whole], _outside_protocol)
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
    names = (*_NAMES, *_MACHINE)
    return *(entry.get(name) for name in names), (entry.get("held_out") or {}).get("sha256")


def _classes_protocol(entry: dict[str, Any]) -> tuple[Any, ...]:
    names = ("step", "weights", "part", "energan", "weights_sha256", *_MACHINE)
    return *(entry.get(name) for name in names), (entry.get("data") or {}).get("sha256")


def _defects_protocol(entry: dict[str, Any]) -> tuple[Any, ...]:
    data = entry.get("data") or {}
    names = (*_NAMES, "resamples", *_MACHINE)
    told = data.get("sha256"), data.get("masks"), entry.get("map")
    return *(entry.get(name) for name in names), *told


def _extractor(entry: dict[str, Any]) -> Any:
    return (entry.get("extractor") or {}).get("sha256")


def _joins(entry: dict[str, Any], record: dict[str, Any]) -> bool:
    """Whether both are of one protocol; scores that need no extractor join those of any."""
    one, other = _extractor(entry), _extractor(record)
    return protocol(entry) == protocol(record) and (one == other or None in (one, other))


def _write(
    run: Run,
    name: str,
    entries: list[dict[str, Any]],
    order: Callable[[dict[str, Any]], tuple[Any, ...]],
) -> None:
    """Write the file with these entries in the list of this name; the others stay as they are."""
    file = run.path / NAME
    stored = read(run.path)
    lists = {
        EVALUATIONS: stored.evaluations, OUTSIDE: stored.outside, CLASSES: stored.classes,
        DEFECTS: stored.defects,
    }  # fmt: skip
    lists[name] = sorted(entries, key=lambda e: [str(part).zfill(12) for part in order(e)])
    if stored.faults:
        file.replace(file.with_suffix(".json.damaged"))  # nothing written is lost
    config = run.config
    about = {"hash": config["hash"], "recipe": config["recipe"], "model": config["model"]}
    about["seed"] = config["settings"]["seed"]
    # the file of a run without others has its evaluations alone
    lists = {n: those for n, those in lists.items() if those or n == EVALUATIONS}
    whole = {"format": FORMAT, "run": about, **lists}
    write_atomically(file, json.dumps(whole, indent=1, ensure_ascii=False) + "\n")
