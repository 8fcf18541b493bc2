"""Several seeds: as one cohort, in turn with all threads, or in processes that share the threads.

    python benchmarks/cohort.py [CASE ...] [--seeds N] [--steps K] [--threads T] [--rounds R]

The three take turns, round after round, so that a machine whose speed drifts does not decide it; a
ratio is that of one round, and the median is told. Only training steps are timed: processes start
together once each has built its networks and done some steps. Run it with nothing else running.
"""

import argparse
import json
import multiprocessing
import os
import statistics
import time
from pathlib import Path
from typing import Any

import torch

from energan.data import open_data
from energan.experiment.build import cohort_of
from energan.experiment.compatibility import jobs_of
from energan.experiment.settings import Job, load
from energan.training.device import choose
from energan.training.loop import Loop

WARM = 3
LEARNS = {"data": {"source": "mnist", "range": "unit", "labelled": 100}}
CASES: dict[str, tuple[str | None, str | None, dict[str, Any]]] = {
    "ring": ("ebgan-ring", None, {}),
    "digits": ("ebgan-digits", None, {}),
    "ladder": (None, "ladder", LEARNS),
    "ebgan-ln": (None, "ebgan_ln", LEARNS),
}
"""name -> recipe, model, changes."""


def job_of(case: str, threads: int, device: str) -> Job:
    recipe, model, changes = CASES[case]
    engine = {"threads": threads, "device": device}
    return load(recipe, model).changed({**changes, "engine": engine})


def loop_of(job: Job, seeds: int) -> Loop:
    engine = choose(job.settings.engine)
    return cohort_of(jobs_of(job, seeds), open_data(job.settings.data), engine).loop


def timed(loop: Loop, steps: int) -> float:
    """Seconds of so many steps."""
    begun = time.perf_counter()
    for _ in range(steps):
        loop.advance()
    loop.flush_figures()
    return time.perf_counter() - begun


def work(case: str, seed: int, threads: int, device: str, steps: int, barrier: Any) -> None:
    """One seed's process: `steps` between each two barriers, until it is ended."""
    loop = loop_of(job_of(case, threads, device).changed({"seed": seed}), 1)
    timed(loop, WARM)
    while True:
        barrier.wait()
        timed(loop, steps)
        barrier.wait()


def compare(case: str, seeds: int, steps: int, threads: int, rounds: int, device: str) -> Any:
    """Seconds of each way for all seeds, by round."""
    at_once = min(threads, seeds)
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(at_once + 1, timeout=900)
    shares = threads // at_once
    os.environ["OMP_NUM_THREADS"] = str(shares)
    processes = [
        context.Process(target=work, args=(case, s, shares, device, steps, barrier), daemon=True)
        for s in range(at_once)
    ]
    for process in processes:
        process.start()
    os.environ["OMP_NUM_THREADS"] = str(threads)
    job = job_of(case, threads, device)
    cohort, single = loop_of(job, seeds), loop_of(job, 1)
    torch.set_num_threads(threads)
    for loop in (cohort, single):
        timed(loop, WARM)
    seconds: dict[str, list[float]] = {"cohort": [], "turns": [], "processes": []}
    for _ in range(rounds):
        seconds["cohort"].append(timed(cohort, steps))
        seconds["turns"].append(seeds * timed(single, steps))
        barrier.wait()
        begun = time.perf_counter()
        barrier.wait()
        # the last of them may find cores idle: 5 seeds on 2 cores go in 3 waves
        waves = -(-seeds // at_once)
        seconds["processes"].append(waves * (time.perf_counter() - begun))
    for process in processes:
        process.terminate()
        process.join()
    engine = choose(job.settings.engine)
    return {
        "case": case, "seeds": seeds, "steps": steps, **engine.describe(), "at_once": at_once,
        "threads_each": shares, "torch": torch.__version__, "seconds": seconds,
    }  # fmt: skip


def show(found: Any) -> None:
    seconds, seeds = found["seconds"], found["seeds"]
    print(
        f"{found['case']}: {seeds} seeds, {found['steps']} steps, {found['device']}, "
        f"{found['threads']} threads, {found['precision']}; {found['at_once']} processes at once "
        f"of {found['threads_each']} threads"
    )
    for way, values in seconds.items():
        rate = [seeds * found["steps"] / s for s in values]
        ratio = [t / s for t, s in zip(seconds["turns"], values, strict=True)]
        print(
            f"  {way:9} {statistics.median(rate):8.1f} steps/s of all seeds   times turns "
            f"{statistics.median(ratio):.2f}  ({min(ratio):.2f} to {max(ratio):.2f})"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description="seeds as a cohort, in turn, and side by side")
    parser.add_argument("cases", nargs="*", default=list(CASES), help=", ".join(CASES))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=40, help="steps in a round")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--out", type=Path, help="write the figures as JSON too")
    asked = parser.parse_args()
    found = []
    for case in asked.cases:
        each = (case, asked.seeds, asked.steps, asked.threads, asked.rounds, asked.device)
        found.append(compare(*each))
        show(found[-1])
    if asked.out:
        asked.out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
