"""A few steps of a few trials, timed."""

import pytest
import torch

from energan.core import SettingError
from energan.experiment.settings import Job, load
from energan.sweep import Sweep, timing
from energan.sweep.timing import BUDGET, time_step, timed
from energan.sweep.trials import Trial, trials_of

SWEEP = Sweep("widths", "", "ebgan-digits", {"model.generator": ([8], [16], [32], [64])})
TRIALS = list(trials_of(SWEEP, fingerprint=lambda data: "d"))
TINY = {"generator": [16], "encoder": [8], "margin": 2}


def work(trial: Trial) -> float:
    return float(trial.values["model.generator"][0])


def test_a_step_is_timed_and_torch_has_its_threads_again() -> None:
    threads = torch.get_num_threads()
    job = load("ebgan-digits").changed({"model": TINY})
    assert 0 < time_step(job, 2, 0.3) < 1
    assert torch.get_num_threads() == threads
    ill = job.changed({"training": {"batch_size": 1}})
    with pytest.raises(SettingError, match="batch"):
        time_step(ill, 2, 0.3)
    assert torch.get_num_threads() == threads


def test_a_margin_to_be_estimated_is_not_in_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    job = load("ebgan-digits").changed({"model": {**TINY, "margin": "auto"}})
    assert time_step(job, 1, 0.1) > 0


def test_the_ends_of_the_range_are_timed_where_nothing_near_is_known() -> None:
    seen: list[float] = []

    def timer(job: Job, threads: int, seconds: float) -> float:
        assert (threads, seconds) == (3, BUDGET)
        seen.append(job.settings.model.generator[0])
        return 0.5

    said: list[str] = []
    assert timed(TRIALS, work, [], 3, timer, said.append) == [(8.0, 0.5), (64.0, 0.5)]
    assert seen == [8, 64]
    assert said == ["measuring how long a step takes, for 20 s at most"]
    assert timed(TRIALS, work, [(8 * 1.4, 1.0)], 3, timer, said.append) == [(64.0, 0.5)]
    assert timed(TRIALS[:1], work, [(8.0 * timing.NEAR, 1.0)], 3, timer, said.append) == []
    assert timed([], work, [], 3, timer, said.append) == []
