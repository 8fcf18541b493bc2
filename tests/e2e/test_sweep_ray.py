"""A sweep on a real Ray cluster of two nodes, one of which is lost; so is the driver."""

import importlib.util
import json
import os
import random
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import energan
from energan.errors import EnerganError, SettingError
from energan.io.run_folder import RunFolder
from energan.sweeps.executors import ray
from energan.sweeps.executors.ray import connected
from energan.sweeps.grid import Sweep
from energan.sweeps.store import SweepFolder, TrialOptions
from energan.sweeps.trials import trials_of
from support.forks import Process

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed"),
    pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at processes in /proc"),
]
TRIALS, STEPS = 5, 250
SWEEP = Sweep(
    "small", "", "ebgan-digits", {"seed": tuple(range(TRIALS))},
    base={"training.steps": STEPS, "training.batch_size": 16, "model.generator": [32],
          "model.encoder": [16], "output.log_every": 100},
)  # fmt: skip


class Display:
    """Tells a file what is worked on."""

    def __init__(self, log: Path) -> None:
        self.log = log

    def begin(self, trials: Sequence[str], where: str) -> None:
        with self.log.open("a") as file:
            print(json.dumps({"trials": trials, "where": where}), file=file)

    def leave(self, trials: Sequence[str]) -> None:
        pass

    def refresh(self) -> None:
        pass


def run_driver(place: Path, address: str, cpus: float) -> int:
    """For a process of its own: Ray is never loaded in pytest's."""
    os.chdir(place)
    sys.argv[:] = ["-c"]
    folder = SweepFolder(place / "sweep")
    folder.make()
    options = TrialOptions("small", ("sliced_wasserstein",), samples=64, save_every=50)
    packages, display = [[trial] for trial in trials_of(SWEEP)], Display(place / "told.txt")
    try:
        stopped = ray.run(folder, packages, options, display, address=address, cpus=cpus)  # type: ignore[arg-type]
    except EnerganError as error:
        print(type(error).__name__, error)
        return error.exit_code
    return 128 + signal.Signals[stopped].value if stopped else 0


def until(what: Callable[[], Any], driver: Process) -> Any:
    """What `what` gives, as soon as it gives something, while the driver runs."""
    while driver.poll() is None:
        if found := what():
            return found
        time.sleep(0.02)
    raise AssertionError(f"the driver has ended ({driver.returncode})")


def session(leader: int) -> set[int]:
    """The processes of a session that live."""
    found = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it ended meanwhile
        if int(fields[3]) == leader and fields[0] != "Z":
            found.add(int(stat.parent.name))
    return found


def kill_session(leader: int) -> None:
    while left := session(leader):
        for process in left:
            try:
                os.kill(process, signal.SIGKILL)
            except ProcessLookupError:
                continue
        time.sleep(0.05)


def free_ports(count: int) -> list[str]:
    """Below those that the system hands out by itself: Ray's servers share a port without a word
    if one of them was given it that way."""
    found: list[str] = []
    for port in random.sample(range(20_000, 30_000), 200):
        with socket.socket() as one:
            try:
                one.bind(("", port))
            except OSError:
                continue
        found.append(str(port))
        if len(found) == count:
            return found
    raise AssertionError("no free ports")


@dataclass
class Cluster:
    """Two nodes, each a session of processes, by its leader; the head outlives the test."""

    address: str
    head: int
    other: int


class Starting:
    """Starts processes, each in a session of its own; whose sessions end with the test."""

    def __init__(self, place: Path) -> None:
        self.place, self.begun = place, list[subprocess.Popen[str] | Process]()
        self.short = tempfile.mkdtemp(prefix="r")  # paths of sockets are short
        src = str(Path(energan.__file__).parents[1])
        self.environment = {
            **os.environ,
            "PYTHONPATH": src,
            "OMP_NUM_THREADS": "1",
            "RAY_USAGE_STATS_ENABLED": "0",
            # one token for all: by itself Ray asks for one only where the user has had one made
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": secrets.token_hex(32),
            "RAY_memory_monitor_refresh_ms": "0",  # it would kill for what others use
            "RAY_worker_niceness": "0",  # at Ray's own 15 other tests leave a trial no time
            "RAY_enable_worker_prestart": "0",  # none of them could take a task of a driver's own
            "RAY_prestart_worker_first_driver": "0",  # environment
            "RAY_health_check_period_ms": "500",  # a lost node answers none, and is soon told
        }

    def __call__(self, *words: str) -> "subprocess.Popen[str]":
        with (self.place / f"said-{len(self.begun)}.txt").open("w") as said:
            process = subprocess.Popen(
                [sys.executable, *words], env=self.environment, cwd=self.place, text=True,
                stdout=said, stderr=said, stdin=subprocess.DEVNULL, start_new_session=True,
            )  # fmt: skip
        self.begun.append(process)
        return process

    def driver(self, address: str, cpus: float = 1.0) -> Process:
        """A fork of this process, which has imported what takes seconds."""
        with (self.place / f"said-{len(self.begun)}.txt").open("w") as said:
            process = Process(
                partial(run_driver, self.place, address, cpus), session=True,
                stdout=said.fileno(), stderr=said.fileno(), variables=self.environment,
            )  # fmt: skip
        self.begun.append(process)
        return process

    def said(self, process: "subprocess.Popen[str] | Process") -> str:
        return (self.place / f"said-{self.begun.index(process)}.txt").read_text()

    def node(self, *words: str) -> int:
        """A node's session. Ray gives it 30 seconds to begin, which a busy machine may exceed."""
        common = ["--num-cpus=1", "--object-store-memory=80000000", "--disable-usage-stats"]
        common.append(f"--plasma-directory={self.place}")  # /dev/shm is small in containers
        for _ in range(5):
            process = self("-m", "ray.scripts.scripts", "start", *common, *words)
            if process.wait() == 0:
                return process.pid
            kill_session(process.pid)
        raise AssertionError(self.said(process))


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Starting]:
    starting = Starting(tmp_path)
    yield starting
    for process in starting.begun:
        kill_session(process.pid)
        process.wait()
    shutil.rmtree(starting.short, ignore_errors=True)


@pytest.fixture
def cluster(start: Starting) -> Cluster:
    port, clients, dashboard = free_ports(3)
    head = start.node(
        "--head", f"--port={port}", f"--temp-dir={start.short}", "--include-dashboard=false",
        f"--ray-client-server-port={clients}", f"--dashboard-port={dashboard}",
    )  # fmt: skip
    address = f"127.0.0.1:{port}"
    return Cluster(address, head, start.node(f"--address={address}"))


class Watched:
    """A sweep's folder, as someone sees it who looks from outside."""

    def __init__(self, path: Path, log: Path) -> None:
        self.folder, self.log = SweepFolder(path), log

    def training(self, leader: int, records: int = 0) -> str | None:
        """A trial that a process of this session trains, once there are so many records."""
        if len(self.folder.done()) < records:
            return None
        for process in session(leader):
            try:
                words = Path(f"/proc/{process}/cmdline").read_text().split("\0")
            except OSError:
                continue
            if "energan.sweeps.run_trial" not in words:
                continue
            trial = words[words.index("energan.sweeps.run_trial") + 2]
            run = self.folder.run(trial)
            if run.locked() and run.read("step") and not run.read("finished"):
                return trial
        return None

    def finished(self) -> dict[str, tuple[bytes, int]]:
        """Of each trial with a record: that, and how often the trial was begun."""
        return {
            trial: (
                (self.folder.results / f"{trial}.json").read_bytes(),
                self.folder.attempts(trial),
            )
            for trial in self.folder.done()
        }

    def begun(self) -> int:
        """How often the driver saw that a trial is worked on."""
        return len(self.log.read_text().splitlines())


def test_a_lost_node_and_a_lost_driver_lose_nothing(
    cluster: Cluster, start: Starting, tmp_path: Path
) -> None:
    """A node is killed while it trains, then the driver; one is told to stop; another goes on."""
    seen = Watched(tmp_path / "sweep", tmp_path / "told.txt")

    driver = start.driver(cluster.address, 4.0)
    assert driver.wait() == 2
    assert "no node has 4 CPUs and 0 GPUs" in start.said(driver)

    driver = start.driver(cluster.address)
    lost = until(lambda: seen.training(cluster.other, records=1), driver)
    kill_session(cluster.other)
    assert seen.folder.read(lost) is None
    kept = seen.finished()

    until(lambda: seen.training(cluster.head, records=len(kept) + 1), driver)
    driver.kill()
    driver.wait()
    kept |= seen.finished()

    driver = start.driver(cluster.address)
    begun = seen.begun()
    until(lambda: seen.begun() > begun and seen.training(cluster.head), driver)
    driver.terminate()
    assert driver.wait() == 128 + signal.SIGTERM, start.said(driver)
    assert seen.training(cluster.head) is None
    assert not any(RunFolder(path).locked() for path in seen.folder.trials.iterdir())
    kept |= seen.finished()
    assert 2 <= len(kept) < TRIALS

    driver = start.driver(cluster.address)
    assert driver.wait(300) == 0, start.said(driver)
    records = seen.folder.records()
    assert [record["state"] for record in records] == ["done"] * TRIALS
    assert sorted(record["seed"] for record in records) == list(range(TRIALS))
    assert seen.folder.read(lost)["attempts"] > 1  # type: ignore[index]
    after = seen.finished()
    assert {trial: after[trial] for trial in kept} == kept  # never begun again
    for record in records:
        run = RunFolder(seen.folder.trials / record["id"])
        assert [event["step"] for event in run.read("finished")] == [STEPS]
        assert record["steps"] == STEPS
        assert record["threads"] == 1
    begins = sum(begun for _, begun in after.values())
    assert TRIALS < begins <= TRIALS + 4  # the lost node's, two by the driver's death, one stopped


def test_without_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with (
        pytest.raises(SettingError, match=r"pip install 'energan\[ray\]'"),
        connected("auto", 1, 0),
    ):
        pass


def test_where_there_is_no_such_cluster(start: Starting) -> None:
    (port,) = free_ports(1)
    for address, says in ((f"127.0.0.1:{port}", "refused"), ("nowhere", "Invalid address")):
        driver = start.driver(address)
        assert driver.wait() == 2
        said = start.said(driver).strip()
        assert said.startswith(f"SettingError --ray {address}: there is no Ray cluster (")
        assert says in said
        assert "\n" not in said
