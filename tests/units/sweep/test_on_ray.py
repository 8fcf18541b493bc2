"""What the executor on Ray does as tasks end in every way; Ray itself is in the e2e tests."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from energan.errors import RunError
from energan.experiment.settings import load
from energan.sweep import on_ray
from energan.sweep.claiming import claim
from energan.sweep.cluster import How
from energan.sweep.folder import SweepFolder
from energan.sweep.local import DEATHS
from energan.sweep.setup import Setup
from energan.sweep.trials import Trial

SETUP = Setup("small", ("sliced_wasserstein",))


class Pretended:
    """A cluster whose tasks end as they are told to, one way after the other, then well."""

    def __init__(self, endings: Sequence[How]) -> None:
        self.endings, self.sent, self.stopped = list(endings), list[list[str]](), list[Any]()
        self.threads = 0

    def send(self, folder: SweepFolder, package: Sequence[Trial], setup: Setup) -> int:
        self.sent.append([trial.id for trial in package])
        self.folder, self.threads = folder, setup.threads or 0
        return len(self.sent) - 1

    def told(self) -> list[Any]:
        return []

    def ended(self, refs: Iterable[int]) -> list[tuple[int, How, str]]:
        ref = min(refs, default=None)
        if ref is None:
            return []
        how = self.endings.pop(0) if self.endings else "returned"
        if how == "returned":
            for trial in self.sent[ref]:
                self.folder.write({"id": trial, "state": "done"})
        return [(ref, how, "so it was")]

    def stop(self, refs: Iterable[int]) -> None:
        self.stopped += refs
        self.endings = ["lost"] * len(self.stopped)


class Heard:
    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []

    def tell(self, event: dict[str, Any], where: str) -> None:
        self.events.append(event)

    def refresh(self) -> None:
        return


Sweep = Any


@pytest.fixture
def sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sweep:
    """packages, endings -> folder, cluster, what was heard; after the run, which may raise."""
    monkeypatch.setattr(on_ray, "POLL", 0.0)
    monkeypatch.setattr(on_ray, "LOOK", 0.0)
    folder, heard = SweepFolder(tmp_path / "sweep"), Heard()
    folder.make()

    def run(packages: Sequence[Sequence[str]], endings: Sequence[How]) -> Any:
        cluster = Pretended(endings)

        @contextmanager
        def connected(*_: Any) -> Iterator[Pretended]:
            yield cluster

        monkeypatch.setattr(on_ray, "connected", connected)
        job = load("gan-ring")
        trials = [[Trial(name, {}, job) for name in package] for package in packages]
        try:
            on_ray.run(folder, trials, SETUP, heard, address="auto", cpus=2.5)
        finally:
            run.cluster = cluster  # type: ignore[attr-defined]
        return folder, cluster, heard

    return run


def test_what_was_lost_with_its_node_is_sent_again_as_it_was(sweep: Sweep) -> None:
    folder, cluster, heard = sweep([["a", "b"], ["c"]], ["lost"] * 5)
    assert folder.done() == {"a", "b", "c"}
    assert len(cluster.sent) == 2 + 5
    assert all(package in (["a", "b"], ["c"]) for package in cluster.sent)
    assert [event["event"] for event in heard.events] == ["left"] * 5
    assert cluster.threads == 2


def test_a_trial_that_takes_its_process_with_it_is_given_up(sweep: Sweep) -> None:
    folder, cluster, heard = sweep([["a"]], ["died"] * DEATHS)
    record = folder.read("a")
    assert record["state"] == "failed"
    assert record["reason"] == f"its process died {DEATHS} times (so it was)"
    assert len(cluster.sent) == DEATHS
    assert heard.events[-1]["event"] == "ended"


def test_after_a_death_the_trials_of_a_package_go_alone(sweep: Sweep) -> None:
    folder, cluster, _ = sweep([["a", "b"]], ["died"])
    assert cluster.sent == [["a", "b"], ["a"], ["b"]]
    assert folder.done() == {"a", "b"}


def test_a_node_that_cannot_work_ends_the_sweep(sweep: Sweep) -> None:
    with pytest.raises(RunError, match="a node of the Ray cluster cannot work: so it was"):
        sweep([["a"], ["b"], ["c"]], ["faulty"])
    assert sweep.cluster.stopped == [1, 2]


def test_what_another_process_has_is_waited_for(
    sweep: Sweep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = SweepFolder(tmp_path / "sweep")
    held = claim(folder, "a")
    assert held is not None
    refreshed: list[set[str]] = []

    def release(self: Heard) -> None:
        refreshed.append(folder.done())
        if len(refreshed) == 5:
            held.release()

    monkeypatch.setattr(Heard, "refresh", release)
    _, cluster, _ = sweep([["a"], ["b"]], [])
    assert cluster.sent == [["b"], ["a"]]
    assert refreshed[:5] == [{"b"}] * 5
    assert folder.done() == {"a", "b"}


def test_what_is_done_is_not_sent(sweep: Sweep, tmp_path: Path) -> None:
    folder = SweepFolder(tmp_path / "sweep")
    folder.write({"id": "a", "state": "failed"})
    _, cluster, _ = sweep([["a"], ["b"]], [])
    assert cluster.sent == [["b"]]
