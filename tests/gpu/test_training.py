"""Training of every model on a GPU: devices that mix, what the host waits for, memory."""

from pathlib import Path

import pytest

from energan import models
from energan.training import checkpoint
from support.helpers import assert_identical, make_loop, model_case, snapshot
from support.pretended_gpu import pretended

counted = pytest.mark.skipif(pretended is None, reason="counted on a pretended GPU")
WAITS = {
    "ebgan_ln": 1, "score_matching": 1, "energy_matching": 3, "inspect_features": 4, "inspect": 25,
}  # fmt: skip
"""Of the host for the device in a step, at most: none of a model that is not named. Those named
draw scales, or pair or change examples on the way."""
READS = {"inspect"}
"""Whose step reads numbers of the device: defects are placed by what an image shows."""
LAUNCHES = {
    "ebgan": 255, "gan": 165, "ladder": 370, "ebgan_ln": 680, "ebgan_blog": 305, "igebm": 530,
    "r3gan": 560,
}  # fmt: skip


@pytest.mark.parametrize("dtype", ["bf16", "32"])
@pytest.mark.parametrize("name", models.names())
def test_a_model_trains_is_scored_saved_and_restored(name: str, dtype: str, tmp_path: Path) -> None:
    case, data = model_case(name)
    loop = make_loop(case, data, steps=3, dtype=dtype, device="cuda")
    loop.run()
    figures = [value for _, step in loop.flush_figures() for value in step.values()]
    assert all(value.isfinite().all() for value in figures)
    assert {p.device.type for p in loop.networks.parameters()} <= {"cuda"}
    path = checkpoint.save(tmp_path, loop)
    again = make_loop(case, data, steps=3, dtype=dtype, device="cuda")
    checkpoint.restore(path, again)
    assert_identical(snapshot(loop), snapshot(again))


@pytest.mark.parametrize("name", ["ebgan", "ladder"])
def test_a_cohort_trains(name: str) -> None:
    case, data = model_case(name)
    loop = make_loop(case, data, [0, 1, 2], steps=3, dtype="bf16", device="cuda")
    loop.run()
    assert len(loop.flush_figures()) == 3


@counted
@pytest.mark.parametrize("name", models.names())
def test_a_step_reads_no_number_and_seldom_waits(name: str) -> None:
    case, data = model_case(name)
    loop = make_loop(case, data, steps=60, dtype="bf16", device="cuda")
    for _ in range(2):
        loop.advance()
    loop.step = 4  # no norms, no averages, no new epoch
    pretended.reset()
    loop.advance()
    launches, waits = pretended.counts()
    assert name in READS or "a number read" not in waits, waits
    assert sum(waits.values()) <= WAITS.get(name, 0), waits
    assert sum(launches.values()) <= LAUNCHES.get(name, 10**6), launches


@pytest.mark.parametrize("name", ["ebgan", "ladder", "pix2pix", "tagging"])
def test_data_that_does_not_fit_stays_with_the_host(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("energan.data.dataset._fits", lambda events, device: False)
    case, data = model_case(name)
    loop = make_loop(case, data, steps=2, device="cuda")
    loop.run()
    assert loop.feed(0, 0, 1).x.device.type == "cuda"


@counted
def test_figures_of_many_steps_come_to_the_host_in_one_transfer() -> None:
    case, data = model_case("ebgan")
    loop = make_loop(case, data, steps=60, device="cuda")
    for _ in range(5):
        loop.advance()
    pretended.reset()
    assert len(loop.flush_figures()) == 5
    launches, waits = pretended.counts()
    assert (sum(launches.values()), waits) == (2, {"copy to the host": 1})
