"""Plans, by times and memory that the tests set."""

from collections.abc import Iterator, Sequence
from functools import cache
from itertools import chain
from math import log
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from energan.core import Domain, SettingError
from energan.experiment.settings import Job, load
from energan.io.memory import free_memory
from energan.io.text import size_text
from energan.sweeps import Sweep
from energan.sweeps.costs import Cost, DomainOf, StepTimes, costs_of
from energan.sweeps.plan import (
    OWN,
    SCORING,
    SHARE,
    Machine,
    SweepPlan,
    group_trials,
    machine_of,
    plan,
)
from energan.sweeps.trials import Trial, trials_of

DIGITS = Domain((1, 8, 8), -1.0, 1.0, 10)
GRID = Sweep(
    "grid",
    "",
    "ebgan-digits",
    {
        "model.generator": ([8], [64]),
        "model.encoder": ([4], [32]),
        "model.margin": (1, 2, 3),
    },
    base={"training.steps": 50, "model.pull_away": 0, "engine.precision": "32"},
)
TRIALS = list(trials_of(GRID, fingerprint=lambda data: "d"))
JOB = TRIALS[0].job
CPU = torch.device("cpu")
GB = 10**9


@cache
def known_costs() -> dict[str, Cost]:
    """What a step of the trials costs, which takes longer than to plan them."""
    return costs_of(TRIALS, lambda data: DIGITS)


def machine(gpus: int = 0, cores: int = 2, free: int = 100 * GB) -> Machine:
    return Machine(torch.device("cuda" if gpus else "cpu"), gpus, cores, free, "here")


def steady(job: Job, threads: int) -> float:
    """A step of 0.1 s, whatever is timed."""
    return 0.1


def never(job: Job, threads: int) -> float:
    raise AssertionError("timed in vain")


@pytest.fixture(autouse=True, scope="module")
def _counted_once() -> Iterator[None]:
    known = known_costs()

    def counted(trials: Sequence[Trial], domain_of: DomainOf) -> dict[str, Cost]:
        return {trial.id: known[trial.id] for trial in trials}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("energan.sweeps.plan.costs_of", counted)
        yield


def planned(
    trials: Sequence[Trial] = TRIALS,
    done: frozenset[str] = frozenset(),
    **options: object,
) -> SweepPlan:
    known = {"machine": machine(), "domain_of": lambda data: DIGITS, "timer": steady}
    return plan(trials, set(done), **{**known, **options})  # type: ignore[arg-type]


def record(trial: Trial, seconds: float, **about: object) -> dict[str, object]:
    usual = {"state": "done", "host": "here", "device": "cpu", "threads": 1, "steps": 50}
    return {"id": trial.id, **usual, "seconds": seconds, "scoring_seconds": 2.0, **about}


# --- packages -------------------------------------------------------------------------------------

members = st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 50)), max_size=40)


@given(members, st.integers(0, 400), st.integers(1, 30))
def test_packages_hold_each_trial_once_by_shape_memory_and_order(
    about: list[tuple[str, int]], room: int, most: int
) -> None:
    trials = [Trial(str(i), {}, JOB) for i in range(len(about))]
    of_shape = {key: Cost(key, 1.0, own, 5) for key, own in about}
    costs = {trial.id: of_shape[key] for trial, (key, _) in zip(trials, about, strict=True)}
    packages = group_trials(trials, costs, most, room)
    places = [[int(one.id) for one in part] for part in packages]
    assert sorted(chain.from_iterable(places)) == list(range(len(trials)))
    assert all(part == sorted(part) for part in places)
    assert [part[0] for part in places] == sorted(part[0] for part in places)
    for part in packages:
        assert len({costs[one.id].shape for one in part}) == 1
        if len(part) > 1:
            assert len(part) <= most
            assert costs[part[0].id].memory(len(part)) <= room
    for key, cost in of_shape.items():  # as few as there can be, and even
        group = [one for one in trials if costs[one.id].shape == key]
        sizes = [len(part) for part in packages if costs[part[0].id].shape == key]
        assert len(sizes) == -(-len(group) // min(most, cost.fitting(room)))
        assert max(sizes) - min(sizes) <= 1


def test_a_cohort_is_as_large_as_memory_holds() -> None:
    cost = Cost("a", 1.0, bytes=10, checkpoint_bytes=5)
    assert [cost.fitting(room) for room in (0, 25, 26, 105)] == [1, 2, 2, 10]
    assert cost.memory(3) == 35


def test_24_members_where_20_fit_are_two_times_12() -> None:
    trials = [Trial(str(i), {}, JOB) for i in range(24)]
    costs = dict.fromkeys((trial.id for trial in trials), Cost("a", 1.0, 1, 0))
    assert [len(part) for part in group_trials(trials, costs, 20, 10**9)] == [12, 12]
    assert [len(part) for part in group_trials(trials, costs, 9, 10**9)] == [8, 8, 8]


# --- the plan -------------------------------------------------------------------------------------


@settings(max_examples=25)
@given(
    st.permutations(range(len(TRIALS))),
    st.sets(st.integers(0, len(TRIALS) - 1)),
    st.integers(1, 5),
    st.sampled_from(["auto", "cohort", "apart"]),
    st.sampled_from([0, 2]),
)
def test_a_plan_is_of_what_is_left_and_its_time_is_that_of_the_schedule(
    order: list[int], ended: set[int], processes: int, way: str, gpus: int
) -> None:
    trials = [TRIALS[i] for i in order]
    done = frozenset(TRIALS[i].id for i in ended)
    made = planned(trials, done, processes=processes, together=way, machine=machine(gpus))
    left = [trial for trial in trials if trial.id not in done]
    assert sorted(t.id for p in made.packages for t in p) == sorted(t.id for t in left)
    assert set(made.seconds) == {t.id for t in left}
    for package in made.packages:
        assert len({made.seconds[t.id] for t in package}) == 1
        if len(package) == 1:
            step = (made.seconds[package[0].id] - SCORING) / 50
            assert step == pytest.approx(0.1)
    assert made.total_seconds == pytest.approx(clock(made, processes))
    cohorts = way == "cohort" or (way == "auto" and gpus > 0)
    assert {len(p) for p in made.packages} <= ({1, 2, 3} if cohorts else {1})


def clock(made: SweepPlan, processes: int) -> float:
    """When all is done: processes as a person would follow them, second by second of a list."""
    free = [0.0] * processes
    for package in made.packages:
        first = free.index(min(free))
        free[first] += sum(made.seconds[trial.id] for trial in package)
    return max(free)


@given(st.lists(st.floats(0, 100), max_size=12), st.integers(1, 6))
def test_the_clock_is_between_what_must_be_and_what_can_be(lengths: list[float], n: int) -> None:
    trials = TRIALS[: len(lengths)]
    seconds = {trial.id: length for trial, length in zip(trials, lengths, strict=True)}
    found = SweepPlan([[t] for t in trials], n, 1, trials, machine(), seconds).total_seconds
    least = max([sum(lengths) / n, *lengths], default=0.0)
    assert least - 1e-6 <= found <= sum(lengths) / n + max(lengths, default=0.0) + 1e-6


def test_on_a_gpu_a_cohort_stands_where_its_first_member_stands() -> None:
    mixed = [*TRIALS[::3], *TRIALS[1::3], *TRIALS[2::3]]
    made = planned(mixed, processes=1, machine=machine(1))
    assert [[t.values["model.margin"] for t in p] for p in made.packages] == [[1, 2, 3]] * 4
    assert [p[0].id for p in made.packages] == [t.id for t in TRIALS[::3]]
    assert all(len(p) == 1 for p in planned(mixed, processes=1).packages)


def test_no_process_is_left_without_work_by_cohorts() -> None:
    made = planned(TRIALS[:3], processes=2, together="cohort")
    assert [len(p) for p in made.packages] == [2, 1]


def test_memory_splits_a_cohort() -> None:
    large = TRIALS[-3:]
    tight = machine(1, free=int((known_costs()[large[0].id].memory(2) + OWN) / SHARE) + 100)
    made = planned(large, processes=1, machine=tight)
    assert [len(p) for p in made.packages] == [2, 1]


@settings(max_examples=25)
@given(
    st.integers(1, 5),
    st.sets(st.integers(0, len(TRIALS) - 1)),
    st.sampled_from(["cohort", "apart"]),
    st.integers(1, 3),
)
@pytest.mark.slow
def test_shards_are_apart_and_together_all_whenever_each_begins(
    n: int, ended: set[int], way: str, processes: int
) -> None:
    """Each sees other trials done when it begins; the parts are the same none the less."""
    seen: list[str] = []
    for k in range(1, n + 1):
        done = frozenset(TRIALS[i].id for i in ended) if k % 2 else frozenset()
        made = planned(TRIALS, done, processes=processes, together=way, shard=(k, n))
        seen += [trial.id for trial in made.asked]
        left = [trial.id for package in made.packages for trial in package]
        assert sorted(left) == sorted(t.id for t in made.asked if t.id not in done)
    assert sorted(seen) == sorted(trial.id for trial in TRIALS)


def test_a_cheap_and_a_dear_trial_are_timed_and_those_between_follow() -> None:
    timed: list[Job] = []
    said: list[str] = []

    def timer(job: Job, threads: int) -> float:
        timed.append(job)
        return 1.0 if len(timed) == 1 else 2.0

    made = planned(timer=timer, say=said.append)
    assert said == ["measuring how long a step takes, for 20 s at most"]
    works = [Cost.of("", job, DIGITS).operations for job in timed]
    every = [cost.operations for cost in known_costs().values()]
    assert works == [min(every), max(every)]
    steps = [(seconds - SCORING) / 50 for seconds in made.seconds.values()]
    assert (min(steps), max(steps)) == (pytest.approx(1.0), pytest.approx(2.0))
    assert any(1.01 < step < 1.99 for step in steps)
    assert ("one step", "1 s to 2 s, measured") in made.facts


def test_trials_of_one_shape_are_timed_once() -> None:
    said: list[str] = []
    made = planned(TRIALS[:3], say=said.append)
    assert said == ["measuring how long a step takes, for 10 s at most"]
    assert ("one step", "0.1 s, measured") in made.facts


def test_a_cohorts_step_is_as_long_as_its_members_operations_take() -> None:
    made = planned(TRIALS[:3], machine=machine(1), processes=1)
    assert [len(p) for p in made.packages] == [3]
    assert sum(made.seconds.values()) == pytest.approx(50 * 0.3 + 3 * SCORING)


def test_where_nothing_can_be_timed_the_time_is_not_known() -> None:
    said: list[str] = []

    def broken(job: Job, threads: int) -> float:
        raise SettingError("broken")

    made = planned(timer=broken, say=said.append)
    assert "not measured: broken" in said
    assert made.seconds == {}
    assert "time left  unknown until the first trial is done" in made.text()


def test_records_of_this_machine_beat_a_measurement() -> None:
    ended = TRIALS[::3]
    records = [record(t, 25.0) for t in ended]
    made = planned(TRIALS, frozenset(t.id for t in ended), timer=never, records=records)
    assert ("one step", "0.5 s, as in 4 trials done here") in made.facts
    assert ("scoring", "2 s per trial") in made.facts
    assert list(made.seconds.values()) == pytest.approx([27.0] * 8)  # 50 steps of 0.5 s, scoring 2


@pytest.mark.parametrize(
    "other", [{"host": "there"}, {"threads": 2}, {"device": "cuda:0"}, {"state": "diverged"}]
)
def test_records_of_other_ways_do_not_count(other: dict[str, object]) -> None:
    records = [record(t, 25.0, **other) for t in TRIALS[::3]]
    made = planned(records=records, processes=2, threads=1)
    assert ("one step", "0.1 s, measured") in made.facts


def test_cohorts_in_records_tell_of_all_members_operations() -> None:
    one, two, three = TRIALS[:3]
    # three together take 6 s for 50 steps, so 2 s is the share of each
    records = [record(two, 2.0, cohort=3)]
    made = planned(
        [one, two, three], frozenset([two.id]), records=records, threads=1, timer=never,
    )  # fmt: skip
    assert made.seconds[one.id] == pytest.approx(6.0 + 2.0)  # no less than what was timed


def test_all_done_is_nothing_to_do_and_nothing_to_measure() -> None:
    made = planned(done=frozenset(t.id for t in TRIALS), timer=never)
    assert (made.packages, made.total_seconds, made.seconds) == ([], 0.0, {})
    assert "12 asked for, 12 done, 0 to do" in made.text()


def test_no_trials_are_an_error_that_says_so() -> None:
    with pytest.raises(SettingError, match="no trials"):
        planned([])


def test_a_plan_in_words() -> None:
    text = planned(processes=2, threads=1, together="cohort").text()
    for said in (
        "trials     12 asked for, 0 done, 12 to do\n",
        "training   4 cohorts of 3 trials\n",
        "processes  2 with 1 thread each, on cpu of here\n",
        "one step   0.1 s to 0.3 s, measured\n",
        "scoring    10 s per trial, a guess until one is done here\n",
        "time left  84 s; one trial after the other 3 min",
    ):
        assert said in text
    mixed = planned(TRIALS[:4], together="cohort", processes=1).text()
    assert "training   1 single trial, 1 cohort of 3 trials\n" in mixed
    assert "training   12 single trials\n" in planned().text()
    assert size_text(1.5e9) == "1.5 GB"


# --- processes and memory -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("about", "packages", "processes", "threads", "expected"),
    [
        ({"cores": 8}, 100, None, None, (8, 1)),
        ({"cores": 8}, 3, None, None, (3, 2)),
        ({"cores": 8}, 100, None, 2, (4, 2)),
        ({"cores": 8}, 100, 2, None, (2, 4)),
        ({"cores": 8}, 100, 5, 7, (5, 7)),
        ({"cores": 16, "gpus": 2}, 100, None, None, (2, 8)),
        ({"cores": 16, "gpus": 2}, 1, None, None, (1, 16)),
        ({"cores": 2}, 0, None, None, (1, 2)),
    ],
)
def test_processes_and_threads(
    about: dict[str, int], packages: int, processes: int | None, threads: int | None,
    expected: tuple[int, int],
) -> None:  # fmt: skip
    assert machine(**about).layout(packages, processes, threads) == expected


def test_the_environments_threads_are_those_of_each_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert machine_of(JOB).layout(100, 1, None) == (1, 3)
    assert machine_of(JOB).layout(100, 1, 2) == (1, 2)
    few = Machine(CPU, 0, 8, GB, "here", threads=4)
    assert few.layout(100, None, None) == (2, 4)


def test_processes_share_the_memory_they_share() -> None:
    assert machine(free=10 * GB).room(4) == int(SHARE * 10 * GB / 4) - OWN
    assert machine(gpus=2, free=10 * GB).room(2) == int(SHARE * 10 * GB) - OWN
    assert machine(gpus=2, free=10 * GB).room(4) == int(SHARE * 5 * GB) - OWN


def test_no_more_processes_than_hold_the_largest_trial() -> None:
    tight = machine(cores=8, free=int(2.01 * OWN / SHARE))  # two processes, and little more
    made = planned(machine=tight)
    assert made.processes == 2
    assert planned(machine=tight, processes=8).processes == 8  # as asked for


def test_free_memory_is_the_least_that_is_told(tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/meminfo").write_text("MemTotal: 9 kB\nMemAvailable:    5000 kB\n")
    assert free_memory(tmp_path) == 5000 * 1024
    group = tmp_path / "sys/fs/cgroup"
    group.mkdir(parents=True)
    (group / "memory.current").write_text("1000000\n")
    (group / "memory.max").write_text("max\n")
    assert free_memory(tmp_path) == 5000 * 1024
    (group / "memory.max").write_text("3000000\n")
    assert free_memory(tmp_path) == 2_000_000


def test_memory_counts_every_copy_of_the_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("energan.sweeps.costs.count_step", lambda *asked: (0.0, 1000.0))

    def cost(**training: object) -> Cost:
        return Cost.of("", job.changed({"training": training}), DIGITS)

    job = JOB.changed({"engine": {"precision": "32"}})
    g, d = 100 * 8 + 2 * 8 + 8 * 64 + 64, 64 * 4 + 4 + 4 * 64 + 64  # with batch norm's two
    n = g + d
    # weights, gradients, averages; two states, as Adam keeps them
    assert cost(ema=0.9).bytes == 4 * 5 * n + 1000
    assert cost(ema=0.9).checkpoint_bytes == 4 * 4 * n
    assert cost(ema=0).bytes == 4 * 4 * n + 1000
    job = job.changed({"engine": {"precision": "64"}})
    assert cost(ema=0.9).bytes == 8 * 5 * n + 2000


# --- costs and speeds -----------------------------------------------------------------------------


@settings(max_examples=15)
@given(
    st.lists(st.integers(1, 40), min_size=1, max_size=3),
    st.lists(st.integers(1, 40), min_size=1, max_size=3),
)
def test_operations_of_dense_networks_are_two_for_each_weight_and_pass(
    generator: list[int], encoder: list[int]
) -> None:
    job = load("ebgan-digits").changed(
        {"model": {"generator": generator, "encoder": encoder, "pull_away": 0}}
    )
    g = [a * b for a, b in zip([100, *generator], [*generator, 64], strict=True)]
    d = [a * b for a, b in zip([64, *encoder], [*encoder, 64], strict=True)]
    # D on real and on fake: forward, gradient of the weights, of the input but at the first layer;
    # then through D to G: forward, gradient of the input; G: forward, weights, input
    passes = 2 * (3 * sum(d) - d[0]) + 2 * sum(d) + (3 * sum(g) - g[0])
    assert Cost.of("", job, DIGITS).operations == 2 * 100 * passes


@pytest.mark.parametrize(
    ("recipe", "domain"),
    [
        ("igebm-mnist", Domain((1, 28, 28), 0.0, 1.0, 10)),
        ("cgan-mnist", Domain((1, 28, 28), 0.0, 1.0, 10)),
        ("ebgan-ln-mnist-100", Domain((1, 28, 28), 0.0, 1.0, 10)),
        ("ebgan-pt-celeba", Domain((3, 64, 64), -1.0, 1.0)),
        ("pix2pix-facades", Domain((3, 256, 256), -1.0, 1.0, condition_shape=(3, 256, 256))),
    ],
)
def test_steps_of_every_kind_are_counted_and_grow_with_the_batch(
    recipe: str, domain: Domain, monkeypatch: pytest.MonkeyPatch
) -> None:
    from energan.training import step_cost

    def guessed(*asked: object) -> object:
        raise AssertionError("guessed")

    monkeypatch.setattr(step_cost, "guess_step", guessed)
    job = load(recipe)

    def cost(size: int) -> Cost:
        return Cost.of("", job.changed({"training": {"batch_size": size}}), domain)

    small, large = cost(20), cost(40)
    assert large.operations > 1.4 * small.operations > 0
    assert large.bytes > small.bytes > small.checkpoint_bytes  # of the weights, at most


@given(st.floats(-3, 3), st.floats(0.1, 2), st.floats(6, 9), st.floats(0.1, 3), st.floats(0, 1))
def test_a_power_of_the_operations_is_met_between_what_was_timed(
    scale: float, power: float, low: float, wide: float, share: float
) -> None:
    def seconds(work: float) -> float:
        return float(10**scale * (work / 1e6) ** power)

    a, b = 10**low, 10 ** (low + wide)
    step = StepTimes([(a, seconds(a)), (b, seconds(b))])
    between = a ** (1 - share) * b**share
    assert log(step(between)) == pytest.approx(log(seconds(between)), abs=1e-6)
    assert step(10 * b) == pytest.approx(10 * seconds(b))
    assert step(a / 10) == pytest.approx(seconds(a))
