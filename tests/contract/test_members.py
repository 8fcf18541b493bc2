"""Each member of a cohort is its own single run, for every model whose layers take members."""

import pytest
import torch

from energan import models
from energan.core import SettingError
from helpers import make_loop, model_case, snapshot

TAKE_MEMBERS = {"ladder", "ebgan_ln", "ebgan", "gan"}
SEEDS = (3, 4)


@pytest.mark.parametrize(("dtype", "error"), [("64", 1e-9), ("32", 1e-2)])
@pytest.mark.parametrize("name", models.names())
def test_a_cohort_equals_its_single_runs_or_is_refused(name: str, dtype: str, error: float) -> None:
    """20 steps; relative error of all weights, averages, optimiser state and losses."""
    case, data = model_case(name)
    try:
        together = make_loop(case, data, SEEDS, steps=20, dtype=dtype)
    except SettingError as refused:
        assert name not in TAKE_MEMBERS
        assert "train the members as separate runs" in str(refused)
        return
    together.run()
    whole, figures = snapshot(together), together.settle()
    for i, seed in enumerate(SEEDS):
        alone = make_loop(case, data, [seed], steps=20, dtype=dtype)
        alone.run()
        own = snapshot(alone)
        assert own.keys() == whole.keys()
        for key, value in own.items():
            off = torch.linalg.vector_norm(whole[key][i] - value)
            assert off <= error * torch.linalg.vector_norm(value) + 1e-12, key
        for (step, of_all), (_, of_one) in zip(figures, alone.settle(), strict=True):
            assert of_all.keys() == of_one.keys()
            for key, value in of_one.items():
                assert float(of_all[key][i]) == pytest.approx(float(value), rel=error, abs=1e-9), (
                    step, key,
                )  # fmt: skip
