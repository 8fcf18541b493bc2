"""Ctrl-C and SIGTERM at any time: one sentence says what is kept and how to go on."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from energan.experiment import margin, resume, start
from energan.io.run_folder import RunFolder
from energan.training.hooks import Checkpoints, Log
from support.commands import SMALL, refused, run
from support.helpers import weight_files

WORDS = ["train", "ebgan-digits", "--steps", "20", *SMALL, "--output.no-tensorboard"]
SIGNALS = [signal.SIGINT, signal.SIGTERM]


@pytest.fixture(autouse=True)
def _ctrl_c_interrupts() -> Iterator[None]:
    """A shell starts what is in its background with SIGINT ignored, tests too."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def send(number: int) -> None:
    os.kill(os.getpid(), number)


def sending(number: int, work: Callable[..., Any], at: int = 1) -> Callable[..., Any]:
    """`work`, during whose call number `at` the signal comes."""
    calls = []

    def interrupted(*args: Any, **options: Any) -> Any:
        calls.append(1)
        if len(calls) == at:
            send(number)
        return work(*args, **options)

    return interrupted


@pytest.mark.parametrize("number", SIGNALS)
def test_while_data_is_opened_nothing_is_written_and_it_says_so(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(start, "open_data", sending(number, start.open_data))
    assert run(*WORDS, "--out", tmp_path / "x") == 128 + number
    said = capsys.readouterr()
    assert said.err.startswith("energan: stopped before training began: no run was written")
    assert "repeat the command to start again" in said.err
    assert said.err.count("\n") == 1
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    ("number", "seeds"),
    [(signal.SIGINT, []), (signal.SIGTERM, ["--seeds", "2", "--together", "cohort"])],
)
def test_while_the_margin_is_estimated_the_run_is_kept_and_goes_on_as_if_nothing_had_been(
    number: int,
    seeds: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = [*WORDS, "--model.margin", "auto", *seeds]
    monkeypatch.setattr(margin, "STEPS", 20)
    monkeypatch.setattr(start, "STEPS", 20)
    with monkeypatch.context() as patch:
        step = margin._Readings.step
        patch.setattr(margin._Readings, "step", sending(number, step, at=7))
        assert run(*words, "--out", tmp_path / "x") == 128 + number
    said = capsys.readouterr().err
    runs = [tmp_path / "x" / f"s{seed}" for seed in (0, 1)] if seeds else [tmp_path / "x"]
    named = " ".join(map(str, runs))
    assert said.splitlines()[-1] == (
        "energan: stopped while the margin was being estimated: the settings are saved, and "
        f"training has not begun; continue with: energan resume {named}"
    )
    assert [RunFolder(path).state() for path in runs] == ["stopped"] * len(runs)
    assert run("runs", tmp_path) == 0
    assert "0/20" in capsys.readouterr().out
    assert "the run was stopped before its first" in refused(capsys, "sample", runs[0])

    assert run("resume", *runs) == 0
    assert run(*words, "--out", tmp_path / "y") == 0
    for path in runs:
        other = tmp_path / "y" / path.relative_to(tmp_path / "x")
        same = weight_files(path, 20) == weight_files(other, 20)
        assert same  # without pytest's comparison of bytes, which takes minutes
        ours, whole = RunFolder(path).read_config(), RunFolder(other).read_config()
        assert ours["hash"] == whole["hash"]
        assert ours["resolved"] == whole["resolved"]


def test_a_second_one_while_a_stopped_margin_is_estimated_again_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        margin._Readings, "step", sending(signal.SIGINT, margin._Readings.step, at=3)
    )
    assert run(*WORDS, "--model.margin", "auto", "--out", tmp_path / "x") == 130
    before = (tmp_path / "x" / "config.json").read_bytes()
    monkeypatch.setattr(
        margin._Readings, "step", sending(signal.SIGINT, margin._Readings.step, at=3)
    )
    capsys.readouterr()
    assert run("resume", tmp_path / "x") == 130
    assert f"nothing has changed; continue with: energan resume {tmp_path / 'x'}" in (
        capsys.readouterr().err
    )
    assert (tmp_path / "x" / "config.json").read_bytes() == before


@pytest.mark.parametrize("number", SIGNALS)
def test_in_training_it_answers_at_once_and_saves(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Log, "step", sending(number, Log.step, at=12))
    assert run(*WORDS, "--out", tmp_path / "x") == 128 + number
    said = capfd.readouterr()
    assert "energan: stopping after this step and saving a checkpoint" in said.err
    assert said.out.splitlines()[-1] == (
        f"stopped at step 12; continue with: energan resume {tmp_path / 'x'}"
    )
    assert RunFolder(tmp_path / "x").read("stopped")[-1]["reason"] == signal.Signals(number).name


def test_a_second_one_ends_it_at_once_and_says_what_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Log, "step", sending(signal.SIGINT, Log.step, at=12))
    monkeypatch.setattr(Checkpoints, "finish", sending(signal.SIGINT, Checkpoints.finish))
    assert run(*WORDS, "--out", tmp_path / "x") == 130
    assert capfd.readouterr().err.splitlines()[-1] == (
        "energan: stopped at once: the last checkpoint is of step 10; continue with: "
        f"energan resume {tmp_path / 'x'}"
    )
    monkeypatch.undo()
    assert run("resume", tmp_path / "x") == 0


def test_before_a_resume_trains_nothing_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*WORDS, "--out", tmp_path / "x") == 0
    monkeypatch.setattr(resume, "open_first", sending(signal.SIGTERM, resume.open_first))
    capsys.readouterr()
    assert run("resume", tmp_path / "x", "--steps", "30") == 143
    assert "stopped before training continued: nothing has changed" in capsys.readouterr().err
    assert RunFolder(tmp_path / "x").read_config()["settings"]["training"]["steps"] == 20
