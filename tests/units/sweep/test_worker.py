"""A process for trials: what it is handed, what it tells, how it ends."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from energan.sweep import Sweep
from energan.sweep.folder import SweepFolder
from energan.sweep.setup import Setup
from energan.sweep.trials import Trial, trials_of

pytestmark = pytest.mark.timeout(240)
LONG = Sweep(
    "s",
    "",
    "ebgan-digits",
    {"seed": (0,)},
    base={
        "training.steps": 100_000,
        "training.batch_size": 16,
        "model.generator": [16],
        "model.encoder": [16],
        "output.log_every": 20,
    },
)


class Worker:
    def __init__(self, folder: SweepFolder) -> None:
        self.folder = folder
        self.process = subprocess.Popen(
            [sys.executable, "-m", "energan.sweep.worker"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def give(self, *trials: Trial) -> None:
        setup = Setup("s", ("sliced_wasserstein",), samples=64, threads=1)
        order = {"folder": str(self.folder.path), "setup": setup.record(),
                 "trials": [trial.record() for trial in trials]}  # fmt: skip
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()

    def until(self, event: str, step: int = 0) -> dict[str, Any]:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            told: dict[str, Any] = json.loads(line)
            if told["event"] == event and told.get("step", 0) >= step:
                return told
        raise AssertionError(f"it ended before it told {event}")


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[Worker]:
    folder = SweepFolder(tmp_path / "sweep")
    folder.make()
    made = Worker(folder)
    yield made
    made.process.kill()
    made.process.wait()
    for pipe in (made.process.stdin, made.process.stdout):
        if pipe is not None and not pipe.closed:
            pipe.close()


@pytest.mark.parametrize("signals", [0, 1, 2])
def test_whatever_tells_it_to_end_and_how_often_what_it_trains_is_saved(
    worker: Worker, signals: int
) -> None:
    """A scheduler signals parent and worker; then the parent closes the pipe as well."""
    (trial,) = trials_of(LONG)
    worker.until("ready")
    worker.give(trial)
    worker.until("progress", step=1)
    for _ in range(signals):
        os.kill(worker.process.pid, signal.SIGTERM)
    assert worker.process.stdin is not None
    worker.process.stdin.close()
    assert worker.until("left")["why"] == "stopped"
    assert worker.process.wait(120) == 0
    run = worker.folder.run(trial.id)
    (stopped,) = run.read("stopped")
    assert stopped["step"] > 0
    assert (run.checkpoints / f"step-{stopped['step']:06d}").is_dir()
    assert worker.folder.done() == set()


def test_a_worker_without_work_ends_with_its_pipe(worker: Worker) -> None:
    worker.until("ready")
    assert worker.process.stdin is not None
    worker.process.stdin.close()
    assert worker.process.wait(60) == 0
