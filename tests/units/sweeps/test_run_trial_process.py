"""A trial's process: however it is told to end, it saves."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from energan.sweeps import Sweep
from energan.sweeps.store import SweepFolder, TrialOptions
from energan.sweeps.trials import trials_of

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]
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
def process(folder: SweepFolder) -> Iterator["subprocess.Popen[bytes]"]:
    """Of a long trial, some steps on the way."""
    (trial,) = trials_of(LONG)
    folder.enqueue(trial.record(), TrialOptions("s", ("sliced_wasserstein",), threads=1))
    words = ["-m", "energan.sweeps.run_trial", str(folder.path), trial.id]
    made = subprocess.Popen([sys.executable, *words], stdin=subprocess.PIPE)
    while not folder.run(trial.id).read("step"):
        assert made.poll() is None
        time.sleep(0.1)
    yield made
    made.kill()
    made.wait()
    if made.stdin is not None:
        made.stdin.close()


@pytest.mark.parametrize("signals", [0, 1, 2])
def test_whatever_tells_it_to_end_and_how_often_what_it_trains_is_saved(
    folder: SweepFolder, process: "subprocess.Popen[bytes]", signals: int
) -> None:
    """A scheduler signals parent and worker; then the parent ends, and the pipe with it."""
    for _ in range(signals):
        os.kill(process.pid, signal.SIGTERM)
    assert process.stdin is not None
    process.stdin.close()
    assert process.wait(120) == 128 + signal.SIGTERM
    (path,) = folder.trials.iterdir()
    (stopped,) = folder.run(path.name).read("stopped")
    assert stopped["step"] > 0
    assert (path / "checkpoints" / f"step-{stopped['step']:06d}").is_dir()
    assert folder.done() == set()
