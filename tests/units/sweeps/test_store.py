"""A sweep's folder: records are written once, kept whole, forgotten when asked."""

import threading
from pathlib import Path

import pytest

from energan.errors import RunError
from energan.sweeps.store import Record, SweepFolder, TrialOptions, best_of, score_of


@pytest.fixture
def folder(tmp_path: Path) -> SweepFolder:
    made = SweepFolder(tmp_path / "sweep")
    made.make()
    return made


def record(
    trial: str, value: float | None = 1.0, state: str = "done", better: str = "higher"
) -> Record:
    scores = {"m": {"value": value, "better": better}} if state == "done" else {}
    return {"id": trial, "sweep": "s", "state": state, "metric": "m", "scores": scores}


def test_of_records_written_at_once_one_stays_whole(folder: SweepFolder) -> None:
    start, wrote = threading.Barrier(8), []

    def write(number: int) -> None:
        start.wait()
        wrote.append((folder.write({"id": "a", "by": number, "long": "x" * 10_000}), number))

    threads = [threading.Thread(target=write, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    winners = [number for first, number in wrote if first]
    assert len(winners) == 1
    found = folder.read("a")
    assert found is not None
    assert found["by"] == winners[0]
    assert [p.name for p in folder.results.iterdir()] == ["a.json"]


def test_records_are_read_back_and_those_not_there_are_none(folder: SweepFolder) -> None:
    assert folder.done() == set()
    for name in ("b", "a"):
        assert folder.write(record(name))
    assert folder.done() == {"a", "b"}
    assert [r["id"] for r in folder.records()] == ["a", "b"]
    assert folder.records(["b", "c"]) == [record("b")]
    assert folder.read("c") is None


def test_a_damaged_record_is_named(folder: SweepFolder) -> None:
    (folder.results / "a.json").write_text('{"id": ')
    with pytest.raises(RunError, match=r"a\.json cannot be read .*remove it"):
        folder.read("a")


def test_only_what_failed_or_diverged_is_forgotten(folder: SweepFolder) -> None:
    for name, state in (("a", "done"), ("b", "failed"), ("c", "diverged")):
        folder.write(record(name, state=state))
    assert folder.forget(["a", "b", "c", "d"]) == 2
    assert folder.done() == {"a"}


def test_a_file_or_a_run_is_no_folder_for_a_sweep(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="is a file"):
        SweepFolder(tmp_path / "file").make()
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(RunError, match="holds a run"):
        SweepFolder(tmp_path).make()


def test_the_best_is_the_highest_or_lowest_as_the_metric_has_it() -> None:
    rising = [record("a", 1.0), record("b", 3.0), record("c", 2.0), record("d", state="failed")]
    falling = [record(n, v, better="lower") for n, v in (("a", 1.0), ("b", 3.0), ("c", None))]
    assert best_of(rising) == rising[1]
    assert best_of(falling) == falling[0]
    assert best_of([rising[3]]) is None
    assert score_of(falling[2]) is None
    assert best_of([record("b", 2.0), record("a", 2.0)]) == record("a", 2.0)  # of equals the first


@pytest.mark.parametrize(
    ("keep", "stay"), [("best", {"b", "new"}), ("all", {"a", "b", "c", "new"}), ("none", {"new"})]
)
def test_checkpoints_of_the_best_stay_and_of_those_that_train(
    folder: SweepFolder, keep: str, stay: set[str]
) -> None:
    written: list[Record] = [record("a", 1.0), record("b", 3.0), record("c", 2.0)]
    for name in ("a", "b", "c", "new"):  # new has no record: it trains
        (folder.trials / name / "checkpoints" / "step-1").mkdir(parents=True)
        (folder.trials / name / "events.jsonl").write_text("")
    for one in written:
        folder.write(one)
        folder.tidy(one, keep)  # type: ignore[arg-type]
    assert {p.parent.name for p in folder.trials.glob("*/checkpoints")} == stay
    assert len(list(folder.trials.glob("*/events.jsonl"))) == 4


def test_a_trial_in_the_queue_keeps_count_of_its_attempts(folder: SweepFolder) -> None:
    trial, options = (
        {"id": "a", "values": {}},
        TrialOptions("s", ("m", "n"), samples=3, threads=2, keep="all"),
    )
    with pytest.raises(RunError, match=r"a\.json is missing"):
        folder.begin("a", "here")
    assert (folder.attempts("a"), folder.host("a")) == (0, None)
    folder.enqueue(trial, options)
    assert folder.begin("a", "here") == (trial, options)
    assert (folder.attempts("a"), folder.host("a")) == (1, "here")
    folder.enqueue(trial, options)  # again, as after an interruption
    assert (folder.attempts("a"), folder.host("a")) == (1, None)
    assert folder.begin("a", "there") == (trial, options)
    assert folder.attempts("a") == 2


def test_a_folder_or_a_shard_of_it_has_one_driver(folder: SweepFolder) -> None:
    with folder.driver():
        with (
            pytest.raises(RunError, match=r"another `energan sweep` is working on .*--shard"),
            folder.driver(),
        ):
            raise AssertionError
        with (
            folder.driver("1/2"),
            folder.driver("2/2"),
            pytest.raises(RunError, match=r"is working on shard 2/2 of .*--shard"),
            folder.driver("2/2"),
        ):
            raise AssertionError
    with folder.driver():
        pass
