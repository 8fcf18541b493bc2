"""Training for so many minutes: how many steps fit, and what is scaled."""

import time
from fractions import Fraction
from functools import partial
from typing import Any

import pytest
import torch

from energan.core import Domain, SettingError
from energan.data import open_data
from energan.experiment import time_budget
from energan.experiment.build import build, cohort_of
from energan.experiment.callbacks.scores import Score
from energan.experiment.settings import Job, load
from energan.experiment.time_budget import RunTimes, fit_minutes, measure
from energan.io.console import silent
from energan.training.device import Device
from energan.training.distributed import ALONE
from energan.training.step_cost import count_step, time_phases

CPU = Device(torch.device("cpu"), "32", 1)


def small(**changes: dict[str, Any]) -> Job:
    model = {"generator": [8], "encoder": [32], "latent": 4}
    output = {"tensorboard": False, "log_every": 5, "sample_every": 50, "checkpoint_every": 20}
    return load("ebgan-digits").changed({"model": model, "output": output, **changes})


def fit(job: Job, minutes: float, monkeypatch: pytest.MonkeyPatch, step: float = 2.0) -> Job:
    """The job for so many minutes, as if a step took so many seconds and nothing else any."""
    monkeypatch.setattr(time_budget, "measure", lambda *_: RunTimes((step,), 0.0, 0.0))
    data = open_data(job.settings.data)
    return fit_minutes([job], minutes, data, CPU, ALONE, None, silent)[0]


@pytest.mark.parametrize("estimating", [0, 500])
@pytest.mark.parametrize("seconds", [10.0, 60.0, 700.0, 5000.0])
def test_as_many_steps_fit_as_their_times_add_up_to(seconds: float, estimating: int) -> None:
    times = RunTimes(step=(0.5,), beside=0.1, ends=4.0)

    def lasts(steps: int) -> float:
        """One after the other: the margin's estimate, the steps, what is written beside them."""
        return 4.0 + 0.5 * min(steps, estimating) + sum(0.5 + 0.1 for _ in range(steps))

    found = times.steps_within(seconds, one_phase, estimating)
    assert lasts(found) <= seconds + 1e-6
    assert lasts(found + 1) > seconds - 1e-6


def one_phase(steps: int) -> list[int]:
    return [steps]


def test_nothing_fits_into_less_than_the_ends_take() -> None:
    times = RunTimes((0.5,), 0.1, 4.0)
    assert times.steps_within(3.0, one_phase) == times.steps_within(3.0, one_phase, 500) == 0


@pytest.mark.parametrize(
    ("warm_up", "right"),
    [
        (None, 133),  # three of four steps are before the warm-up's end: 300 / (0.75 + 0.25 · 6)
        (100, 133),  # one that was asked for is not scaled: 100 + 200 / 6
        (900, 300),
    ],
)
def test_steps_of_each_phase_count_as_long_as_they_take(warm_up: int | None, right: int) -> None:
    """Steps of 1 s up to the warm-up's end and of 6 s after it, in 300 s."""
    job = load("energymatching-ring")
    assert (job.settings.model.phases, job.settings.training.steps) == ((3000,), 4000)
    if warm_up is not None:
        job = job.changed({"model": {"warm_up": warm_up}})
    times = RunTimes((1.0, 6.0), 0.0, 0.0)
    assert times.steps_within(300.0, partial(time_budget._lengths, job)) == right


@pytest.mark.parametrize(
    ("recipe", "domain", "least", "most"),
    [("energymatching-ring", Domain((2,), None, None, 0, torch.zeros(2)), 2.0, 100.0),
     ("ebgan-ln-mnist-100", Domain((1, 8, 8), 0.0, 1.0, 10, torch.zeros(1, 8, 8)), 0.1, 0.9)],
)  # fmt: skip
def test_a_phase_begins_where_a_step_costs_more_or_less(
    recipe: str, domain: Domain, least: float, most: float
) -> None:
    """Energy Matching's contrast adds chains, EBGAN-LN's generator stops."""
    job = load(recipe)
    config = type(job.settings.model).tiny()
    job = job.changed({"model": config.model_dump(mode="json")})
    (begin,) = config.phases
    at = [count_step(build(job, domain, 0), domain, 40, s)[0] for s in (0, begin - 1, begin)]
    assert at[0] == at[1]
    assert least < at[2] / at[0] < most


def test_each_phase_is_timed_by_its_own_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock that only steps move: 1/128 s up to step 3,000 and 1/16 s from there."""
    job = load("energymatching-ring")
    cohort = cohort_of([job], open_data(job.settings.data), CPU)
    clock = 0.0
    real = cohort.loop.advance

    def advance() -> None:
        nonlocal clock
        clock += 1 / 16 if cohort.loop.step >= 3000 else 1 / 128
        real()

    monkeypatch.setattr(cohort.loop, "advance", advance)
    monkeypatch.setattr("energan.training.step_cost.time.perf_counter", lambda: clock)
    times = time_phases(cohort.loop, job.settings.model.phases, 0.25, warm_up=3)
    assert times == (1 / 128, 1 / 16)
    assert cohort.loop.step == 3000 + 1 + 2  # a step of warm-up, and two within 1/8 s


def test_a_budget_that_is_too_short_names_one_that_works(monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock that only the timing moves, by 0.6 s; the ends take 0.3 s and a step 0.1 s."""
    clock = 0.0

    def slow(*_: Any) -> RunTimes:
        nonlocal clock
        clock += 0.6
        return RunTimes((0.1,), 0.0, 0.3)

    monkeypatch.setattr(time_budget, "measure", slow)
    monkeypatch.setattr("energan.experiment.time_budget.time.perf_counter", lambda: clock)
    job = small()
    data = open_data(job.settings.data)
    with pytest.raises(SettingError, match=r"too short here: the timing took 0\.6 s") as refusal:
        fit_minutes([job], 0.01, data, CPU, ALONE, None, silent)
    least = str(refusal.value).rpartition("give at least ")[2]
    assert least == "0.021"  # 1.25 · (0.6 + 0.3 + 0.1) / 60, rounded up
    fitted = fit_minutes([job], float(least), data, CPU, ALONE, None, silent)[0]
    assert fitted.settings.training.steps == 3  # in 1.26 s


def test_what_a_run_writes_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    slow = 0.2
    real = Score.__call__

    def scored(self: Score, loop: Any) -> Any:
        time.sleep(slow)
        return real(self, loop)

    monkeypatch.setattr(Score, "__call__", scored)
    job = small()
    data = open_data(job.settings.data)
    times = measure(cohort_of([job], data, CPU), data, None, 0.2)
    assert len(times.step) == 1
    assert times.step[0] > 0
    assert times.beside >= slow / 20  # a checkpoint every 20 steps
    assert times.ends >= 2 * slow  # the first and the last
    twice = measure(cohort_of([job, job.changed({"seed": 1})], data, CPU), data, None, 0.2)
    assert twice.ends >= 4 * slow  # each of a cohort writes its own


def test_schedules_are_scaled_as_by_scale_and_the_job_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rate = {"lr": "linear(0.001, 0, 6000, 6000)"}
    job = load("ebgan-ring")
    assert job.settings.model.energy_optimiser.lr == "linear(0.0005, 0, 6000, 6000)"
    found = fit(job, 1, monkeypatch)
    assert 20 <= found.settings.training.steps <= 30  # 60 seconds, 2 for each, less the timing
    scale = Fraction(found.asked["scale"])
    assert found.asked == {"scale": str(scale), "minutes": 1}
    assert found.settings == job.scaled(scale).settings
    assert found.settings.model.energy_optimiser.lr != job.settings.model.energy_optimiser.lr
    # what was asked for counts as written
    asked = fit(job.changed({"model": {"energy_optimiser": rate}}), 1, monkeypatch)
    assert asked.settings.model.energy_optimiser.lr == rate["lr"]
    assert asked.settings.model.sampler_optimiser.lr != job.settings.model.sampler_optimiser.lr


def test_more_minutes_than_the_recipe_takes_make_a_longer_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert fit(small(), 600, monkeypatch, step=0.01).settings.training.steps > 100 * 12_000


@pytest.mark.parametrize(
    ("changes", "minutes", "said"),
    [
        ({"training": {"steps": 5}}, 1.0, "leave out steps, or minutes"),
        ({"training": {"epochs": 5}}, 1.0, "leave out epochs, or minutes"),
        ({}, 0.0, "minutes 0: give a number above 0"),
        ({}, float("nan"), "minutes nan: give a number above 0"),
        ({}, 0.001, "and a step 2 s; give at least 0.0"),
    ],
)
def test_what_no_time_can_be_given_for_is_refused(
    changes: dict[str, Any], minutes: float, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SettingError, match=said):
        fit(small(**changes), minutes, monkeypatch)


def test_a_scaled_job_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingError, match="leave out scale, or minutes"):
        fit(small().scaled("1/2"), 1.0, monkeypatch)


def test_a_model_that_is_fitted_in_one_pass_takes_no_minutes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = time_budget.cohort_of

    def frozen(*args: Any) -> Any:
        cohort = real(*args)
        cohort.loop.networks.requires_grad_(False)
        return cohort

    monkeypatch.setattr(time_budget, "cohort_of", frozen)
    with pytest.raises(SettingError, match="leave minutes out"):
        fit(small(), 1.0, monkeypatch)
