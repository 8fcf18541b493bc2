"""Trainings that the studio starts: names, sources and words of the command."""

from pathlib import Path

import pytest

pytest.importorskip("energan.studio.training")

from energan.errors import DataError, RunError, SettingError
from energan.studio import training
from energan.studio.training import Training, log_of, new_folder, resume, train
from energan.studio.workspace import Workspace


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    found: list[list[str]] = []

    def start(words: list[str], folder: Path, log: Path) -> None:
        found.append(words)
        log.write_text("one\n" * 20 + "two\n")

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
