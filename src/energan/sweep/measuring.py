"""A few steps of a few trials, timed where they would run.

As many processes as will train side by side time the same trial at once, each with its share of the
threads: they share the machine's memory bandwidth, so one alone would be faster than it will be.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any

from energan.core import EnerganError
from energan.data import DataSet, open_data
from energan.experiment.build import build, loop_of
from energan.experiment.margin import wants_estimate
from energan.experiment.settings import Job, load
from energan.training.device import choose
from energan.training.loop import Loop

Timer = Callable[[Sequence[Job], float], float]
"""(jobs as one program, seconds it may take) -> seconds of a step. Raises EnerganError if these
jobs cannot train, or not together."""
WARM = 2
MOST_STEPS = 200


class Unmeasured(EnerganError):
    """Trials that could not be timed."""


class Bench:
    """Processes that time steps together. Use it as a context manager."""

    def __init__(self, processes: int, threads: int) -> None:
        self.processes, self.threads = processes, threads
        self._running: list[subprocess.Popen[str]] = []

    def __enter__(self) -> "Bench":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for process in self._running:
            process.kill()
            process.communicate()

    def __call__(self, jobs: Sequence[Job], seconds: float) -> float:
        """A Timer. It takes longer than asked if the networks or a single step do."""
        if not self._running:
            self._running = [self._begun() for _ in range(self.processes)]
        begun = time.monotonic()
        warm = self._ask({"jobs": [written(job) for job in jobs], "threads": self.threads})
        left = seconds - (time.monotonic() - begun)
        steps = int(min(MOST_STEPS, max(1.0, left / max(warm, 1e-6))))
        return self._ask({"steps": steps})

    def _ask(self, what: dict[str, Any]) -> float:
        """The mean of what all say to it. Raises Unmeasured if one of them cannot."""
        line = json.dumps(what) + "\n"
        try:
            for process in self._running:
                assert process.stdin is not None
                process.stdin.write(line)
                process.stdin.flush()
            told = [json.loads(process.stdout.readline()) for process in self._running]  # type: ignore[union-attr]
        except (OSError, ValueError):
            self.__exit__(None, None, None)
            self._running = []
            raise Unmeasured("the measuring process ended, perhaps for lack of memory") from None
        for answer in told:
            if "error" in answer:
                raise Unmeasured(answer["error"])
        return float(sum(answer["seconds"] for answer in told) / len(told))

    def _begun(self) -> "subprocess.Popen[str]":
        # A group of its own: Ctrl-C reaches the planner alone, which ends it.
        return subprocess.Popen(
            [sys.executable, "-m", "energan.sweep.measuring"],
            env={**os.environ, "OMP_NUM_THREADS": str(self.threads)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            process_group=0,
        )


def written(job: Job) -> dict[str, Any]:
    """A job as JSON has it."""
    return {"model": job.model, "settings": job.settings.model_dump(mode="json")}


def read(job: dict[str, Any]) -> Job:
    """What `written` gave."""
    return load(None, job["model"]).changed(job["settings"])


class Stand:
    """What a process that measures does."""

    def __init__(self) -> None:
        self.data: dict[str, DataSet] = {}
        self.loop: Loop | None = None

    def answer(self, asked: dict[str, Any]) -> dict[str, Any]:
        """{"jobs", "threads"}: build, warm up; {"steps"}: time so many. -> {"seconds"} of a step,
        or {"error"}."""
        try:
            if "steps" in asked:
                return {"seconds": self.steps(asked["steps"])}
            self.loop = None  # its memory first
            self.loop = self.built([read(job) for job in asked["jobs"]], asked["threads"])
            self.steps(WARM - 1)
            return {"seconds": self.steps(1)}
        except Exception as error:  # whatever stops the trial, it is the planner that says so
            self.loop = None
            return {"error": str(error).split("\n")[0] or type(error).__name__}

    def built(self, jobs: Sequence[Job], threads: int) -> Loop:
        engine = choose(jobs[0].settings.engine.model_copy(update={"threads": threads}))
        # a margin that is still to be estimated changes no step's time
        fixed = [
            job.resolved({"model": {"margin": 1.0}}) if wants_estimate(job) else job for job in jobs
        ]
        settings = fixed[0].settings.data
        key = settings.model_dump_json()
        if key not in self.data:
            self.data = {key: open_data(settings)}
        data = self.data[key].to(engine.device)
        seeds = [job.settings.seed for job in fixed]
        built = [build(job, data.domain, seed) for job, seed in zip(fixed, seeds, strict=True)]
        return loop_of(built, fixed[0].settings.training, data, engine, seeds)

    def steps(self, count: int) -> float:
        """Seconds of a step."""
        assert self.loop is not None
        begun = time.perf_counter()
        for _ in range(count):
            self.loop.advance()
        self.loop.flush_figures()  # waits for the device
        return (time.perf_counter() - begun) / count


def main() -> None:
    """Answer lines of JSON until there are none."""
    stand = Stand()
    for line in sys.stdin:
        print(json.dumps(stand.answer(json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
