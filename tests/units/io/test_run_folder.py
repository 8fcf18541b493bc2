"""A run's folder: events survive a kill, what was undone is not told twice, one writer."""

import json
from pathlib import Path

import pytest

from energan.errors import RunError
from energan.io.files import write_atomically
from energan.io.run_folder import RunFolder, find_runs


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    run = RunFolder(tmp_path / "runs" / "a")
    run.path.mkdir(parents=True)
    run.write_config({"settings": {}})
    return run


def test_events_come_back_in_order_and_a_torn_line_is_passed_over(folder: RunFolder) -> None:
    folder.append("start", step=0)
    folder.append("step", step=10, loss=0.5)
    with folder.events.open("a") as file:
        file.write('{"event": "step", "st')  # killed in mid-write
    assert [e["event"] for e in folder.read()] == ["start", "step"]
    assert folder.read("step")[0]["loss"] == 0.5


def test_an_event_after_a_torn_line_is_not_lost_with_it(folder: RunFolder) -> None:
    folder.append("start", step=0)
    with folder.events.open("a") as file:
        file.write('{"event": "step", "st')
    folder.append("resume", step=0)
    folder.append("step", step=5)
    assert [e["event"] for e in folder.read()] == ["start", "resume", "step"]


def test_a_resume_or_rollback_voids_what_came_after_its_step(folder: RunFolder) -> None:
    for step in (10, 20, 30):
        folder.append("step", step=step, of="first")
    folder.append("rollback", step=20)
    folder.append("step", step=30, of="second")
    folder.append("resume", step=10)
    folder.append("step", step=20, of="third")
    assert [(e["step"], e["of"]) for e in folder.read("step")] == [(10, "first"), (20, "third")]
    assert len(folder.events.read_text().splitlines()) == 7  # nothing written is ever removed


@pytest.mark.parametrize(
    ("events", "state"),
    [
        ([], "interrupted"),
        (["start"], "interrupted"),
        (["start", "step", "finished"], "finished"),
        (["start", "stopped"], "stopped"),
        (["start", "stopped", "resume", "start"], "interrupted"),
        (["start", "diverged"], "diverged"),
    ],
)
def test_state(folder: RunFolder, events: list[str], state: str) -> None:
    for event in events:
        folder.append(event, step=1)
    assert folder.state() == state


def test_one_writer(folder: RunFolder) -> None:
    other = RunFolder(folder.path)
    with folder.lock():
        assert other.locked()
        assert other.state() == "running"
        with pytest.raises(RunError, match="another process"), other.lock():
            pass
    assert not other.locked()


def test_config_that_is_missing_or_damaged(folder: RunFolder, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="holds no run"):
        RunFolder(tmp_path / "no").read_config()
    for text in ("{", "[]", "{}", "\udcff"):
        folder.config.write_bytes(text.encode("utf8", "surrogateescape"))
        with pytest.raises(RunError, match=r"config\.json"):
            folder.read_config()


def test_writing_is_atomic(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.json"
    write_atomically(path, "old")

    def crash(*_: object) -> None:
        raise OSError("no")

    monkeypatch.setattr(Path, "replace", crash)
    with pytest.raises(OSError, match="no"):
        write_atomically(path, "new")
    assert path.read_text() == "old"


def test_runs_are_found_below_a_folder(folder: RunFolder, tmp_path: Path) -> None:
    folder.append("start", step=0)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "config.json").write_text(json.dumps({}))  # not a run: no events
    assert [r.path for r in find_runs(tmp_path)] == [folder.path]
    assert [r.path for r in find_runs(folder.path)] == [folder.path]
