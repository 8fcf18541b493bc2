"""A run's folder: events survive a kill, what was undone is not told twice, one writer."""

import json
import os
import signal
import socket
from pathlib import Path
from typing import Any

import pytest

from energan.errors import RunError
from energan.io.files import write_atomically
from energan.io.run_folder import RunFolder, find_runs

ROOT = Path(__file__).parents[3]


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
        folder.append("step", step=step, of=1)
    folder.append("rollback", step=20, rate_scale=0.5)
    folder.append("step", step=30, of=2)
    folder.append("resume", step=10)
    folder.append("step", step=20, of=3)
    assert [(e["step"], e["of"]) for e in folder.read("step")] == [(10, 1), (20, 3)]
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
        ending = {"reason": "why"} if event in ("stopped", "diverged") else {}
        folder.append(event, step=1, **ending)
    assert folder.state() == state


def test_one_writer(folder: RunFolder) -> None:
    other = RunFolder(folder.path)
    with folder.lock():
        assert other.locked()
        assert other.state() == "running"
        with pytest.raises(RunError, match="another process"), other.lock():
            pass
    assert not other.locked()


def test_a_run_is_stopped_where_it_is_trained(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "kill", lambda pid, number: sent.append((pid, number)))
    folder.append("start", step=0, host=socket.gethostname(), pid=123)
    with pytest.raises(RunError, match="is not being trained"):
        folder.stop()
    with folder.lock():
        folder.stop()
        assert sent == [(123, signal.SIGTERM)]
        folder.append("start", step=5, host="elsewhere.test", pid=124)
        with pytest.raises(RunError, match=r"on elsewhere\.test"):
            folder.stop()
        folder.append("start", step=6)  # of an older version
        with pytest.raises(RunError, match="being trained elsewhere"):
            folder.stop()
    assert len(sent) == 1


def test_config_that_is_missing_or_damaged(folder: RunFolder, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="holds no run"):
        RunFolder(tmp_path / "no").read_config()
    for text in ("{", "[]", "{}", "\udcff"):
        folder.config.write_bytes(text.encode("utf8", "surrogateescape"))
        with pytest.raises(RunError, match=r"config\.json"):
            folder.read_config()


DOMAIN = {"shape": [1, 8, 8], "low": -1.0, "high": 1.0, "classes": 10}
RESOLVED = {
    "precision": "bf16", "threads": 2, "domain": DOMAIN, "from": None,
    "data": {"name": "digits", "events": 10, "fingerprint": "0"},
}  # fmt: skip
CONFIG: dict[str, Any] = {"model": "ebgan", "asked": {}, "settings": {}, "resolved": RESOLVED}


def test_a_config_is_read_as_it_stands_with_what_other_versions_wrote(folder: RunFolder) -> None:
    config = {**CONFIG, "new": {"key": 1}, "resolved": {**RESOLVED, "more": [1.5]}}
    folder.write_config(config)
    assert folder.read_config() == config


@pytest.mark.parametrize("path", sorted((ROOT / "docs" / "results").glob("*-s0.json")), ids=str)
def test_configs_of_older_versions_are_read(folder: RunFolder, path: Path) -> None:
    kept = json.loads(path.read_text(encoding="utf8"))
    folder.write_config({"asked": {}, **kept})
    assert folder.read_config()["resolved"] == kept["resolved"]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"threads": -1}, r"resolved\.threads: must be at least 1 \(given: -1\)"),
        ({"threads": 10**9}, r"resolved\.threads: must be at most"),
        ({"threads": "2"}, r"resolved\.threads: must be a whole number"),
        ({"ranks": 0}, r"resolved\.ranks"),
        ({"precision": "16"}, r"resolved\.precision"),
        ({"from": "there"}, r"resolved\.from"),
        ({"from": {"path": "x"}}, r"resolved\.from\.step is missing"),
        ({"margin": {"margin": "wide"}}, r"resolved\.margin\.margin"),
        ({"domain": None}, r"resolved\.domain"),
        ({"domain": {**DOMAIN, "shape": []}}, r"resolved\.domain\.shape"),
        ({"domain": {**DOMAIN, "shape": [1, -8, 8]}}, r"resolved\.domain\.shape\.1"),
        ({"domain": {**DOMAIN, "shape": [2**20, 2**20]}}, r"resolved\.domain\.shape"),
        ({"domain": {**DOMAIN, "low": None}}, r"resolved\.domain: low and high"),
        ({"domain": {**DOMAIN, "low": 1.0}}, r"resolved\.domain: low 1 is not below high 1"),
        ({"data": {"name": "digits", "events": 1}}, r"resolved\.data\.fingerprint is missing"),
    ],
)
def test_what_does_not_fit_in_a_config_is_named(
    folder: RunFolder, change: dict[str, Any], says: str
) -> None:
    folder.write_config({**CONFIG, "resolved": {**RESOLVED, **change}})
    with pytest.raises(RunError, match=rf"config\.json: {says}.*; restore it, or train again"):
        folder.read_config()


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ({"event": "step", "step": "x"}, "step: must be a whole number"),
        ({"event": "step", "step": -1}, "step: must be at least"),
        ({"event": "step", "step": 1, "loss": "low"}, "loss: .* number"),
        ({"event": "score", "step": 1, "error": [1]}, "error: .* number"),
        ({"event": "rollback", "step": 1}, "rate_scale is missing"),
        ({"event": "rollback", "step": 1, "rate_scale": 0}, "rate_scale: must be above 0"),
        ({"event": "samples", "path": 3}, "path: must be text"),
        ({"event": "landscape", "path": "a\0b"}, "path: .* pattern"),
        ({"event": "start", "cohort": "all"}, "cohort: .* list"),
        ({"event": "other", "time": "noon"}, "time: .* number"),
    ],
)
def test_an_event_that_does_not_fit_is_named_or_left_out(
    folder: RunFolder, line: dict[str, Any], says: str
) -> None:
    folder.append("start", step=0)
    with folder.events.open("a") as file:
        file.write(json.dumps(line) + "\n")
    folder.append("step", step=2, loss=float("nan"))
    with pytest.raises(RunError, match=rf"events\.jsonl, line 2: {says}.*; remove this line"):
        folder.read()
    faults: list[str] = []
    assert [e["step"] for e in folder.read(faults=faults)] == [0, 2]
    assert len(faults) == 1


@pytest.mark.timeout(20)
@pytest.mark.parametrize("name", ["config.json", "events.jsonl"])
def test_a_pipe_in_place_of_a_file_is_refused(folder: RunFolder, name: str) -> None:
    folder.write_config(CONFIG)
    (folder.path / name).unlink(missing_ok=True)
    os.mkfifo(folder.path / name)
    with pytest.raises(RunError, match=rf"{name} cannot be read \(it is not a regular file\)"):
        folder.read_config() if name == "config.json" else folder.read()


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
