"""What the executor on Ray does as tasks end in every way; Ray itself is in the e2e tests."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from energan.errors import RunError
from energan.experiment.settings import load
from energan.sweeps.executors import ray
from energan.sweeps.executors.local import DEATHS
from energan.sweeps.executors.ray import AHEAD, DiedError
from energan.sweeps.store import SweepFolder, TrialOptions
from energan.sweeps.trials import Trial

OPTIONS = TrialOptions("small", ("sliced_wasserstein",))


class RayError(Exception):
    pass


class TaskCancelledError(RayError):
    pass


class RayTaskError(RayError):
    pass


class NodeDiedError(RayError):
    pass


class RuntimeEnvSetupError(RayError):
    pass


class Pretended:
    """Ray, whose tasks end as they are told to, one way after the other, then well: an error, or
    None for one that ends by itself and leaves its trials without a record."""

    exceptions = SimpleNamespace(
        **{e.__name__: e for e in RayError.__subclasses__()}, RayError=RayError
    )

    def __init__(self, folder: SweepFolder, endings: Sequence[Exception | None]) -> None:
        self.folder, self.endings = folder, list(endings)
        self.sent: list[list[str]] = []
        self.cancelled: list[int] = []
        self.asked: dict[str, Any] = {}
        self.most, self.pending, self.looks = 0, set[int](), 0

    def remote(self, **asked: Any) -> Any:
        self.asked = asked
        return lambda work: SimpleNamespace(remote=self.send)

    def cluster_resources(self) -> dict[str, float]:
        return {"CPU": 8.0, "GPU": 1.0}

    def send(self, cwd: str, log: str, words: Sequence[str]) -> int:
        self.sent.append(list(words[2:]))
        self.pending.add(len(self.sent) - 1)
        self.most = max(self.most, len(self.pending))
        return len(self.sent) - 1

    def wait(self, refs: list[int], timeout: float) -> tuple[list[int], None]:
        """One after the other is ready, some looks apart; and those that were cancelled."""
        self.looks += 1
        turn = self.looks > 20
        ready = [r for r in refs if r in self.cancelled or (turn and r == min(self.pending))]
        return ready, None

    def get(self, ref: int) -> None:
        self.pending.remove(ref)
        self.looks = 0
        if ref in self.cancelled:
            raise TaskCancelledError
        if self.endings:
            if (error := self.endings.pop(0)) is not None:
                raise error
            return
        for trial in self.sent[ref]:
            self.folder.write({"id": trial, "state": "done"})

    def cancel(self, ref: int, recursive: bool) -> None:
        self.cancelled.append(ref)


class Silent:
    def __init__(self) -> None:
        self.left: list[list[str]] = []

    def begin(self, trials: Sequence[str], where: str) -> None:
        return

    def leave(self, trials: Sequence[str]) -> None:
        self.left.append(list(trials))

    def refresh(self) -> None:
        return


Sweep = Any


@pytest.fixture
def sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sweep:
    """packages, endings -> folder, Ray, display; after the run, which may raise."""
    monkeypatch.setattr(ray, "POLL", 0.01)
    folder, display = SweepFolder(tmp_path / "sweep"), Silent()
    folder.make()

    def run(packages: Sequence[Sequence[str]], endings: Sequence[Exception | None]) -> Any:
        pretended = Pretended(folder, endings)

        @contextmanager
        def connected(*_: Any) -> Iterator[Pretended]:
            yield pretended

        monkeypatch.setattr(ray, "connected", connected)
        job = load("gan-ring")
        trials = [[Trial(name, {}, job) for name in package] for package in packages]
        try:
            ray.run(folder, trials, OPTIONS, display, address="auto", cpus=2.5)
        finally:
            run.ray = pretended  # type: ignore[attr-defined]
        return folder, pretended, display

    return run


def test_ray_tries_a_task_again_whose_node_or_process_was_lost(sweep: Sweep) -> None:
    folder, pretended, display = sweep([["a", "b"], ["c"]], [])
    assert pretended.asked == {
        "num_cpus": 2.5, "num_gpus": 0.0,
        "max_retries": DEATHS - 1, "retry_exceptions": [DiedError],
    }  # fmt: skip
    assert pretended.sent == [["a", "b"], ["c"]]
    assert display.left == [["a", "b"], ["c"]]
    assert folder.done() == {"a", "b", "c"}
    _, options = folder.begin("a", "here")
    assert options.threads == 2


class TaskDiedError(RayTaskError, DiedError):
    """As Ray raises what a task raised."""


@pytest.mark.parametrize("error", [TaskDiedError("so it was"), NodeDiedError("so it was")])
def test_a_trial_that_takes_its_process_with_it_is_given_up(sweep: Sweep, error: Exception) -> None:
    folder, pretended, _ = sweep([["a"], ["b"]], [error])
    record = folder.read("a")
    assert record["state"] == "failed"
    assert record["reason"] == f"its process died {DEATHS} times (so it was)"
    assert folder.read("b")["state"] == "done"
    assert pretended.sent == [["a"], ["b"]]


def test_after_a_death_the_trials_of_a_package_go_alone(sweep: Sweep) -> None:
    folder, pretended, _ = sweep([["a", "b"]], [NodeDiedError("so it was")])
    assert sorted(pretended.sent[1:]) == [["a"], ["b"]]
    assert folder.done() == {"a", "b"}


def test_a_process_that_was_told_to_stop_is_no_death(sweep: Sweep) -> None:
    folder, pretended, _ = sweep([["a", "b"]], [None] * 4)
    assert pretended.sent == [["a", "b"]] * 5
    assert {record["state"] for record in folder.records()} == {"done"}


def test_a_node_that_cannot_work_ends_the_sweep(sweep: Sweep) -> None:
    with pytest.raises(RunError, match="a node of the Ray cluster cannot work: so it was"):
        sweep([["a"], ["b"], ["c"]], [RayTaskError("so it was")])
    assert sorted(sweep.ray.cancelled) == [1, 2]


def test_so_many_wait_at_ray_that_an_autoscaler_sees_them(sweep: Sweep) -> None:
    folder, pretended, _ = sweep([[f"t{i}"] for i in range(20)], [])
    assert pretended.most == AHEAD * 3
    assert pretended.sent == [[f"t{i}"] for i in range(20)]
    assert len(folder.done()) == 20
