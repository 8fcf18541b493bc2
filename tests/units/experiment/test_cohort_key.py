"""Which jobs may train as one program: equal keys, where a loop of both can be made."""

from collections import Counter
from itertools import combinations
from typing import Any

import pytest

from energan.core import Domain, SettingError
from energan.experiment.build import build, loop_of
from energan.experiment.compatibility import check_jobs, cohort_key
from energan.experiment.settings import Job, load
from energan.sweeps import SWEEPS
from energan.training.device import EngineSettings, choose
from support.helpers import small_data

DIGITS = Domain((1, 32, 32), -1.0, 1.0, classes=10)


@pytest.mark.parametrize(
    ("sweep", "keys", "members"),
    [("gan-grid", 256, 24), ("ebgan-grid", 256, 2), ("margin-sweep", 1, 8)],
)
def test_the_grids_of_the_paper(sweep: str, keys: int, members: int) -> None:
    found = Counter(cohort_key(job, DIGITS) for job in SWEEPS[sweep].jobs())
    assert list(found.values()) == [members] * keys


BASE: dict[str, Any] = {
    "model": {"generator": [6], "encoder": [5], "pull_away": 0.1},
    "training": {"steps": 2, "batch_size": 4},
}
CHANGES: list[dict[str, Any]] = [
    {},
    {"seed": 1, "model": {"dropout": 0.5, "margin": "linear(3, 1, 5)", "discriminator_scale": 1}},
    {"model": {"energy_optimiser": {"kind": "sgd", "lr": 1, "momentum": 0.5, "clip": 1}}},
    {"output": {"log_every": 7}},
    {"model": {"pull_away": 0}},
    {"model": {"generator": [7]}},
    {"model": {"generator": [6, 6]}},
    {"model": {"reduction": "sum"}},
    {"model": {"prior": "uniform"}},
    {"model": {"norm": False}},
    {"model": {"loss": "square-square"}},
    {"model": {"energy_steps": 2}},
    {"training": {"steps": 3}},
    {"training": {"on_divergence": "rollback"}},
    {"engine": {"precision": "64"}},
    {"data": {"pad": 9}},
]


def fits(a: Job, b: Job) -> bool:
    """Whether one loop of both can be made, by making it."""
    domain = Domain((1, 8, 8), -1.0, 1.0, classes=10)
    try:
        check_jobs([a, b])
        built = [build(job, domain, job.settings.seed) for job in (a, b)]
        engine = choose(EngineSettings(device="cpu", precision="32", threads=1), switches=False)
        loop_of(built, a.settings.training, small_data(domain), engine, [0, 1])
    except SettingError:
        return False
    return True


def test_keys_are_equal_exactly_where_a_program_can_be_made() -> None:
    base = load(None, "ebgan").changed(BASE)
    jobs = [base.changed(change) for change in CHANGES]
    keys = [cohort_key(job, Domain((1, 8, 8), -1.0, 1.0, classes=10)) for job in jobs]
    for i, j in combinations(range(len(jobs)), 2):
        assert (keys[i] == keys[j]) == fits(jobs[i], jobs[j]), (CHANGES[i], CHANGES[j])
    assert len(set(keys[:4])) == 1


def test_what_takes_no_member_axis_goes_with_no_other() -> None:
    job = load("ebgan-blog").changed({"model": {"pull_away": 0.2}})
    other = job.changed({"seed": 1})
    assert cohort_key(job, DIGITS) == cohort_key(job, DIGITS)
    assert cohort_key(job, DIGITS) != cohort_key(other, DIGITS)
    chains = [load("igebm-ring").changed({"seed": seed}) for seed in (0, 1)]
    assert len({cohort_key(job, Domain((2,))) for job in chains}) == 2
    streamed = [
        load("ebgan-mnist").changed({"seed": seed, "data": {"storage": "stream"}})
        for seed in (0, 1)
    ]
    assert len({cohort_key(job, DIGITS) for job in streamed}) == 2
