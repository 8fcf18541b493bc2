"""Claims: one process has a trial, the dead lose theirs, the slow find out."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from energan.sweep import claiming
from energan.sweep.claiming import Claim, claim, taken
from energan.sweep.folder import SweepFolder

HOLDER = """
import sys, time
from energan.sweep.claiming import claim
from energan.sweep.folder import SweepFolder
held = claim(SweepFolder(sys.argv[1]), "a")
print("mine" if held else "not mine", flush=True)
time.sleep(60)
"""


@pytest.fixture
def folder(tmp_path: Path) -> SweepFolder:
    made = SweepFolder(tmp_path / "sweep")
    made.make()
    return made


def die(held: Claim) -> None:
    """As its process would: no more heartbeats, and the lock is gone."""
    held._end.set()
    held._thread.join()
    held._file.close()


def elsewhere(held: Claim, seconds: float) -> None:
    """Make it another machine's, whose last heartbeat was so long ago."""
    die(held)
    who = json.loads(held.path.read_text()) | {"machine": "another"}
    held.path.write_text(json.dumps(who))
    then = time.time() - seconds
    os.utime(held.path, (then, then))


def test_of_many_at_once_one_gets_each_trial(folder: SweepFolder) -> None:
    names = [f"t{i}" for i in range(40)]
    got: list[list[Claim]] = [[] for _ in range(6)]
    start = threading.Barrier(6)

    def take(own: list[Claim]) -> None:
        start.wait()
        own += [held for name in names if (held := claim(folder, name)) is not None]

    threads = [threading.Thread(target=take, args=(own,)) for own in got]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    held = [one for own in got for one in own]
    assert sorted(one.trial for one in held) == sorted(names)
    for one in held:
        one.release()


def test_a_killed_process_loses_its_claim_at_once(folder: SweepFolder) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(folder.path)], stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "mine\n"
    assert claim(folder, "a") is None
    assert taken(folder, "a")
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    holder.stdout.close()
    assert not taken(folder, "a")
    mine = claim(folder, "a")
    assert mine is not None
    assert mine.attempts == 2
    mine.release()


@pytest.mark.parametrize(("ago", "lives"), [(0, True), (30, True), (90, False)])
def test_another_machine_lives_as_long_as_its_heart_beats(
    folder: SweepFolder, ago: float, lives: bool
) -> None:
    first = claim(folder, "a")
    assert first is not None
    elsewhere(first, ago)
    second = claim(folder, "a", lost_after=60)
    assert (second is None) == lives
    if second is not None:
        second.release()


def test_a_heartbeat_keeps_a_claim_alive(
    folder: SweepFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claiming, "BEAT", 0.05)
    held = claim(folder, "a")
    assert held is not None
    os.utime(held.path, (0, 0))
    for _ in range(100):
        if held.path.stat().st_mtime > 0:
            break
        time.sleep(0.05)
    assert time.time() - held.path.stat().st_mtime < 60
    held.release()


def test_the_slow_find_out_and_their_record_is_refused(folder: SweepFolder) -> None:
    slow = claim(folder, "a")
    assert slow is not None
    assert slow.held()
    elsewhere(slow, 1000)
    quick = claim(folder, "a")
    assert quick is not None
    assert not slow.held()
    assert slow.lost
    assert quick.held()
    assert folder.write({"id": "a", "state": "done", "by": "quick"})
    assert not folder.write({"id": "a", "state": "done", "by": "slow"})
    assert folder.read("a") == {"id": "a", "state": "done", "by": "quick"}
    quick.release()


def test_what_is_released_is_free_and_what_is_done_is_not(folder: SweepFolder) -> None:
    first = claim(folder, "a")
    assert first is not None
    first.release()
    second = claim(folder, "a")
    assert second is not None
    folder.write({"id": "a", "state": "done"})
    second.release()
    assert claim(folder, "a") is None


OPERATIONS = st.lists(
    st.tuples(st.sampled_from(["claim", "die", "age", "release", "finish"]), st.integers(0, 3)),
    max_size=40,
)


@settings(max_examples=40, deadline=None)
@given(OPERATIONS)
def test_whatever_happens_one_at_most_has_a_trial_and_one_record_is_written(
    tmp_path_factory: pytest.TempPathFactory, operations: list[tuple[str, int]]
) -> None:
    folder = SweepFolder(tmp_path_factory.mktemp("sweep"))
    folder.make()
    held: list[Claim] = []  # of processes that think they have it, the slow ones too
    records = 0
    for what, number in operations:
        if what == "claim" and (mine := claim(folder, "a")) is not None:
            held.append(mine)
        if held and what != "claim":
            one = held[number % len(held)]
            if what == "age":
                elsewhere(one, 1000)  # it goes on, and looks dead
            else:
                held.remove(one)
                if what == "finish" and one.held():
                    records += folder.write({"id": "a", "state": "done"})
                if one._file.closed:
                    continue
                die(one) if what == "die" else one.release()
        assert sum(one.held() for one in held) <= 1
    assert records <= 1
    assert len(folder.done()) == records
    for one in held:
        if not one._file.closed:
            one.release()
