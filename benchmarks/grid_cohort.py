"""Trials of one shape of a grid as one program, against the same trials one after the other.

    python benchmarks/grid_cohort.py [CASE ...] [--members 2 8 24] [--steps K] [--rounds R]
        [--data SOURCE] [--threads 1] [--device cpu] [--out FILE]

One process. The cohort and its members' single runs take turns, round after round, so that a
machine whose speed drifts does not decide it; a ratio is that of one round: the time of all single
runs by that of the cohort. Only training steps are timed. Run it with nothing else running.
"""

import argparse
import json
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from energan.data import DataSet, open_data
from energan.experiment.build import cohort_of
from energan.experiment.settings import Job
from energan.sweeps import SWEEPS
from energan.training.device import choose
from energan.training.loop import Loop

WARM = 3
CASES: dict[str, tuple[str, dict[str, int]]] = {
    "gan-narrow": ("gan-grid", {"nLayerG": 3, "nLayerD": 3, "sizeG": 400, "sizeD": 128}),
    "gan-wide": ("gan-grid", {"nLayerG": 4, "nLayerD": 3, "sizeG": 1600, "sizeD": 512}),
    "ebgan-narrow": ("ebgan-grid", {"nLayerG": 3, "nLayerD": 3, "sizeG": 400, "sizeD": 128}),
}
"""name -> grid, and the shape whose trials are taken."""


def jobs_of(case: str, members: int, changes: dict[str, Any]) -> list[Job]:
    """So many trials of the shape; where it has fewer, the same again with other seeds."""
    grid, shape = CASES[case]
    sweep = SWEEPS[grid]
    trials = [
        sweep.job(values).changed(changes)
        for values in sweep.values()
        if all(values[axis] == value for axis, value in shape.items())
    ]
    spread = [trials[i * len(trials) // members] for i in range(min(members, len(trials)))]
    return [spread[i % len(spread)].changed({"seed": i // len(spread)}) for i in range(members)]


def loop_of(jobs: Sequence[Job], data: DataSet) -> Loop:
    engine = choose(jobs[0].settings.engine)
    return cohort_of(jobs, data, engine).loop


def timed(loop: Loop, steps: int) -> float:
    """Seconds of so many steps."""
    begun = time.perf_counter()
    for _ in range(steps):
        loop.advance()
    loop.flush_figures()
    return time.perf_counter() - begun


def compare(
    case: str, members: int, steps: int, rounds: int, changes: dict[str, Any]
) -> dict[str, Any]:
    """Seconds of each way for all members, by round."""
    jobs = jobs_of(case, members, changes)
    data = open_data(jobs[0].settings.data)
    cohort = loop_of(jobs, data)
    singles = [loop_of([job], data) for job in jobs]
    for loop in (cohort, *singles):
        timed(loop, WARM)
    seconds: dict[str, list[float]] = {"cohort": [], "turns": []}
    for _ in range(rounds):
        seconds["cohort"].append(timed(cohort, steps))
        seconds["turns"].append(sum(timed(loop, steps) for loop in singles))
    engine = choose(jobs[0].settings.engine)
    return {
        "case": case, "members": members, "steps": steps, **engine.describe(),
        "torch": torch.__version__, "seconds": seconds,
    }  # fmt: skip


def show(found: dict[str, Any]) -> None:
    seconds, members = found["seconds"], found["members"]
    ratios = [t / c for t, c in zip(seconds["turns"], seconds["cohort"], strict=True)]
    rate = {w: members * found["steps"] / statistics.median(s) for w, s in seconds.items()}
    print(
        f"{found['case']:13} {members:3} members, {found['device']}, {found['threads']} threads, "
        f"{found['precision']}: cohort {rate['cohort']:8.1f}, single runs {rate['turns']:8.1f} "
        f"steps/s of all; cohort over single runs {min(ratios):.2f}-{statistics.median(ratios):.2f}"
        f"-{max(ratios):.2f}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="trials of a shape: as one program, and in turn")
    parser.add_argument("cases", nargs="*", default=list(CASES), help=", ".join(CASES))
    parser.add_argument("--members", type=int, nargs="+", default=[2, 8, 24])
    parser.add_argument("--steps", type=int, default=20, help="steps in a round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--data", help="instead of the grid's own")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--precision", default="auto", help="auto, bf16, 32 or 64")
    parser.add_argument("--out", type=Path, help="write the figures as JSON too")
    asked = parser.parse_args()
    engine = {"threads": asked.threads, "device": asked.device, "precision": asked.precision}
    changes: dict[str, Any] = {"engine": engine}
    if asked.data:
        changes["data"] = {"source": asked.data}
    found = []
    for case in asked.cases:
        for members in asked.members:
            found.append(compare(case, members, asked.steps, asked.rounds, changes))
            show(found[-1])
    if asked.out:
        asked.out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
