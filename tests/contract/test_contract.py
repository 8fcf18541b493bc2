"""Every model found in the listing, and the stand-ins, through the same questions."""

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
from energan.core import Batch, Context, Randomness
from energan.data.batches import Feed
from energan.samplers.none import NoSampler
from energan.training import checkpoint
from energan.training.loop import Loop
from support.helpers import (
    assert_identical,
    make_loop,
    model_case,
    small_data,
    snapshot,
    tiny_settings,
)

CASES = [*models.names(), "labelled stand-in", "chain stand-in"]


def loop_of(name: str, seed: int = 0, **options: object) -> Loop:
    if name == "labelled stand-in":
        data = points()
        return make_loop(labelled_model, data, [seed], feed=LabelledFeed(data), **options)
    if name == "chain stand-in":
        return make_loop(chain_model, points(), [seed], **options)
    case, data = model_case(name)
    return make_loop(case, data, [seed], **options)


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
    assert not still, f"{still} never moved"


@pytest.mark.parametrize("name", CASES)
def test_shapes(name: str) -> None:
    loop = loop_of(name)
    batch, context = loop.feed(0, 0, 1), loop.context()
    scored = loop.energy(batch.x, batch.condition, stream="real")
    n, event = len(batch.x), batch.x.shape[1:]
    assert scored.energy.shape[0] == n
    assert scored.code is None or (scored.code.dim() == 2 and len(scored.code) == n)
    assert scored.reconstruction is None or scored.reconstruction.shape == batch.x.shape
    draw, state = loop.sampler.draw(loop.energy, batch, loop.state, context)
    assert (draw is None) == isinstance(loop.sampler, NoSampler)
    assert draw is None or draw.x.shape == batch.x.shape
    assert state.keys() == loop.state.keys()
    told = {k: (v.shape, v.dtype) for k, v in loop.sampler.empty_state().items()}
    assert not told or told == {k: (v.shape, v.dtype) for k, v in state.items()}
    loss = loop.objective.energy_loss(
        loop.energy, batch, None if draw is None else draw.detach(), context
    )
    assert loss.total.shape == (1,)
    assert all(v.shape == (1,) and not v.requires_grad for v in loss.parts.values())
    loop.estimate_statistics()
    condition = None if batch.condition is None else batch.condition[:5]
    made = loop.sampler.sample(loop.energy, 5, condition, state, Context(0, {}, Randomness([0])))
    assert made is None or made.x.shape == (5, *event)


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


@pytest.mark.parametrize("name", CASES)
def test_same_seed_same_step_other_seed_other_step(name: str) -> None:
    first, second, other = loop_of(name), loop_of(name), loop_of(name, seed=1)
    for loop in (first, second, other):
        loop.advance()
    assert_identical(snapshot(first), snapshot(second))
    assert any(
        not torch.equal(v, snapshot(other)[k]) for k, v in snapshot(first).items() if "net." in k
    )


@pytest.mark.parametrize("name", CASES)
def test_resumed_equals_uninterrupted_bit_for_bit(name: str, tmp_path) -> None:
    whole = loop_of(name)
    whole.run()
    interrupted = loop_of(name)
    for _ in range(4):  # before the labelled stand-in's generator stops
        interrupted.advance()
    path = checkpoint.save(tmp_path, interrupted)
    resumed = loop_of(name)
    resumed.advance()  # a loop that had gone elsewhere forgets it
    checkpoint.restore(path, resumed)
    assert resumed.step == 4
    resumed.run()
    assert_identical(snapshot(whole), snapshot(resumed))


@pytest.mark.parametrize("name", CASES)
def test_looking_at_a_run_changes_nothing(name: str) -> None:
    plain, watched = loop_of(name), loop_of(name)
    for _ in range(5):
        plain.advance()
        watched.advance()
        watched.estimate_statistics()
        context = Context(watched.step, {}, watched.randomness.at("samples"))
        condition = watched.feed(0, 0, 1).condition
        count = 16 if condition is None else len(condition)
        watched.sampler.sample(watched.energy, count, condition, watched.state, context)
    assert_identical(snapshot(plain), snapshot(watched))


@pytest.mark.parametrize("name", CASES)
def test_evaluation_energy_of_held_out_data_is_near_the_training_one(name: str) -> None:
    """Trap 1: with running averages the order of real and fake came out inverted."""
    loop = loop_of(name)
    loop.run()
    loop.estimate_statistics()
    data = points() if "stand-in" in name else small_data(model_case(name)[1].domain)
    batch = Feed(data, [5], 64, conditions=data.labels is not None)(0)
    with torch.no_grad():
        trained = loop.energy(batch.x, batch.condition, stream="real").energy
        scored = loop.energy(batch.x, batch.condition, stream="eval")
    # an energy may be of cells in training, and pooled from them in evaluation
    evaluated = scored.map if trained.dim() > 1 and scored.map is not None else scored.energy
    spread = trained.std() + 0.1 * trained.abs().mean()
    assert (evaluated.mean() - trained.mean()).abs() < spread


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
