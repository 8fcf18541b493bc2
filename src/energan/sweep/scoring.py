"""A trial's scores, and the record that is kept of it."""

import socket
import time
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch

from energan.evaluation.classification import evaluate_classification
from energan.evaluation.evaluate import evaluate
from energan.evaluation.results import Result
from energan.inference.run import Run
from energan.io.run_folder import RunFolder
from energan.metrics.catalogue import scorers_of
from energan.sweep.store import Record, TrialOptions
from energan.sweep.trials import Trial
from energan.version import __version__

ENDS = ("finished", "stopped", "diverged")


def record_of(trial: Trial, run: RunFolder, options: TrialOptions, attempts: int) -> Record:
    """The record of a trial that was trained to its end, or diverged; scored now.

    Raises EnerganError if it cannot be scored as asked.
    """
    events = run.read()
    last = next(e for e in reversed(events) if e["event"] in ENDS)
    start = next(e for e in reversed(events) if e["event"] == "start")
    members = len(start.get("cohort") or [0])
    record = {
        **about(trial, options, attempts),
        "steps": last["step"],
        "seconds": round(seconds_of(events) / members, 3),
        "cohort": members,
        "threads": start.get("threads"),
        "device": start.get("device"),
        "precision": start.get("precision"),
        "hash": run.read_config()["hash"],
    }
    if last["event"] == "diverged":
        return {**record, "state": "diverged", "reason": last["reason"]}
    began = time.perf_counter()
    record |= _scores(Run(run.path), options)
    return {**record, "scoring_seconds": round(time.perf_counter() - began, 3)}


def failed(trial: Trial, options: TrialOptions, attempts: int, reason: str) -> Record:
    """The record of a trial that could not be trained or scored."""
    return {**about(trial, options, attempts), "state": "failed", "reason": reason}


def about(trial: Trial, options: TrialOptions, attempts: int) -> Record:
    """What every record says."""
    job = trial.job
    return {
        "id": trial.id,
        "sweep": options.sweep,
        "state": "done",
        "reason": None,
        "recipe": job.recipe,
        "model": job.model,
        "seed": job.settings.seed,
        "values": trial.values,
        "metric": options.metrics[0],
        "scores": {},
        "host": socket.gethostname(),
        "attempts": attempts,
        "energan": __version__,
        "torch": str(torch.__version__),
        "finished": round(time.time(), 1),
    }


def seconds_of(events: Sequence[dict[str, Any]]) -> float:
    """How long a run was trained, without the time that it lay still."""
    total = 0.0
    for before, event in pairwise(events):
        if event["event"] not in ("resume", "start"):
            total += event["time"] - before["time"]
    return total


def _scores(run: Run, options: TrialOptions) -> dict[str, Any]:
    """The wanted scores by name, and what they depend on."""
    results: list[Result] = []
    found: dict[str, Any] = {"weights": run.weights, "samples": None, "extractor": None}
    of_samples = [name for name in options.metrics if name not in scorers_of("classes")]
    if len(of_samples) < len(options.metrics):
        results += evaluate_classification(run).results
    if of_samples:
        made = evaluate(run, metrics=of_samples, samples=options.samples)
        results += made.results
        found |= {"samples": made.record["samples"], "extractor": made.record["extractor"]}
    found["scores"] = {
        r.name: {k: v for k, v in r.record().items() if k in ("value", "low", "high", "better")}
        for r in results
    }
    return found
