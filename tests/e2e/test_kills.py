"""Stopped at random moments, by SIGTERM or SIGKILL, a run ends as if it had never been stopped."""

import random
import signal
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from energan.cli import main as cli
from energan.io.run_folder import RunFolder
from energan.training import checkpoint_folder
from support.forks import Process
from support.helpers import weight_files

STEPS, EVERY = 750, 25
WORDS = [
    "train", "ebgan-digits", "--steps", str(STEPS), "--model.generator", "32", "32",
    "--model.encoder", "32", "16", "--model.pull-away", "0.1", "--model.dropout", "0.1",
    "--training.batch-size", "16", "--output.log-every", "25", "--output.sample-every", "0",
    "--output.checkpoint-every", str(EVERY), "--threads", "1", "--output.no-tensorboard",
]  # fmt: skip


def started(run: Path, since: int) -> bool:
    """Whether the child has written its start event."""
    events = run / "events.jsonl"
    return events.exists() and events.read_text().count('"start"') > since


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="fork and signals of POSIX")
@pytest.mark.usefixtures("undrawn")
def test_twenty_kills_lose_nothing_but_the_steps_since_the_last_checkpoint(tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    begun = time.perf_counter()
    assert Process(lambda: cli.main([*WORDS, "--out", str(whole)])).wait(280) == 0
    once = time.perf_counter() - begun
    chance = random.Random(0)
    kills, starts, terms = 0, 0, 0
    while kills < 20:
        words = ["resume", str(killed)] if killed.exists() else [*WORDS, "--out", str(killed)]
        child = Process(partial(cli.main, words))
        while not started(killed, starts):
            time.sleep(0.005)
        starts += 1
        time.sleep(chance.uniform(0, once / 25))
        number = chance.choice([signal.SIGTERM, signal.SIGKILL])
        child.send_signal(number)
        code = child.wait(280)
        if code == 0:
            break  # it had ended before the signal came: as good
        kills += 1
        assert code in (
            (128 + signal.SIGTERM) if number == signal.SIGTERM else -signal.SIGKILL,
        ) or (
            number == signal.SIGTERM and code == -signal.SIGTERM  # before the handler was set
        )
        stopped = RunFolder(killed).read("stopped")
        if code == 128 + signal.SIGTERM:
            terms += 1
            path, refused = checkpoint_folder.newest_good(killed / "checkpoints")
            assert not refused
            assert path.name == checkpoint_folder.checkpoint_name(stopped[-1]["step"])
    assert kills >= 10
    assert terms >= 3
    if RunFolder(killed).state() != "finished":
        assert Process(lambda: cli.main(["resume", str(killed)])).wait(280) == 0
    assert weight_files(killed, STEPS) == weight_files(whole, STEPS)
    logged = [e["step"] for e in RunFolder(killed).read("step")]
    assert logged == sorted(set(logged))  # what was undone is not told twice
    assert {e["step"]: e["loss_energy"] for e in RunFolder(whole).read("step")}[STEPS] == (
        RunFolder(killed).read("step")[-1]["loss_energy"]
    )


def test_two_processes_cannot_train_one_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = RunFolder(tmp_path / "r")
    words = [*WORDS, "--steps", "20", "--out", str(folder.path)]
    assert Process(lambda: cli.main(words)).wait(280) == 0
    with folder.lock():
        assert folder.state() == "running"
        assert cli.main(["resume", str(folder.path), "--steps", "30"]) == 2
    assert "another process" in capsys.readouterr().err
