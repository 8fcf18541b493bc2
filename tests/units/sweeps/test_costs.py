"""A few steps of a few trials, timed."""

import pytest
import torch

from energan.core import SettingError
from energan.experiment.settings import load
from energan.sweeps.costs import time_step

TINY = {"generator": [16], "encoder": [8], "margin": 2}


def test_a_step_is_timed_and_torch_has_its_threads_again() -> None:
    threads = torch.get_num_threads()
    job = load("ebgan-digits").changed({"model": TINY})
    assert 0 < time_step(job, 2) < 1
    assert torch.get_num_threads() == threads
    ill = job.changed({"training": {"batch_size": 1}})
    with pytest.raises(SettingError, match="batch"):
        time_step(ill, 2)
    assert torch.get_num_threads() == threads


def test_a_margin_to_be_estimated_is_not_in_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    job = load("ebgan-digits").changed({"model": {**TINY, "margin": "auto"}})
    assert time_step(job, 1) > 0
