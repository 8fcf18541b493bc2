"""Plans, by times and memory that the tests set."""

from collections.abc import Callable, Sequence
from itertools import chain
from math import log
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from energan.core import Domain, SettingError
from energan.experiment.build import build
from energan.experiment.settings import Job, load
from energan.sweep import Sweep
from energan.sweep.costing import Cost, Costs
from energan.sweep.counting import META, counted
from energan.sweep.estimating import makespan
from energan.sweep.grouping import Known, most_of, packages_of, split, together
from energan.sweep.machine import OWN, SHARE, Machine, checkpoint_bytes, free_memory, member_bytes
from energan.sweep.measuring import Unmeasured
from energan.sweep.planning import SCORING, Plan, plan
from energan.sweep.speeds import Speeds, Timing, covered
from energan.sweep.telling import size
from energan.sweep.trials import Trial, trials_of

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
    base={"training.steps": 50, "model.pull_away": 0},
)
TRIALS = list(trials_of(GRID, fingerprint=lambda data: "d"))
JOB = TRIALS[0].job
COSTS = Costs()
GB = 10**9


def machine(gpus: int = 0, cores: int = 2, free: int = 100 * GB) -> Machine:
    return Machine(torch.device("cuda" if gpus else "cpu"), gpus, cores, free, "here")


def planned(
    trials: Sequence[Trial] = TRIALS,
    done: frozenset[str] = frozenset(),
    seconds: Callable[[Sequence[Job], float], float] = lambda jobs, left: 0.1 * len(jobs),
    **options: object,
) -> Plan:
    known = {"machine": machine(), "domain": lambda data: DIGITS, "timer": seconds, "costs": COSTS}
    return plan(trials, set(done), **{**known, **options})  # type: ignore[arg-type]


def record(trial: Trial, seconds: float, **about: object) -> dict[str, object]:
    usual = {"state": "done", "host": "here", "device": "cpu", "threads": 1, "steps": 50}
    return {"id": trial.id, **usual, "seconds": seconds, "scoring_seconds": 2.0, **about}


# --- packages -------------------------------------------------------------------------------------

members = st.lists(
    st.tuples(st.sampled_from("abc"), st.integers(1, 50), st.integers(0, 20)), max_size=40
).map(
    lambda each: [
        Known(Trial(str(i), {}, JOB), key, 1.0, own, beside)
        for i, (key, own, beside) in enumerate(each)
    ]
)


@given(members, st.integers(0, 400), st.integers(1, 30), st.sampled_from(["all", "none", "even"]))
def test_packages_hold_each_trial_once_by_shape_memory_and_order(
    known: list[Known], room: int, busy: int, gains: str
) -> None:
    worth = {"all": lambda part: True, "none": None, "even": lambda part: len(part) % 2 == 0}
    packages = packages_of(known, room, busy, worth[gains])
    place = {one.trial.id: i for i, one in enumerate(known)}
    places = [[place[one.trial.id] for one in part] for part in packages]
    assert sorted(chain.from_iterable(places)) == list(range(len(known)))
    assert all(part == sorted(part) for part in places)
    assert [part[0] for part in places] == sorted(part[0] for part in places)
    for part in packages:
        assert len({one.key for one in part}) == 1
        if len(part) > 1:
            assert gains != "none"
            assert len(part) <= busy
            assert sum(k.bytes for k in part) + max(k.beside for k in part) <= room
    if gains == "all":  # no package that memory lets one trial more into, but for evenness
        for group in together(known):
            parts = [part for part in packages if part[0].key == group[0].key]
            assert len(parts) == -(-len(group) // most_of(group, room, busy))


@given(st.integers(0, 200), st.integers(1, 60))
def test_a_split_is_even_and_of_as_few_parts_as_there_can_be(count: int, most: int) -> None:
    parts = split(list(range(count)), most)
    assert list(chain.from_iterable(parts)) == list(range(count))
    sizes = [len(part) for part in parts]
    assert len(parts) == -(-count // most)
    if parts:
        assert max(sizes) - min(sizes) <= 1
        assert max(sizes) <= most


def test_24_members_where_20_fit_are_two_times_12() -> None:
    assert [len(part) for part in split(list(range(24)), 20)] == [12, 12]
    assert [len(part) for part in split(list(range(24)), 9)] == [8, 8, 8]


# --- the plan -------------------------------------------------------------------------------------


@settings(max_examples=25)
@given(
    st.permutations(range(len(TRIALS))),
    st.sets(st.integers(0, len(TRIALS) - 1)),
    st.integers(1, 5),
    st.floats(0.2, 1.5),
    st.sampled_from(["auto", "cohort", "apart"]),
)
def test_a_plan_is_of_what_is_left_and_its_time_is_that_of_the_schedule(
    order: list[int], ended: set[int], processes: int, more: float, way: str
) -> None:
    trials = [TRIALS[i] for i in order]
    done = frozenset(TRIALS[i].id for i in ended)

    def seconds(jobs: Sequence[Job], left: float) -> float:
        return 0.1 * (1 + more * (len(jobs) - 1))

    made = planned(trials, done, seconds, processes=processes, together=way)
    left = [trial for trial in trials if trial.id not in done]
    assert sorted(t.id for p in made.packages for t in p) == sorted(t.id for t in left)
    assert set(made.seconds) == {t.id for t in left}
    for package in made.packages:
        step = 0.1 * (1 + more * (len(package) - 1))
        whole = 50 * step + SCORING * len(package)
        assert [made.seconds[t.id] for t in package] == pytest.approx(
            [whole / len(package)] * len(package)
        )
    assert made.total_seconds == pytest.approx(clock(made, processes))
    assert {len(p) for p in made.packages} <= ({1} if way == "apart" else {1, 2, 3})
    if way == "auto":  # only where a member is faster by 5 %
        for package in made.packages:
            members = len(package)
            assert members == 1 or members / (1 + more * (members - 1)) >= 1.049


def clock(made: Plan, processes: int) -> float:
    """When all is done: processes as a person would follow them, second by second of a list."""
    free = [0.0] * processes
    for package in made.packages:
        first = free.index(min(free))
        free[first] += sum(made.seconds[trial.id] for trial in package)
    return max(free)


@given(st.lists(st.floats(0, 100), max_size=30), st.integers(1, 6))
def test_the_clock_is_between_what_must_be_and_what_can_be(lengths: list[float], n: int) -> None:
    found = makespan(lengths, n)
    least = max([sum(lengths) / n, *lengths], default=0.0)
    assert least - 1e-6 <= found <= sum(lengths) / n + max(lengths, default=0.0) + 1e-6


def test_a_cohort_stands_where_its_first_member_stands() -> None:
    mixed = [*TRIALS[::3], *TRIALS[1::3], *TRIALS[2::3]]
    made = planned(mixed, seconds=lambda jobs, left: 0.1, processes=1)
    assert [[t.values["model.margin"] for t in p] for p in made.packages] == [[1, 2, 3]] * 4
    assert [p[0].id for p in made.packages] == [t.id for t in TRIALS[::3]]


def test_what_gains_at_one_end_only_is_together_there_and_apart_at_the_other() -> None:
    small = min(COSTS.of(t.job, DIGITS).work(t.job) for t in TRIALS)

    def seconds(jobs: Sequence[Job], left: float) -> float:
        work = COSTS.of(jobs[0], DIGITS).work(jobs[0])
        return 0.1 if work < 1.5 * small else 0.1 * len(jobs)

    made = planned(seconds=seconds, processes=1)
    sizes = {tuple(t.job.settings.model.generator): len(p) for p in made.packages for t in p}
    assert [len(made.packages[0]), len(made.packages[-1])] == [3, 1]
    assert sizes[(64,)] == 1


def test_no_process_is_left_without_work_by_cohorts() -> None:
    same = TRIALS[:3]
    made = planned(same, seconds=lambda jobs, left: 0.1, processes=2)
    assert [len(p) for p in made.packages] == [2, 1]


def test_cohorts_that_cannot_be_timed_are_not_made() -> None:
    said: list[str] = []

    def seconds(jobs: Sequence[Job], left: float) -> float:
        if len(jobs) > 1:
            raise Unmeasured("no member axis")
        return 0.1

    made = planned(seconds=seconds, say=said.append)
    assert all(len(p) == 1 for p in made.packages)
    assert "not measured: no member axis" in said


def test_where_nothing_can_be_timed_a_guess_is_told() -> None:
    def seconds(jobs: Sequence[Job], left: float) -> float:
        raise Unmeasured("broken")

    made = planned(seconds=seconds)
    assert made.total_seconds > 0
    assert any("guess" in note and "measured" in note for note in made.notes)


def test_records_of_this_machine_beat_a_measurement() -> None:
    def never(jobs: Sequence[Job], left: float) -> float:
        raise AssertionError("timed what is known")

    ended = TRIALS[::3]
    records = [record(t, 25.0) for t in ended]
    made = planned(TRIALS, frozenset(t.id for t in ended), never, records=records, together="apart")
    assert made.measured == []
    assert made.recorded == 4
    assert list(made.seconds.values()) == pytest.approx([27.0] * 8)  # 50 steps of 0.5 s, scoring 2


@pytest.mark.parametrize(
    "other", [{"host": "there"}, {"threads": 2}, {"device": "cuda:0"}, {"state": "diverged"}]
)
def test_records_of_other_ways_do_not_count(other: dict[str, object]) -> None:
    records = [record(t, 25.0, **other) for t in TRIALS[::3]]
    made = planned(records=records, together="apart", processes=2, threads=1)
    assert made.recorded == 0
    assert made.measured


def test_cohorts_in_records_tell_of_cohorts() -> None:
    one, two, three = TRIALS[:3]
    # alone 5 s for 50 steps; three together 6 s, so 2 s is the share of each
    records = [record(one, 5.0), record(two, 2.0, cohort=3)]
    done = frozenset([one.id, two.id])
    made = planned([one, two, three], done, records=records, threads=1)
    assert made.estimator.speeds.gain(made.known[0][0].work, 3) == pytest.approx(2.5)


def test_all_done_is_nothing_to_do_and_nothing_to_measure() -> None:
    def never(jobs: Sequence[Job], left: float) -> float:
        raise AssertionError("timed in vain")

    made = planned(done=frozenset(t.id for t in TRIALS), seconds=never)
    assert (made.packages, made.total_seconds, made.to_do) == ([], 0.0, 0)
    assert "12 asked for, 12 done, 0 to do" in made.text()


def test_no_trials_are_an_error_that_says_so() -> None:
    with pytest.raises(SettingError, match="no trials"):
        planned([])


def test_a_plan_in_words() -> None:
    text = planned(seconds=lambda jobs, left: 0.1, processes=2, threads=1).text()
    for said in ("12 to do", "4 cohorts of 3", "2 with 1 thread each", "2.94 times", "a guess"):
        assert said in text
    assert size(1.5e9) == "1.5 GB"


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


def test_processes_share_the_memory_they_share() -> None:
    assert machine(free=10 * GB).room(4) == int(SHARE * 10 * GB / 4) - OWN
    assert machine(gpus=2, free=10 * GB).room(2) == int(SHARE * 10 * GB) - OWN
    assert machine(gpus=2, free=10 * GB).room(4) == int(SHARE * 5 * GB) - OWN


def test_no_more_processes_than_hold_the_largest_trial() -> None:
    tight = machine(cores=8, free=int(2.01 * OWN / SHARE))  # two processes, and little more
    made = planned(machine=tight)
    assert made.processes == 2
    assert any("2 processes of 8" in note for note in made.notes)
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


def test_memory_counts_every_copy_of_the_weights() -> None:
    cost = Cost(0.0, 1000.0, energy=10, sampler=100)
    job = JOB.changed(
        {
            "engine": {"precision": "32"},
            "training": {"ema": 0.9},
            "model": {"energy_optimiser": {"kind": "sgd"}},
        }
    )
    # weights, gradients, averages of 110; two states of Adam's for 100, none of plain SGD's
    assert member_bytes(job, cost, torch.device("cpu")) == 4 * (3 * 110 + 200) + 1000
    assert checkpoint_bytes(job, cost) == 4 * (2 * 110 + 200)
    wide = job.changed({"engine": {"precision": "64"}})
    assert member_bytes(wide, cost, torch.device("cpu")) == 8 * (3 * 110 + 200) + 2000
    bare = job.changed({"training": {"ema": 0}})
    assert member_bytes(bare, cost, torch.device("cpu")) == 4 * (2 * 110 + 200) + 1000


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
    assert Costs().of(job, DIGITS).operations == 2 * 100 * passes


def test_a_pair_costs_the_sum_of_its_networks() -> None:
    """What is added up is what counting the pair itself gives."""
    costs = Costs()
    for job in GRID.jobs():
        found = costs.of(job, DIGITS)
        with META:
            model = build(job, DIGITS, 0)
        assert found.operations == counted(model, DIGITS, 100)[0]
        assert found.energy + found.sampler == sum(
            p.numel() for n in (model.energy, model.sampler) for p in n.parameters()
        )


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
    from energan.sweep import counting

    def guessed(*asked: object) -> object:
        raise AssertionError("guessed")

    monkeypatch.setattr(counting, "guessed", guessed)
    job = load(recipe)
    small, large = (
        Costs().of(job.changed({"training": {"batch_size": n}}), domain) for n in (20, 40)
    )
    assert large.operations > 1.4 * small.operations > 0
    assert large.activations > 1.4 * small.activations > 0


@given(st.floats(1e-4, 10), st.floats(0.02, 2), st.integers(2, 30), st.floats(6, 12))
def test_a_cohort_of_any_size_lies_on_the_line_through_what_was_timed(
    one: float, more: float, timed: int, place: float
) -> None:
    work = 10.0**place
    speeds = Speeds([Timing(work, 1, one), Timing(work, timed, one * (1 + more * (timed - 1)))])
    for members in (1, 2, timed, 50):
        assert speeds.step(work, members) == pytest.approx(one * (1 + more * (members - 1)))
        assert speeds.gain(work, members) == pytest.approx(members / (1 + more * (members - 1)))


@given(st.floats(-3, 3), st.floats(0.1, 2), st.floats(6, 9), st.floats(0.1, 3), st.floats(0, 1))
def test_a_power_of_the_operations_is_met_between_what_was_timed(
    scale: float, power: float, low: float, wide: float, share: float
) -> None:
    def seconds(work: float) -> float:
        return float(10**scale * (work / 1e6) ** power)

    a, b = 10**low, 10 ** (low + wide)
    speeds = Speeds([Timing(a, 1, seconds(a)), Timing(b, 1, seconds(b))])
    between = a ** (1 - share) * b**share
    assert log(speeds.step(between, 1)) == pytest.approx(log(seconds(between)), abs=1e-6)
    assert speeds.step(10 * b, 1) == pytest.approx(10 * seconds(b))
    assert speeds.step(a / 10, 1) == pytest.approx(seconds(a))


def test_near_timings_cover_and_others_do_not() -> None:
    timings = [Timing(100.0, 1, 1.0), Timing(900.0, 4, 1.0)]
    assert covered(timings, 140.0, False)
    assert not covered(timings, 160.0, False)
    assert not covered(timings, 100.0, True)
    assert covered(timings, 700.0, True)
