"""Every model found in the listing, and the stand-ins, through the same questions."""

from collections.abc import Sequence

import pytest
import torch

from contract.stand_ins import (
    GENERATOR_STOPS,
    LabelledFeed,
    chain_model,
    labelled_model,
    points,
)
from energan import models
from energan.core import Batch
from energan.data.batches import Feed
from energan.experiment.model_checks import CHECKS, Check
from energan.training.loop import Loop
from support.helpers import (
    make_loop,
    model_case,
    snapshot,
    tiny_settings,
)

CASES = [*models.names(), "labelled stand-in", "chain stand-in"]


def loop_of(name: str, seeds: Sequence[int] = (0,), **options: object) -> Loop:
    if name == "labelled stand-in":
        data = points()
        return make_loop(labelled_model, data, seeds, feed=LabelledFeed(data), **options)
    if name == "chain stand-in":
        return make_loop(chain_model, points(), seeds, **options)
    case, data = model_case(name)
    return make_loop(case, data, seeds, **options)


@pytest.mark.parametrize("name", CASES)
def test_ten_steps_on_the_cpu_stay_finite_and_move_every_parameter(name: str) -> None:
    loop = loop_of(name)
    before = snapshot(loop)
    loop.run()
    read = loop.flush_figures()
    assert [step for step, _ in read] == list(range(1, 11))
    assert all(v.isfinite().all() and v.shape == (1,) for _, f in read for v in f.values())
    after = snapshot(loop)
    still = [k for k in before if k.startswith("net.") and torch.equal(before[k], after[k])]
    assert not still, f"{still} never changed"


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", CASES)
def test_what_is_asked_of_every_model(name: str, check: Check) -> None:
    check(lambda seeds: loop_of(name, seeds))


@pytest.mark.parametrize("name", models.names())
def test_the_settings_say_whether_the_model_classifies(name: str) -> None:
    settings = tiny_settings(name)
    assert settings.classifies == (loop_of(name).labelled > 0)


@pytest.mark.parametrize("name", CASES)
def test_gradients_are_finite_and_each_loss_trains_its_own_network(name: str) -> None:
    loop = loop_of(name)
    loop.advance()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in loop.energy.parameters())
    assert all(p.grad is not None and p.grad.isfinite().all() for p in loop.sampler.parameters())
    assert all(p.requires_grad for p in loop.networks.parameters())  # nothing stays frozen


def test_the_stopped_generator_stays_still_while_the_energy_trains() -> None:
    loop = loop_of("labelled stand-in")
    for _ in range(GENERATOR_STOPS):
        loop.advance()
    at_stop = snapshot(loop)
    loop.run()
    after = snapshot(loop)
    generator = [k for k in at_stop if k.startswith("net.sampler")]
    assert generator
    assert all(torch.equal(at_stop[k], after[k]) for k in generator)
    assert any(not torch.equal(v, after[k]) for k, v in at_stop.items() if "net.energy" in k)
    figures = [f for _, f in loop.flush_figures()]
    assert "loss_sampler" in figures[GENERATOR_STOPS - 1]
    assert "loss_sampler" not in figures[GENERATOR_STOPS]


def test_the_margin_decays_by_its_schedule() -> None:
    loop = loop_of("labelled stand-in")
    seen = []
    for _ in range(GENERATOR_STOPS + 2):
        seen.append(float(loop.context().hyper["margin"]))
        loop.advance()
    assert seen == pytest.approx([4, 3.2, 2.4, 1.6, 0.8, 0, 0])


def test_the_buffer_is_part_of_the_state() -> None:
    loop = loop_of("chain stand-in")
    before = loop.state["buffer"].clone()
    loop.advance()
    changed = (loop.state["buffer"] != before).any(-1).sum()
    assert 0 < changed <= 8
    assert not loop.state["buffer"].requires_grad


def test_k_energy_steps_see_k_batches_and_one_sampler_step_follows() -> None:
    case, data = model_case("ebgan")
    model = case(0)
    model.energy_steps = 3
    seen: list[tuple[int, int, int]] = []
    orders = Feed(data, [0], 8)

    def feed(step: int, substep: int, substeps: int) -> Batch:
        seen.append((step, substep, substeps))
        return orders(step, substep, substeps)

    loop = make_loop([model], data, feed=feed)
    loop.advance()
    loop.advance()
    assert seen == [(t, s, 3) for t in range(2) for s in range(3)]
    steps = {k: float(v) for k, v in snapshot(loop).items() if k.endswith("/step")}
    assert {v for k, v in steps.items() if k.startswith("energy.")} == {6.0}
    assert {v for k, v in steps.items() if k.startswith("sampler.")} == {2.0}
