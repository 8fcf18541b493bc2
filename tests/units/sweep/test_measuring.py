"""A few steps, timed in processes of their own."""

from collections.abc import Iterator, Sequence

import pytest
import torch

from energan.core import Domain
from energan.experiment.settings import Job, load
from energan.sweep import Sweep
from energan.sweep.costing import Costs
from energan.sweep.knowing import Knowing
from energan.sweep.machine import Machine
from energan.sweep.measuring import Bench, Stand, Unmeasured, read, written
from energan.sweep.probing import ON_CPU, probes, timed
from energan.sweep.speeds import Timing
from energan.sweep.trials import trials_of

DIGITS = Domain((1, 8, 8), -1.0, 1.0, 10)
TINY = {"generator": [16], "encoder": [8], "margin": 2}
HERE = Machine(torch.device("cpu"), 0, 2, 10**11, "here")
SWEEP = Sweep(
    "widths",
    "",
    "ebgan-digits",
    {"model.generator": ([8], [16], [32], [64], [128], [256]), "model.margin": (1, 2, 3, 4, 5, 6)},
)


@pytest.fixture(scope="module")
def jobs() -> list[Job]:
    job = load("ebgan-digits").changed({"model": TINY})
    return [job, job.changed({"model": {"margin": 4}})]


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    with Bench(2, 1) as running:
        yield running


def test_trials_alone_and_together_are_timed_in_processes_side_by_side(
    bench: Bench, jobs: list[Job]
) -> None:
    assert bench(jobs[:1], 0.5) > 0
    assert bench(jobs, 0.5) > 0
    assert len({p.pid for p in bench._running}) == 2
    assert all(p.poll() is None for p in bench._running)


def test_what_cannot_be_timed_is_an_error_and_the_next_is_timed(
    bench: Bench, jobs: list[Job]
) -> None:
    wide = jobs[0].changed({"model": {"generator": [9]}})
    with pytest.raises(Unmeasured, match="shape"):
        bench([jobs[0], wide], 0.5)
    assert bench(jobs[:1], 0.1) > 0


def test_a_process_that_dies_is_told_and_replaced(bench: Bench, jobs: list[Job]) -> None:
    bench(jobs[:1], 0.1)
    bench._running[0].kill()
    bench._running[0].wait()
    with pytest.raises(Unmeasured, match="ended"):
        bench(jobs[:1], 0.1)
    assert bench(jobs[:1], 0.1) > 0


def test_a_job_goes_through_json(jobs: list[Job]) -> None:
    for job in (jobs[1], load("ebgan-ln-mnist-100"), load("gan-relu-mnist").scaled("1/7")):
        again = read(written(job))
        assert (again.model, again.settings) == (job.model, job.settings)


def test_what_is_timed_trains(jobs: list[Job]) -> None:
    stand = Stand()
    threads = torch.get_num_threads()
    assert stand.answer({"jobs": [written(job) for job in jobs], "threads": threads})["seconds"] > 0
    assert stand.loop is not None
    assert (stand.loop.members, stand.loop.step) == (2, 2)
    assert stand.answer({"steps": 3})["seconds"] > 0
    assert stand.loop.step == 5
    assert "error" in stand.answer({"jobs": [{"model": "none", "settings": {}}], "threads": 1})


# --- which, and for how long ----------------------------------------------------------------------

KNOW = Knowing(HERE, lambda data: DIGITS, Costs())
KNOWN = [KNOW(trial) for trial in trials_of(SWEEP, fingerprint=lambda data: "d")]


def test_a_handful_spans_the_cost_of_all() -> None:
    found = probes(KNOWN, HERE, 2, 18)
    alone = [part[0].work for part in found if len(part) == 1]
    works = sorted({one.work for one in KNOWN})
    assert sorted(alone) == [works[i] for i in (0, 2, 3, 5)]
    assert alone[:2] == [works[0], works[-1]]  # the ends first
    assert {len(part) for part in found} == {1, ON_CPU}
    assert all(len({one.key for one in part}) == 1 for part in found)


def test_cohorts_are_timed_where_they_can_be_and_a_gpu_takes_whole_ones() -> None:
    assert all(len(part) == 1 for part in probes(KNOWN, HERE, 2, 1))
    gpu = Machine(torch.device("cuda"), 1, 2, 10**11, "here")
    assert {len(part) for part in probes(KNOWN, gpu, 1, 36)} == {1, 6}
    assert probes(KNOWN[:1], HERE, 1, 36) == [KNOWN[:1]]
    full = Machine(HERE.device, 0, 2, 0, "here")
    assert all(len(part) == 1 for part in probes(KNOWN, full, 2, 18))


def test_measuring_stops_when_its_seconds_are_spent() -> None:
    now = [0.0]
    shares: list[float] = []

    def timer(jobs: Sequence[Job], seconds: float) -> float:
        shares.append(seconds)
        now[0] += 20.0
        return 0.25

    found = timed(KNOWN, [], HERE, 2, 18, timer, lambda text: None, lambda: now[0])
    assert len(found) == 3  # of 46 s: at 0, 20 and 40
    assert sum(seconds for seconds in shares) <= 46.0
    assert [t.members for t in found] == [1, ON_CPU, 1]


def test_what_is_covered_is_not_timed_again() -> None:
    said: list[str] = []
    timings = [Timing(one.work, n, 1.0) for one in KNOWN for n in (1, 4)]

    def timer(jobs: Sequence[Job], seconds: float) -> float:
        raise AssertionError

    assert timed(KNOWN, timings, HERE, 2, 18, timer, said.append) == []
    assert said == []
