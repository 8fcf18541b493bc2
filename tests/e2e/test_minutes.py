"""`energan train --minutes`: as many steps as fit, and the same run again by --scale."""

import json
from pathlib import Path
from typing import Any

import pytest

import energan
from energan.cli import seeds
from energan.experiment import time_budget
from energan.experiment.time_budget import RunTimes
from energan.io.run_folder import RunFolder
from support.commands import SMALL, refused, run
from support.helpers import weight_files

WORDS = ["train", "ebgan-ring", *SMALL, "--output.no-tensorboard"]


@pytest.fixture
def slow_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is timed counts as two seconds a step, so that few steps fit into a minute."""
    measure = time_budget.measure

    def measured(*args: Any) -> RunTimes:
        measure(*args)
        return RunTimes((2.0,), 0.0, 0.0)

    monkeypatch.setattr(time_budget, "measure", measured)


@pytest.mark.usefixtures("slow_steps")
def test_a_run_of_minutes_is_the_run_of_the_scale_that_it_names(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*WORDS, "--minutes", "1", "--out", tmp_path / "x") == 0
    said = capsys.readouterr().err
    config = RunFolder(tmp_path / "x").read_config()
    steps, scale = config["settings"]["training"]["steps"], config["asked"]["scale"]
    assert 1 <= steps <= 30
    assert f"1 minutes allow {steps} steps here" in said or steps == 1
    assert "of the recipe's 12,000, at 0.5 steps a second" in said
    assert f"--scale {scale} repeats this run" in said
    rates = [config["settings"]["model"][f"{n}_optimiser"]["lr"] for n in ("energy", "sampler")]
    assert all(f", {steps // 2}" in rate or f", {steps - steps // 2}" in rate for rate in rates)
    assert RunFolder(tmp_path / "x").state() == "finished"

    assert run(*WORDS, "--scale", scale, "--out", tmp_path / "y") == 0
    assert RunFolder(tmp_path / "y").read_config()["hash"] == config["hash"]
    same = weight_files(tmp_path / "x", steps) == weight_files(tmp_path / "y", steps)
    assert same


@pytest.mark.usefixtures("slow_steps")
def test_minutes_from_python_are_for_all_seeds_together(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small = {"model": {"generator": [16], "encoder": [16]}, "output": {"tensorboard": False}}
    run = energan.train("ebgan-ring", minutes=1, out=tmp_path / "x", **small)
    assert 1 <= run.step <= 30
    runs = energan.train("ebgan-ring", minutes=1, seeds=2, out=tmp_path / "y", **small)
    assert len({run.step for run in runs}) == 1
    assert 1 <= runs[0].step <= 15


@pytest.mark.usefixtures("slow_steps")
def test_a_dry_run_says_how_many_steps_fit(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*WORDS, "--minutes", "2", "--dry-run") == 0
    shown = json.loads(capsys.readouterr().out)
    assert 1 <= shown["settings"]["training"]["steps"] <= 60
    assert shown["asked"]["minutes"] == 2


@pytest.mark.parametrize("more", [["--steps", "5"], ["--scale", "1/2"], ["--training.epochs", "2"]])
def test_minutes_are_given_without_steps(
    more: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = ["--out", str(tmp_path / "x")]
    for other in ([], ["--seeds", "2", "--together", "turns"]):
        said = refused(capsys, *WORDS, "--minutes", "1", *more, *other, *out)
        assert "minutes already sets the number of steps: leave" in said
    assert not (tmp_path / "x").exists()


@pytest.mark.usefixtures("slow_steps")
def test_seeds_as_one_program_have_the_same_steps(tmp_path: Path) -> None:
    words = [*WORDS, "--minutes", "1", "--seeds", "2", "--together", "cohort"]
    assert run(*words, "--out", tmp_path) == 0
    configs = [RunFolder(tmp_path / f"s{seed}").read_config() for seed in (0, 1)]
    steps = {config["settings"]["training"]["steps"] for config in configs}
    assert len(steps) == 1
    assert 1 <= steps.pop() <= 30


def test_seeds_side_by_side_are_timed_side_by_side_and_share_the_least_scale(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    timed: list[list[str]] = []
    trained: list[list[str]] = []

    async def dry_run(pool: Any, place: int, words: Any, variables: Any, *, log: Path) -> int:
        timed.append(list(words))
        found = {"asked": {"scale": f"{place}/300"}, "settings": {"training": {"steps": place}}}
        log.write_text("warned of something\n" + json.dumps(found, indent=2) + "\n")
        return 0

    def train(
        commands: Any, folders: Any, at_once: int, threads: int, device: Any
    ) -> tuple[int, None]:
        trained.extend(list(words) for _, words in commands)
        for folder in folders:
            RunFolder(folder).append("finished", step=1)
        return len(commands), None

    monkeypatch.setattr(seeds, "run_process", dry_run)
    monkeypatch.setattr(seeds, "run_processes", train)
    words = [*WORDS, "--minutes=9", "--seeds", "3", "--together", "processes", "--threads", "2"]
    assert run(*words, "--out", tmp_path) == 0
    assert len(timed) == 2  # as many as train at once
    for command in timed:
        assert command[command.index("--minutes") + 1] == "4.5"  # the third seed has its turn too
        assert "--dry-run" in command
    assert [c[c.index("--scale") + 1] for c in trained] == ["1/300"] * 3
    assert not any("--minutes" in word for command in trained for word in command)
    assert "4.5 minutes for each seed give 1 step (--scale 1/300)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("child", "said"),
    [("minutes 0.01: too short", "minutes 0.01: too short"),
     ("minutes 0.01 is too short; give at least 2",
      "minutes 0.01 is too short; give at least 2 for each of 2 turns")],
)  # fmt: skip
def test_what_is_wrong_is_said_of_seeds_too(
    child: str,
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    async def dry_run(pool: Any, place: int, words: Any, variables: Any, *, log: Path) -> int:
        log.write_text(f"energan: {child}\n")
        return 2

    monkeypatch.setattr(seeds, "run_process", dry_run)
    words = [*WORDS, "--minutes", "0.01", "--seeds", "2", "--together", "turns"]
    assert run(*words, "--out", tmp_path / "x") == 2
    assert f"energan: {said}\n" in capsys.readouterr().err
    assert not (tmp_path / "x").exists()


def test_steps_that_cut_schedules_short_are_told_of(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*WORDS, "--steps", "20", "--out", tmp_path / "x") == 0
    said = capsys.readouterr().err
    assert "warning: training ends after 20 steps, before 2 schedules do" in said
    assert "model.energy_optimiser.lr linear(0.0005, 0, 6000, 6000)" in said
    assert "--scale or --minutes instead of --steps" in said
    assert run(*WORDS, "--scale", "1/600", "--out", tmp_path / "y") == 0
    assert "warning" not in capsys.readouterr().err


def test_a_size_that_no_network_takes_is_told_in_a_dry_run(
    capsys: pytest.CaptureFixture[str],
) -> None:
    said = refused(capsys, "train", "ebgan-folder", "--size", "50", "--dry-run")
    assert "50" in said
