"""What lies in one run's folder, read for a page; why something is not there becomes a note."""

import shlex
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from energan.core import Domain, EnerganError, Model, describe
from energan.core.schedules import parse
from energan.data import DataSet, open_data
from energan.evaluation import metrics_file
from energan.experiment.run_records import networks_of
from energan.inference.run import Run
from energan.io.run_folder import RunFolder
from energan.io.text import is_number, plural

TROUBLE = (EnerganError, OSError, RuntimeError, ValueError, LookupError, TypeError)
"""Errors that a damaged folder may raise; the page reports them."""
Made = TypeVar("Made")
Points = list[tuple[float, float]]


@dataclass
class RunContents:
    """One run, as far as it can be read.

    label: how the page calls it, unlike those of the other runs. model: its networks as built, for
    what the objective is. run, data: None if they cannot be opened, or are not wanted.
    notes: {what: a sentence that says why it is not there}.
    """

    folder: RunFolder
    label: str
    config: dict[str, Any]
    events: list[dict[str, Any]]
    model: Model | None = None
    run: Run | None = None
    data: DataSet | None = None
    notes: dict[str, str] = field(default_factory=dict)

    @property
    def domain(self) -> Domain | None:
        return None if self.run is None else self.run.domain

    @cached_property
    def scores(self) -> metrics_file.Stored:
        return metrics_file.read(self.folder.path)

    @property
    def has_scores(self) -> bool:
        """Whether it has scores of its samples, of its classes, or of defects."""
        return bool(self.scores.evaluations or self.scores.classes or self.scores.defects)

    @property
    def shell_path(self) -> str:
        """Its path as a command takes it."""
        return shlex.quote(str(self.folder.path))

    @property
    def last_step(self) -> int:
        return max((int(e["step"]) for e in self.events), default=0)

    def of(self, event: str) -> list[dict[str, Any]]:
        return [e for e in self.events if e["event"] == event]

    def line(self, event: str, name: str) -> Points:
        """(step, value) of a figure in events of one kind, where it is a finite number."""
        return [(e["step"], e[name]) for e in self.of(event) if is_number(e.get(name))]

    def names(self, event: str) -> list[str]:
        """The figures that events of one kind hold, in the order of their first mention."""
        found = {n: None for e in self.of(event) for n in e if is_number(e[n])}
        return [n for n in found if n not in ("step", "time", "seed")]

    def schedule(self, name: str) -> Callable[[int], float] | None:
        """A value that the objective reads at each step (the margin); None if it reads none."""
        if self.model is None or name not in self.model.hyper:
            return None
        return parse(self.model.hyper[name])

    def attempt(self, what: str, make: Callable[[], Made]) -> Made | None:
        """What `make` makes; None, and a sentence in `notes`, if that fails."""
        try:
            return make()
        except TROUBLE as error:
            told = str(error) if isinstance(error, EnerganError) else describe(error)
            self.notes[what] = told or type(error).__name__
            return None


def read_runs(paths: Iterable[str | Path], use_data: bool = True) -> list[RunContents]:
    """The contents of each run. Raises RunError for a path that holds no run."""
    folders = [RunFolder(path) for path in paths]
    configs = [folder.read_config() for folder in folders]
    labels = _labels([folder.path for folder in folders])
    found = []
    for folder, config, label in zip(folders, configs, labels, strict=True):
        contents = RunContents(folder, label, config, [])
        _read(contents)
        _open(contents, use_data)
        found.append(contents)
    return found


def _read(contents: RunContents) -> None:
    folder = contents.folder
    faults: list[str] = []
    contents.events = contents.attempt("events", lambda: folder.read(faults=faults)) or []
    if not folder.events.exists():
        contents.notes["events"] = "there is no events.jsonl, so there are no curves"
    elif faults:
        contents.notes["events"] = (
            f"{plural(len(faults), 'line')} of events.jsonl cannot be read; the page leaves them "
            "out"
        )
    if contents.scores.faults:
        contents.notes["scores"] = "; ".join(contents.scores.faults[:3])


def _open(contents: RunContents, use_data: bool) -> None:
    folder = contents.folder
    networks = contents.attempt("model", lambda: networks_of(folder))
    if networks is None:
        return
    job, _, contents.model = networks
    contents.run = contents.attempt("checkpoint", lambda: Run(folder.path))
    if contents.run is not None and contents.run.warnings:
        reasons = "; ".join(contents.run.warnings)
        contents.notes["checkpoint"] = f"{reasons}; step {contents.run.step} is used instead"
    if not use_data:
        contents.notes["data"] = "not opened (--no-data); comparisons with it are left out"
        return
    contents.data = contents.attempt("data", lambda: _data(contents, job.settings.data))
    if contents.data is None:
        contents.notes["data"] += "; comparisons with the data are left out"


def _data(contents: RunContents, settings: Any) -> DataSet | None:
    found: Any = open_data(settings)
    if not isinstance(found, DataSet):
        contents.notes["data"] = "the data is streamed, so neighbours cannot be searched"
        return None
    if contents.domain is not None and found.domain.shape != contents.domain.shape:
        contents.notes["data"] = (
            f"the data has examples of shape {found.domain.shape} now, the model takes "
            f"{contents.domain.shape}"
        )
        return None
    trained_on = contents.config["resolved"]["data"].get("fingerprint")
    if trained_on is not None and found.fingerprint != trained_on:
        contents.notes["data"] = "the data has changed since the run was trained on it"
    return found


def _labels(paths: list[Path]) -> list[str]:
    """Folder names, with as many parents before them as it takes to tell them apart."""
    parts = [path.absolute().parts for path in paths]
    for depth in range(1, max(map(len, parts), default=1) + 1):
        labels = ["/".join(part[-depth:]) for part in parts]
        if len(set(labels)) == len(set(parts)):
            return labels
    return [str(path) for path in paths]
