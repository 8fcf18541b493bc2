"""Each member of a cohort is its own single run, for every model whose layers take members."""

import pytest
import torch

from energan import models
from energan.core import SettingError
from support.helpers import make_loop, model_case, snapshot

TAKE_MEMBERS = {"ladder", "ebgan_ln", "ebgan", "gan"}
SEEDS = (3, 4)


@pytest.mark.parametrize("name", sorted(set(models.names()) - TAKE_MEMBERS))
def test_a_model_trains_as_a_cohort_or_is_refused(name: str) -> None:
    case, data = model_case(name)
    try:
        make_loop(case, data, SEEDS)
    except SettingError as refused:
        said = str(refused)
        assert "train them as separate runs" in said
    else:
        compare(name, "64", 1e-9)


LADDERS = {"ladder", "ebgan_ln"}


@pytest.mark.parametrize(
    ("name", "dtype"),
    [(n, "64") for n in sorted(TAKE_MEMBERS)] + [(n, "32") for n in sorted(TAKE_MEMBERS - LADDERS)],
)
def test_a_cohort_equals_its_single_runs(name: str, dtype: str) -> None:
    """With eight events in a batch the ladder's upper layers begin with gradients that are rounding
    alone, of which Adam makes steps: in float32 it is another path, and in float64 how far it goes
    differs from processor to processor (1.2e-7 was seen). tests/e2e/test_seeds.py has the ladders
    at 2e-9 with more events."""
    error = 1e-2 if dtype == "32" else 1e-6 if name in LADDERS else 1e-9
    compare(name, dtype, error)


def compare(name: str, dtype: str, error: float) -> None:
    """20 steps; relative error of all weights, averages, optimiser state and losses."""
    case, data = model_case(name)
    together = make_loop(case, data, SEEDS, steps=20, dtype=dtype)
    together.run()
    whole, figures = snapshot(together), together.flush_figures()
    for i, seed in enumerate(SEEDS):
        alone = make_loop(case, data, [seed], steps=20, dtype=dtype)
        alone.run()
        own = snapshot(alone)
        assert own.keys() == whole.keys()
        for key, value in own.items():
            off = torch.linalg.vector_norm(whole[key][i] - value)
            assert off <= error * torch.linalg.vector_norm(value) + 1e-12, key
        for (step, of_all), (_, of_one) in zip(figures, alone.flush_figures(), strict=True):
            assert of_all.keys() == of_one.keys()
            for key, value in of_one.items():
                assert float(of_all[key][i]) == pytest.approx(float(value), rel=error, abs=1e-9), (
                    step, key,
                )  # fmt: skip
