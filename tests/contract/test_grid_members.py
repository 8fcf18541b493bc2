"""Trials of a grid that differ in values and not in shapes, as one program: each is its single run.

float64, 20 steps on digits, the sweeps' own settings with narrower networks. No deeper ones: with
few units and an Adam of 0.01, four layers make 1e-4 of 1e-15 in the weights, single runs too.
"""

from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor

from energan.data import open_data
from energan.data.settings import DataSettings
from energan.experiment import build
from energan.experiment.settings import Job
from energan.sweeps import SWEEPS
from energan.training.device import EngineSettings, choose
from energan.training.loop import Loop
from support.helpers import snapshot

STEPS = 20
SMALL: dict[str, Any] = {
    "data": {"source": "digits", "pad": None},
    "training": {"steps": STEPS, "batch_size": 16},
}
ENGINE = EngineSettings(device="cpu", precision="64", threads=1)
data = cache(lambda: open_data(DataSettings(source="digits")))


def shape(grid: str, layers: int) -> list[Job]:
    """The trials of one shape of a grid, in the grid's order."""
    return [
        SWEEPS[grid].job({**values, "sizeG": 24, "sizeD": 16}).changed(SMALL)
        for values in SWEEPS[grid].values()
        if values["nLayerG"] == values["nLayerD"] == layers
        and (values["sizeG"], values["sizeD"]) == (400, 128)
    ]


def loop_of(jobs: list[Job]) -> Loop:
    engine, seeds = choose(ENGINE, switches=False), [job.settings.seed for job in jobs]
    built = [build.build(job, data().domain, job.settings.seed) for job in jobs]
    return build.loop_of(built, jobs[0].settings.training, data(), engine, seeds)


def run(jobs: list[Job]) -> tuple[dict[str, Tensor], list[tuple[int, dict[str, Tensor]]], Loop]:
    loop = loop_of(jobs)
    loop.run()
    figures = loop.flush_figures()
    return snapshot(loop), figures, loop


def assert_each_is_its_single_run(jobs: list[Job], without: frozenset[int] = frozenset()) -> None:
    """Weights and losses to 1e-9."""
    whole, figures, together = run(jobs)
    assert set(together.diverged) == without
    for i, job in enumerate(jobs):
        if i in without:
            continue
        own, of_one, _ = run([job])
        for name, value in own.items():
            off = torch.linalg.vector_norm(whole[name][i] - value)
            error = 1e-6 if "/" in name else 1e-9  # an optimiser's means of gradients near 0
            assert off <= error * torch.linalg.vector_norm(value) + 1e-12, (i, name)
        for (step, together_), (_, alone) in zip(figures, of_one, strict=True):
            assert together_.keys() == alone.keys()
            for name, value in alone.items():
                assert float(together_[name][i]) == pytest.approx(float(value), rel=1e-9), (
                    i, step, name,
                )  # fmt: skip


@pytest.mark.parametrize("layers", [2, 3])
def test_all_24_of_a_shape_of_the_gan_grid(layers: int) -> None:
    """They differ in dropout, in both optimisers' kinds, and in the rate."""
    jobs = shape("gan-grid", layers)
    assert len(jobs) == 24
    assert_each_is_its_single_run(jobs)


def test_both_of_a_shape_of_the_ebgan_grid() -> None:
    jobs = shape("ebgan-grid", 3)
    assert len(jobs) == 2
    assert_each_is_its_single_run(jobs)


def test_ebgans_that_differ_in_margin_dropout_and_seed() -> None:
    """Margins that are schedules among them, and weights of the pulling-away term."""
    without, with_ = (job.changed({"model": {"pull_away": 0.1}}) for job in shape("ebgan-grid", 3))
    jobs = [
        without.changed({"model": {"margin": "linear(8, 2, 15)"}}),
        with_.changed({"model": {"margin": 3}, "seed": 4}),
        with_.changed({"model": {"pull_away": "linear(0.5, 0, 10)", "dropout": 0.2}}),
    ]
    assert_each_is_its_single_run(jobs)


def test_one_that_diverges_leaves_the_others_as_they_are_alone() -> None:
    jobs = shape("gan-grid", 3)[::5]
    wild = {"kind": "sgd", "lr": 1e250}
    jobs[2] = jobs[2].changed({"model": {"energy_optimiser": wild, "sampler_optimiser": wild}})
    assert_each_is_its_single_run(jobs, without=frozenset({2}))
