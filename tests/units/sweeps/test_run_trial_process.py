"""A trial's process: however it is told to end, it saves."""

import os
import signal
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from energan.sweeps import Sweep
from energan.sweeps.store import SweepFolder, TrialOptions
from energan.sweeps.trials import trials_of
from support.forks import Process, run_module

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(240),
    pytest.mark.skipif(sys.platform == "win32", reason="fork and signals of POSIX"),
]
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


@pytest.fixture
def folder(tmp_path: Path) -> SweepFolder:
    made = SweepFolder(tmp_path / "sweep")
    made.make()
    return made


@pytest.fixture
def process(folder: SweepFolder) -> Iterator[tuple[Process, int]]:
    """Of a long trial, some steps on the way; and the pipe that its parent holds."""
    (trial,) = trials_of(LONG)
    folder.enqueue(trial.record(), TrialOptions("s", ("sliced_wasserstein",), threads=1))
    words = ["energan.sweeps.run_trial", str(folder.path), trial.id]
    end, pipe = os.pipe()
    made = Process(partial(run_module, words), session=True, stdin=end)
    os.close(end)
    while not folder.run(trial.id).read("step"):
        assert made.poll() is None
        time.sleep(0.05)
    yield made, pipe
    made.kill()
    made.wait()


@pytest.mark.parametrize("signals", [0, 1, 2])
def test_whatever_tells_it_to_end_and_how_often_what_it_trains_is_saved(
    folder: SweepFolder, process: tuple[Process, int], signals: int
) -> None:
    """A scheduler signals parent and worker; then the parent ends, and the pipe with it."""
    worker, pipe = process
    for _ in range(signals):
        worker.terminate()
    os.close(pipe)
    assert worker.wait(120) == 128 + signal.SIGTERM
    (path,) = folder.trials.iterdir()
    (stopped,) = folder.run(path.name).read("stopped")
    assert stopped["step"] > 0
    assert (path / "checkpoints" / f"step-{stopped['step']:06d}").is_dir()
    assert folder.done() == set()
