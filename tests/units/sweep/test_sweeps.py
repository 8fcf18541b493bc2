"""The searches as definitions: how many, all valid, all different, and what the paper found."""

import itertools
import json

import pytest

from energan.core import SettingError
from energan.settings import load
from energan.sweep import SWEEPS, Sweep

PUBLISHED = {f"ladder-mnist-{labels}": 20 for labels in (100, 200, 1000)}
OURS = {f"decay-ebgan-ln-mnist-{labels}": 12 for labels in (100, 200, 1000)}


def test_the_searches_of_appendix_d_and_their_counts() -> None:
    assert {name: sweep.count for name, sweep in SWEEPS.items()} == PUBLISHED | OURS


@pytest.mark.parametrize("name", SWEEPS)
def test_every_trial_is_a_valid_and_different_job_of_its_recipe(name: str) -> None:
    sweep = SWEEPS[name]
    jobs = list(sweep.jobs())
    assert len(jobs) == sweep.count
    assert len({json.dumps(j.settings.model_dump(mode="json")) for j in jobs}) == sweep.count
    assert all(j.recipe == sweep.recipe for j in jobs)
    # what the paper chose, which the recipe has, is one of them
    assert load(sweep.recipe).settings in [j.settings for j in jobs]


def test_the_grid_of_the_ladder_network_is_the_printed_one() -> None:
    found = {
        (t["model"]["reconstruction"], t["model"]["energy_optimiser"]["lr"])
        for t in SWEEPS["ladder-mnist-200"].trials()
    }
    rates = [
        f"linear({r}, 0, 40000, 80000)" for r in ("0.002", "0.001", "0.0005", "0.0002", "0.0001")
    ]
    assert found == set(itertools.product((5000, 2000, 1000, 500), rates))


def test_a_scaled_search_scales_its_trials_too() -> None:
    job = list(SWEEPS["decay-ebgan-ln-mnist-100"].jobs("1/6"))[-1]
    model = job.settings.model
    assert (job.settings.training.steps, model.until, model.margin) == (
        30_000, 15_000, "linear(32, 0, 15000)",
    )  # fmt: skip


def test_axes_combine_and_rows_go_together() -> None:
    sweep = Sweep(
        "s",
        "",
        "ebgan-digits",
        {"seed": (0, 1), ("model.margin", "model.latent"): [(1, 2), (3, 4)]},
    )
    assert list(sweep.trials()) == [
        {"seed": seed, "model": {"margin": m, "latent": n}}
        for seed in (0, 1)
        for m, n in ((1, 2), (3, 4))
    ]
    assert sweep.count == 4


def test_a_setting_that_is_none_is_told() -> None:
    with pytest.raises(SettingError, match=r"model\.depth: there is no such setting"):
        list(Sweep("s", "", "ebgan-digits", {"model.depth": (1,)}).jobs())
