"""Trainings that the studio starts: names, sources and words of the command."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("energan.studio.training")

from energan.errors import DataError, RunError, SettingError
from energan.io import processes
from energan.studio import training
from energan.studio.training import (
    FAILED,
    STARTING,
    Training,
    log_of,
    new_folder,
    resume,
    stop,
    summaries,
    train,
    unbegun,
)
from energan.studio.workspace import Workspace


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    found: list[list[str]] = []

    def start(words: list[str], folder: Path, log: Path) -> int:
        found.append(words)
        log.write_text("one\n" * 20 + "two\n")
        return 0

    monkeypatch.setattr(training, "start_detached", start)
    return found


def test_the_words_are_those_of_the_command_line(tmp_path: Path, started: list[list[str]]) -> None:
    workspace = Workspace(tmp_path)
    train(workspace, Training("ebgan-digits", "digits", "mine", ("--seed", "3")))
    out = str(tmp_path / "mine")
    assert started == [
        ["energan", "train", "ebgan-digits", "--data", "digits", "--out", out, "--seed", "3"]
    ]
    assert log_of(workspace, "mine").splitlines()[-2:] == ["one", "two"]
    assert len(log_of(workspace, "mine").splitlines()) == 12
    assert log_of(workspace, "other") == ""


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../x", "a/b", "-x", "--data", "a\x00", "/tmp/x", " a", "a" * 101, "\n"]
)
def test_names_that_no_run_can_have(tmp_path: Path, started: list[list[str]], name: str) -> None:
    with pytest.raises(SettingError, match="use letters"):
        train(Workspace(tmp_path), Training("ebgan-digits", "digits", name))
    assert not started


def test_what_is_there_stays_and_other_folders_are_not_read(
    tmp_path: Path, started: list[list[str]]
) -> None:
    runs = tmp_path / "runs"
    (runs / "there").mkdir(parents=True)
    with pytest.raises(SettingError, match="there is there already"):
        new_folder(Workspace(runs), "there")
    with pytest.raises(DataError, match="may read"):
        train(Workspace(runs), Training("ebgan-folder", str(tmp_path), "new"))
    with pytest.raises(RunError, match="there is no run"):
        resume(Workspace(runs), "../runs")
    assert not started


def wait(workspace: Workspace, name: str, state: str) -> str:
    """The reason of a training without a run once it is in that state; fails after a minute."""
    for _ in range(600):
        found = unbegun(workspace, name)
        if found is not None and found.state == state:
            return found.reason
        time.sleep(0.1)
    pytest.fail(f"{name} is {found}: {log_of(workspace, name)}")


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Lets trainings be processes that run this text, with the run's folder as `out`."""

    def use(text: str) -> None:
        (tmp_path / "stand_in.py").write_text(f"import sys, time; out = sys.argv[6]\n{text}\n")
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))
        start = processes.start_detached
        monkeypatch.setattr(
            training, "start_detached", lambda words, *more: start(["stand_in", *words], *more)
        )

    return use


def test_a_training_is_listed_from_its_start_and_can_be_cancelled(
    tmp_path: Path, script: Callable[[str], None]
) -> None:
    script("print('reading 1/2', flush=True); time.sleep(60)")
    workspace = Workspace(tmp_path / "runs")
    workspace.folder.mkdir()
    train(workspace, Training("ebgan-digits", "digits", "new"))
    found = unbegun(workspace, "new")
    assert found is not None
    assert (found.state, found.recipe) == (STARTING, "ebgan-digits")
    assert wait(workspace, "new", STARTING) in ("reading 1/2", found.reason)
    assert [workspace.name(one.path) for one in summaries(workspace)] == ["new"]
    with pytest.raises(SettingError, match="new is there already"):
        train(workspace, Training("ebgan-digits", "digits", "new"))
    log = workspace.folder / training.LOGS / "new.log"
    assert processes.is_logging(log)
    stop(workspace, "new")
    assert summaries(workspace) == []
    for _ in range(600):
        if not processes.is_logging(log):
            break
        time.sleep(0.1)
    else:
        pytest.fail("it was told to stop, and goes on")


def test_a_training_that_fails_early_tells_why(
    tmp_path: Path, script: Callable[[str], None]
) -> None:
    script("sys.exit('energan: 3 images: give more')")
    workspace = Workspace(tmp_path / "runs")
    workspace.folder.mkdir()
    train(workspace, Training("ebgan-digits", "digits", "new"))
    assert wait(workspace, "new", FAILED) == "3 images: give more"
    stop(workspace, "new")  # which takes it off the list
    assert summaries(workspace) == []
    train(workspace, Training("ebgan-digits", "digits", "new"))
    wait(workspace, "new", FAILED)


def test_a_training_with_a_run_is_no_longer_one_that_starts(
    tmp_path: Path, started: list[list[str]]
) -> None:
    workspace = Workspace(tmp_path)
    train(workspace, Training("ebgan-digits", "digits", "new"))
    assert unbegun(workspace, "new") is not None
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "config.json").write_text("{}")
    assert unbegun(workspace, "new") is None
    assert not list((tmp_path / training.LOGS).glob("*.json"))
