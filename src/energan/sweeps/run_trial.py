"""`python -m energan.sweeps.run_trial SWEEP ID…`: train trials, score them, write their records.

SWEEP is the sweep's folder, whose queue has the trials; several train as one program. A trial that
was begun before goes on from its newest checkpoint. When stdin ends, since whoever started this is
gone, it is as SIGTERM: what trains is saved. Exit code: 0 if every trial has a record, 128 + signal
if one stopped it, else it failed, and may be tried again.
"""

import _thread
import os
import shutil
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import torch

from energan.core import CheckpointError, DivergenceError, RunError
from energan.core.accelerators import free_accelerator_memory
from energan.errors import (
    EnerganError,
    is_gpu_failure,
    is_out_of_memory,
    messages_for_commands,
)
from energan.evaluation.checkpoint_metric import checkpoint_metric
from energan.evaluation.classification import evaluate_classification
from energan.evaluation.evaluate import evaluate
from energan.evaluation.results import Result
from energan.experiment.resume import resume
from energan.experiment.settings import Job
from energan.experiment.start import start
from energan.inference.run import Run
from energan.io.console import outlast_readers
from energan.io.files import locked
from energan.io.run_folder import RunFolder
from energan.metrics.catalogue import scorers_of
from energan.sweeps.store import Record, SweepFolder, TrialOptions
from energan.sweeps.trials import Trial
from energan.training.checkpoint_folder import listed
from energan.training.loop import Hook
from energan.training.train_state import TrainState
from energan.version import __version__

WAIT = 0.5
"""Seconds between looks at a run that another process trains."""


class Ending(Hook):
    """What a signal does. Outside training it is as Ctrl-C. In training the loop minds the first
    one; those after it, as of a scheduler that signals all processes, must not break what it saves.
    """

    training = False

    def start(self, loop: TrainState) -> None:
        self.training = True

    def __call__(self, number: int, frame: object) -> None:
        if not self.training:
            raise KeyboardInterrupt


@messages_for_commands()
def main() -> int:
    folder, ids, ending = SweepFolder(sys.argv[1]), sys.argv[2:], Ending()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, ending)
    threading.Thread(target=_end_with_stdin, daemon=True).start()
    try:
        stopped = work(folder, ids, ending)
    except KeyboardInterrupt:
        stopped = signal.SIGINT.name
    return 0 if stopped is None else 128 + signal.Signals[stopped].value


def _end_with_stdin() -> None:
    while os.read(0, 1):
        pass
    _thread.interrupt_main(signal.SIGTERM)


def work(folder: SweepFolder, ids: Sequence[str], ending: Ending) -> str | None:
    """Train and score those of the trials that have no record; as a cohort if there are several.

    What another process has in hand, or takes meanwhile, is waited for. A trial's error is
    recorded, never raised; one of the machine (no memory, a full disk, a GPU that failed) is
    raised, since another attempt may succeed, and on a GPU that failed nothing else would. Returns
    the name of the signal that stopped it, None if nothing did.
    """
    with ExitStack() as stack:
        for trial in sorted(ids):
            stack.enter_context(locked(folder.queue / f"{trial}.lock"))
        while left := [trial for trial in ids if folder.read(trial) is None]:
            if any(folder.run(trial).locked() for trial in left):
                time.sleep(WAIT)
                continue
            found = [folder.begin(trial, socket.gethostname()) for trial in left]
            worker = _Worker(folder, found[0][1], ending)
            stopped = worker.train_and_score([Trial.of(record) for record, _ in found])
            if stopped is not None:
                return stopped
    return None


class _Worker:
    def __init__(self, folder: SweepFolder, options: TrialOptions, ending: Ending) -> None:
        self.folder, self.options, self.ending = folder, options, ending

    def train_and_score(self, trials: Sequence[Trial]) -> str | None:
        """The name of the signal that stopped it, None if nothing did.

        A trial that another process has begun to train meanwhile stays without a record.
        """
        try:
            try:
                stopped = self._train(trials)
            finally:
                self.ending.training = False
            for trial in trials if stopped is None else ():
                self._score(trial)
            return stopped
        except KeyboardInterrupt:
            return signal.SIGINT.name
        except Exception as error:
            if any(self.folder.run(trial.id).locked() for trial in trials):
                return None  # someone resumes it by hand since it was begun: no failure of its own
            if len(trials) == 1:
                self._fail(trials[0], error)
                return None
            if is_gpu_failure(error):
                raise
        # Too large together, or no cohort after all. Not before the error is left, whose traceback
        # holds what the cohort had on the device.
        free_accelerator_memory()
        return next(filter(None, (self.train_and_score([trial]) for trial in trials)), None)

    def _train(self, trials: Sequence[Trial]) -> str | None:
        """Train the trials to their end; the name of the signal that stopped it, None if none did.

        Several train as one program, if they were begun together or not at all; else in turn, as
        after a kill while they saved.
        """
        standing = {trial.id: _standing(self.folder.run(trial.id)) for trial in trials}
        left = [trial for trial in trials if standing[trial.id] != "ended"]  # killed before scoring
        begun = {standing[trial.id] for trial in left}
        paths = [self.folder.run(trial.id).path for trial in left]
        common: dict[str, Any] = {
            "checkpoint_metric": checkpoint_metric, "progress": False, "hooks": [self.ending],
        }  # fmt: skip
        with suppress(DivergenceError):  # in the events, with its reason
            if begun == {"begun"}:
                with suppress(CheckpointError, RunError):  # damaged, or without a step in common
                    return _stopped(resume(paths, threads=self.options.threads, **common))
            if len(left) > 1 and begun != {""}:
                return next(filter(None, (self._train([trial]) for trial in left)), None)
            for path in paths:
                if RunFolder(path).locked():  # someone resumes it by hand
                    raise RunError(f"{path} is being trained by another process; wait for it")
                shutil.rmtree(path, ignore_errors=True)
            if left:
                jobs = [_as_trained_here(trial.job, self.options) for trial in left]
                return _stopped(start(jobs, paths, **common))
        return None

    def _score(self, trial: Trial) -> None:
        try:
            self._keep(self._record_of(trial))
        except Exception as error:
            self._fail(trial, error)

    def _record_of(self, trial: Trial) -> Record:
        """The record of a trial that was trained to its end, or diverged; scored now.

        Raises EnerganError if it cannot be scored as asked.
        """
        run = self.folder.run(trial.id)
        events = run.read()
        last = next(e for e in reversed(events) if e["event"] in ("finished", "diverged"))
        started = next(e for e in reversed(events) if e["event"] == "start")
        members = len(started.get("cohort") or [0])
        record = {
            **_new_record(self.folder, trial, self.options),
            "steps": last["step"],
            "seconds": round(seconds_of(events) / members, 3),
            "cohort": members,
            "threads": started.get("threads"),
            "device": started.get("device"),
            "precision": started.get("precision"),
            "hash": run.read_config()["hash"],
        }
        if last["event"] == "diverged":
            return {**record, "state": "diverged", "reason": last["reason"]}
        began = time.perf_counter()
        record |= _scores(Run(run.path), self.options)
        return {**record, "scoring_seconds": round(time.perf_counter() - began, 3)}

    def _fail(self, trial: Trial, error: Exception) -> None:
        """Record an error of the trial; raise one of the machine."""
        of_the_machine = is_out_of_memory(error) or is_gpu_failure(error)
        if isinstance(error, OSError) or of_the_machine:
            raise error
        self._keep(failed(self.folder, trial, self.options, _in_words(error)))

    def _keep(self, record: Record) -> None:
        self.folder.write(record)
        self.folder.tidy(record, self.options.keep)


def _stopped(runs: Sequence[RunFolder]) -> str | None:
    """The signal by which their training ended, None if none did."""
    ends = (run.read("stopped")[-1]["reason"] for run in runs if run.state() == "stopped")
    return next(ends, None)


def _as_trained_here(job: Job, options: TrialOptions) -> Job:
    """The job with this machine's threads, and little written: the result is the same."""
    output = {
        "sample_every": job.settings.training.steps,  # one grid, of the last step
        "checkpoint_every": options.save_every,
        "keep": 2,  # members of a cohort save one after the other: the one before is common
        "tensorboard": False,
    }
    return job.resolved({"engine": {"threads": options.threads}, "output": output})


def _standing(run: RunFolder) -> Literal["ended", "begun", ""]:
    """Whether a run is at its end, or begun so that it can go on."""
    try:
        state = run.state() if run.exists() else ""
    except RunError:
        return ""  # damaged
    if state == "finished" and not listed(run.checkpoints):
        return ""  # its record is gone, and the weights that would be scored
    if state in ("finished", "diverged"):
        return "ended"
    return "begun" if state else ""


def failed(folder: SweepFolder, trial: Trial, options: TrialOptions, reason: str) -> Record:
    """The record of a trial that could not be trained or scored."""
    return {**_new_record(folder, trial, options), "state": "failed", "reason": reason}


def _new_record(folder: SweepFolder, trial: Trial, options: TrialOptions) -> Record:
    """What every record says."""
    return {
        "id": trial.id,
        "sweep": options.sweep,
        "state": "done",
        "reason": None,
        "recipe": trial.job.recipe,
        "model": trial.job.model,
        "seed": trial.job.settings.seed,
        "values": trial.values,
        "metric": options.metrics[0],
        "scores": {},
        "host": socket.gethostname(),
        "attempts": folder.attempts(trial.id),
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


def _in_words(error: Exception) -> str:
    """An error in a sentence: a user's as it is, another with its kind and where it came from."""
    if isinstance(error, EnerganError):
        return str(error)
    where = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {error} ({Path(where.filename).name}:{where.lineno})"


if __name__ == "__main__":
    outlast_readers()
    sys.exit(main())
