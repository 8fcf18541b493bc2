"""Whatever of a sweep is killed, and by whatever: nothing is lost, nothing is trained twice."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from energan.io.run_folder import RunFolder
from energan.sweeps.executors.local import DEATHS
from energan.sweeps.store import SweepFolder
from support import forks

TRIALS, STEPS = 4, 250
SWEEP = {
    "recipe": "ebgan-digits",
    "metrics": ["sliced_wasserstein"],
    "base": {
        "training.steps": STEPS,
        "training.batch_size": 16,
        "model.generator": [32],
        "model.encoder": [16],
        "output.log_every": 20,
    },
    "axes": {"model.margin": [1, 2], "seed": [0, 1]},
}
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.skipif(sys.platform == "win32", reason="process groups and signals of POSIX"),
]


@pytest.fixture
def begin(tmp_path: Path, forked: None, undrawn: None) -> Iterator[Callable[..., Any]]:
    """Starts `energan sweep` on the one folder, each time as a process group of its own.

    It and its workers are forks, or with `python` Python is started, as for a user.
    """
    definition = tmp_path / "small.json"
    definition.write_text(json.dumps(SWEEP))
    words = [
        "sweep", str(definition), "--out", str(tmp_path / "sweep"), "--processes", "2",
        "--threads", "1", "--samples", "64", "--together", "apart",
    ]  # fmt: skip
    begun: list[Any] = []

    def start(*more: str, python: bool = False) -> Any:
        said = tmp_path / f"said-{len(begun)}.txt"
        start = forks.start_python if python else forks.start
        begun.append(start([*words, *more], said))
        return begun[-1]

    yield start
    for process in begun:
        for worker in workers(process.pid):
            kill(worker)
        process.kill()
        process.wait()


def workers(parent: int, trial: str = "") -> list[int]:
    """The processes for trials that a sweep's process has, or for this trial.

    A fork has the trial's id as its command, cut off.
    """
    found = subprocess.run(
        ["ps", "-ww", "-o", "pid=,comm=,args=", "--ppid", str(parent)],
        capture_output=True, text=True,
    )  # fmt: skip
    lines = [line.split(maxsplit=2) for line in found.stdout.splitlines()]
    return [
        int(process)
        for process, command, args in lines
        if (re.fullmatch("[0-9a-f]{15}", command) and (not trial or trial.startswith(command)))
        or ("sweeps.run_trial" in args and trial in args)
    ]


def kill(process: int, number: int = signal.SIGKILL) -> None:
    try:
        os.kill(process, number)
    except ProcessLookupError:
        return


def wait_until(true: Callable[[], bool], seconds: float = 240) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.02)


def training(folder: SweepFolder) -> list[RunFolder]:
    """Trials that some process trains at this moment, some steps on the way."""
    return [
        run
        for path in folder.trials.glob("*")
        if (run := RunFolder(path)).locked() and run.read("step") and not run.read("finished")
    ]


def check(folder: SweepFolder) -> None:
    """Every trial has one record, and was brought to its end once."""
    records = folder.records()
    assert len(records) == TRIALS
    assert {record["state"] for record in records} == {"done"}
    for record in records:
        events = folder.run(record["id"]).events.read_text()
        assert events.count('"finished"') == 1
        assert record["steps"] == STEPS


def said(tmp_path: Path) -> str:
    return "\n".join(path.read_text() for path in sorted(tmp_path.glob("said-*.txt")))


def test_a_trial_that_kills_its_process_is_given_up_until_asked_for_again(
    begin: Callable[..., Any], tmp_path: Path
) -> None:
    folder = SweepFolder(tmp_path / "sweep")
    process = begin()
    wait_until(lambda: bool(training(folder)))
    deadly, killed = training(folder)[0].path.name, set[int]()
    while len(killed) < DEATHS:
        for worker in workers(process.pid, deadly):
            if worker not in killed:
                killed.add(worker)
                kill(worker)
        assert deadly not in folder.done() or len(killed) == DEATHS
        time.sleep(0.02)
    assert process.wait(200) == 0, said(tmp_path)
    states = {record["id"]: record for record in folder.records()}
    assert len(states) == TRIALS
    assert [trial for trial, record in states.items() if record["state"] != "done"] == [deadly]
    assert f"died {DEATHS} times, the last time with exit code -9" in states[deadly]["reason"]
    assert begin("--retry-failed").wait(200) == 0, said(tmp_path)
    check(folder)


def test_a_killed_sweep_goes_on_with_what_is_missing(
    begin: Callable[..., Any], tmp_path: Path
) -> None:
    folder = SweepFolder(tmp_path / "sweep")
    process = begin()
    wait_until(lambda: bool(folder.done()) and bool(training(folder)))
    for one in (*workers(process.pid), process.pid):
        kill(one)
    process.wait()
    before = {
        trial: (folder.results / f"{trial}.json").stat().st_mtime_ns for trial in folder.done()
    }
    assert 0 < len(before) < TRIALS
    again = begin()
    assert again.wait(200) == 0, said(tmp_path)
    check(folder)
    for trial, written in before.items():
        assert (folder.results / f"{trial}.json").stat().st_mtime_ns == written
        assert len(folder.run(trial).read("start")) == 1


def test_workers_of_a_killed_sweep_save_and_end(begin: Callable[..., Any], tmp_path: Path) -> None:
    folder = SweepFolder(tmp_path / "sweep")
    process = begin(python=True)
    wait_until(lambda: bool(training(folder)))
    orphans = workers(process.pid)
    kill(process.pid)
    process.wait()
    wait_until(lambda: not any(Path(f"/proc/{one}/cmdline").exists() for one in orphans))
    stopped = [run for path in folder.trials.glob("*") if (run := RunFolder(path)).read("stopped")]
    assert stopped
    step = stopped[0].read("stopped")[0]["step"]
    assert begin().wait(200) == 0, said(tmp_path)
    check(folder)
    assert stopped[0].read("resume")[0]["step"] == step  # it went on where it had saved


def test_a_signal_stops_it_so_that_it_can_go_on(begin: Callable[..., Any], tmp_path: Path) -> None:
    number = signal.SIGTERM
    folder = SweepFolder(tmp_path / "sweep")
    process = begin()
    wait_until(lambda: bool(training(folder)))
    kill(process.pid, number)
    assert process.wait(60) == 128 + number
    assert re.search(r"continue with: energan sweep .*--out", said(tmp_path))
    assert not workers(process.pid)
    assert begin().wait(200) == 0, said(tmp_path)
    check(folder)


def test_a_second_one_on_the_folder_says_so_and_the_first_outlives_a_kill(
    begin: Callable[..., Any], tmp_path: Path
) -> None:
    folder = SweepFolder(tmp_path / "sweep")
    first = begin()
    wait_until(lambda: bool(workers(first.pid)) and bool(training(folder)))
    second = begin()
    assert second.wait(100) == 2
    assert "another `energan sweep` is working on" in said(tmp_path)
    for worker in workers(first.pid)[:1]:
        kill(worker)
    assert first.wait(200) == 0, said(tmp_path)
    check(folder)


def test_shards_at_once_share_the_work(begin: Callable[..., Any], tmp_path: Path) -> None:
    """One of them is killed while it trains; a run without --shard does what it leaves."""
    folder = SweepFolder(tmp_path / "sweep")
    first, second = begin("--shard", "1/2"), begin("--shard", "2/2")
    wait_until(lambda: bool(workers(first.pid)) and bool(workers(second.pid)))
    wait_until(lambda: len(training(folder)) > 1)
    for one in (*workers(second.pid), second.pid):
        kill(one)
    assert first.wait(200) == 0, said(tmp_path)
    assert len(folder.done()) == TRIALS // 2
    before = {trial: (folder.results / f"{trial}.json").read_bytes() for trial in folder.done()}
    assert begin().wait(200) == 0, said(tmp_path)
    check(folder)
    for trial, record in before.items():
        assert (folder.results / f"{trial}.json").read_bytes() == record
