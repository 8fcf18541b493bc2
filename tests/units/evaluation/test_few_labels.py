"""Errors over seeds: which runs are one system, which are pairs, what is published."""

from statistics import mean, stdev
from types import SimpleNamespace
from typing import Any

import pytest

from energan.evaluation import few_labels
from energan.evaluation.classification import ClassificationScores
from energan.experiment.settings import load


def made(
    model: str, seed: int, error: float, *, source: str = "mnist", labelled: int | None = 100,
    part: str = "test", sha256: str = "a", trained_on: str = "b", step: int = 10,
    asked: str = "last",
) -> Any:  # fmt: skip
    data = {"source": source, "labelled": labelled}
    job = load(None, model).changed({"seed": seed, "data": data})
    config = {"resolved": {"precision": "32", "data": {"fingerprint": trained_on}}}
    run = SimpleNamespace(
        job=job, step=step, asked=asked, weights="raw", path=f"{model}-{seed}", config=config
    )
    events = {"source": source, "sha256": sha256}
    return run, ClassificationScores({"error": error, "part": part, "data": events}, [])


def test_systems_are_told_apart_by_all_but_the_seed() -> None:
    runs = [made("ladder", s, e) for s, e in ((2, 0.03), (0, 0.01), (1, 0.02))]
    runs += [made("ebgan_ln", 0, 0.04), made("ladder", 0, 0.5, labelled=200)]
    first, second, third = few_labels.group_systems(runs)
    assert (first.name, second.name, third.name) == ("ladder #1", "ebgan_ln", "ladder #2")
    assert first.seeds == (0, 1, 2)
    assert first.errors == (0.01, 0.02, 0.03)
    assert first.mean == pytest.approx(mean(first.errors))
    assert first.std == pytest.approx(stdev(first.errors))
    assert second.std is None
    assert third.labelled == 200


def test_a_seed_that_is_there_twice_counts_once() -> None:
    (system,) = few_labels.group_systems([made("ladder", 0, 0.1), made("ladder", 0, 0.2)])
    assert system.errors == (0.1,)


def test_differences_are_of_common_seeds_on_the_same_events() -> None:
    ladder = [made("ladder", s, e) for s, e in enumerate((0.10, 0.20, 0.30))]
    other = [made("ebgan_ln", s, e) for s, e in ((1, 0.15), (2, 0.27), (7, 0.9))]
    (found,) = few_labels.compare_systems(few_labels.group_systems([*ladder, *other]))
    assert (found.a, found.b, found.seeds) == ("ladder", "ebgan_ln", (1, 2))
    assert found.found.mean == pytest.approx((-0.05 - 0.03) / 2)
    elsewhere = [made("ebgan_ln", s, 0.1, sha256="b") for s in range(3)]
    assert few_labels.compare_systems(few_labels.group_systems([*ladder, *elsewhere])) == []


@pytest.mark.parametrize(("labelled", "best"), [(100, 1.04), (200, 0.99), (1000, 0.89)])
def test_published_figures_are_those_of_as_many_labels(labelled: int, best: float) -> None:
    (system,) = few_labels.group_systems([made("ladder", 0, 0.01, labelled=labelled)])
    rows = few_labels.published_errors(system)
    assert min(row["value"] for row in rows) == best


@pytest.mark.parametrize(
    "changes", [{"labelled": 300}, {"labelled": None}, {"source": "digits"}, {"part": "held-out"}]
)
def test_nothing_is_published_of_other_data(changes: dict[str, Any]) -> None:
    (system,) = few_labels.group_systems([made("ladder", 0, 0.01, **changes)])
    assert few_labels.published_errors(system) == []


def test_the_best_of_each_run_are_one_system_whatever_their_steps() -> None:
    runs = [made("ladder", s, 0.1, step=10 * s, asked="best") for s in (1, 2, 3)]
    (found,) = few_labels.group_systems(runs)
    assert found.seeds == (1, 2, 3)
    apart = [made("ladder", s, 0.1, step=10 * s) for s in (1, 2)]
    assert len(few_labels.group_systems(apart)) == 2


def test_no_pairs_of_runs_that_learnt_from_other_events() -> None:
    alike = [made("ladder", 0, 0.1), made("ebgan_ln", 0, 0.2)]
    assert len(few_labels.compare_systems(few_labels.group_systems(alike))) == 1
    apart = [made("ladder", 0, 0.1), made("ebgan_ln", 0, 0.2, trained_on="c")]
    assert few_labels.compare_systems(few_labels.group_systems(apart)) == []


def test_published_figures_stay_with_other_data_beside() -> None:
    runs = [made("ladder", 0, 0.1), made("ladder", 0, 0.1, source="digits", part="held-out")]
    for order in (runs, runs[::-1]):
        assert few_labels.record(few_labels.group_systems(order))["published_percent"]["100"]
