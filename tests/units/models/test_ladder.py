"""The ladder network and EBGAN-LN as models: sizes, weights, and the way back to the ladder."""

from itertools import pairwise

import pytest
import torch

from energan.core import Context, Domain, Optimiser, Randomness, SettingError
from energan.core.schedules import parse
from energan.energies.ladder import LadderEnergy
from energan.experiment.settings import load
from energan.models import ebgan_ln, ladder
from energan.samplers.generator import Generator
from energan.samplers.none import NoSampler
from support.helpers import assert_identical, make_loop, small_data, snapshot

DIGITS = Domain((1, 28, 28), 0.0, 1.0, classes=10)
SMALL = Domain((1, 8, 8), 0.0, 1.0, classes=10)


def test_the_defaults_are_the_published_network_and_weights() -> None:
    """784-1000-500-250-250-250-10 up and down, β of each layer, ten numbers for each unit."""
    model = ladder.build(ladder.Config(), DIGITS)
    widths = (784, 1000, 500, 250, 250, 250, 10)
    weights = sum(a * b for a, b in pairwise(widths))
    numbers = sum(p.numel() for p in model.energy.parameters())
    assert numbers == 2 * weights + sum(widths[1:]) + 10 * sum(widths)
    assert isinstance(model.energy, LadderEnergy)
    assert model.energy.network.noise.std == 0.3
    assert not any(model.energy.layer_weights)
    assert isinstance(model.sampler, NoSampler)
    assert not list(model.sampler.parameters())
    assert parse(model.hyper["reconstruction"])(0) == pytest.approx(1000 / 784)
    assert parse(model.hyper["classification"])(0) == 1
    assert model.labelled == 100
    assert not model.conditional


@pytest.mark.parametrize("labels", [100, 200, 1000])
def test_recipes_are_appendix_d(labels: int) -> None:
    baseline = load(f"ladder-mnist-{labels}").settings
    contrast = load(f"ebgan-ln-mnist-{labels}").settings
    for settings, steps in ((baseline, 120_000), (contrast, 180_000)):
        assert (settings.training.steps, settings.training.batch_size) == (steps, 100)
        assert (settings.data.labelled, settings.data.held_out) == (labels, 10_000)
        assert (settings.data.range, settings.data.pad) == ("unit", None)
        assert settings.model.reconstruction == 1000
        assert settings.model.energy_optimiser.beta1 == 0.5
    rate = parse(baseline.model.energy_optimiser.lr)
    assert [rate(t) for t in (0, 80_000, 100_000, 120_000)] == pytest.approx([2e-4, 2e-4, 1e-4, 0])
    rate, margin = parse(contrast.model.energy_optimiser.lr), parse(contrast.model.margin)
    assert [rate(t) for t in (0, 120_000, 150_000, 180_000)] == pytest.approx(
        [5e-4, 5e-4, 2.5e-4, 0]
    )
    assert [margin(t) for t in (0, 30_000, 60_000, 180_000)] == [16, 8, 0, 0]
    assert parse(contrast.model.sampler_optimiser.lr)(0) == 2.5e-4
    assert contrast.model.until == 60_000


def test_layer_costs_are_over_their_widths_beside_the_bottoms() -> None:
    """Of Rasmus et al.'s form Σ λ_l/m_l ‖z − ẑ‖²; times λ this gives cost/width."""
    costs = (10.0, 0.1, 0.2)
    config = ladder.Config(hidden=(6, 5), layer_costs=costs)
    energy = config.ladder(SMALL)
    for weight, cost, width in zip(energy.layer_weights, costs, (6, 5, 10), strict=True):
        assert weight * config.weight(SMALL) == pytest.approx(cost / width)
    with pytest.raises(SettingError, match="2 weights, and there are 3 layers"):
        ladder.build(ladder.Config(hidden=(6, 5), layer_costs=(1.0, 2.0)), SMALL)


@pytest.mark.parametrize("module", [ladder, ebgan_ln])
@pytest.mark.parametrize("domain", [Domain((2,)), Domain((5,), condition_shape=(6,))])
def test_data_without_classes_is_refused_with_the_remedy(module: object, domain: Domain) -> None:
    config = module.Config.tiny().model_copy(update={"output": "linear"})  # type: ignore[attr-defined]
    with pytest.raises(SettingError, match=r"name a CSV of labels \(data\.labels\)"):
        module.build(config, domain)  # type: ignore[attr-defined]


def test_the_generator_is_of_the_stated_form_and_rests_in_the_end() -> None:
    config = ebgan_ln.Config()
    model = ebgan_ln.build(config, DIGITS)
    sampler = model.sampler
    assert isinstance(sampler, Generator)
    assert sampler.learns(59_999)
    assert not sampler.learns(60_000)
    draws = Randomness([0])
    made = sampler.sample(model.energy, 3, None, {}, Context(0, {}, draws))
    assert made is not None
    assert made.x.shape == (3, 1, 28, 28)
    assert float(made.x.min()) > 0
    assert float(made.x.max()) < 1
    with pytest.raises(SettingError, match=r"model\.output: tanh does not fit"):
        ebgan_ln.build(config.model_copy(update={"output": "tanh"}), DIGITS)


def test_both_start_from_the_same_weights_of_a_seed() -> None:
    """So that the paired difference of two runs is not that of their initialisations."""
    built = []
    for module in (ladder, ebgan_ln):
        torch.manual_seed(3)
        built.append(module.build(module.Config.tiny(), SMALL).energy.state_dict())
    assert_identical(*built)


def test_once_the_generator_rests_a_step_is_the_plain_ladders_to_the_bit() -> None:
    """From the same weights, with noise: the same batch, the same draws, the same gradients."""
    data, rate, steps = small_data(SMALL), Optimiser(lr=0.01), 3
    loops = []
    for module in (ladder, ebgan_ln):
        torch.manual_seed(3)
        tiny = module.Config.tiny().model_copy(update={"energy_optimiser": rate})
        loop = make_loop([module.build(tiny, SMALL)], data, steps=10 + steps)
        loop.step = 10  # past `until`, where the margin is 0 too
        loop.run()
        loops.append(loop)
    plain, rested = (
        {k: v for k, v in snapshot(loop).items() if "energy" in k or k.startswith("exp")}
        for loop in loops
    )
    assert_identical(plain, rested)
    (_, last), (_, own) = loops[1].flush_figures()[-1], loops[0].flush_figures()[-1]
    assert "energy_fake" not in last
    assert torch.equal(last["loss_energy"], own["loss_energy"])


def test_a_step_before_that_differs() -> None:
    data = small_data(SMALL)
    found = []
    for module in (ladder, ebgan_ln):
        torch.manual_seed(3)
        tiny = module.Config.tiny().model_copy(update={"energy_optimiser": Optimiser(lr=0.01)})
        loop = make_loop([module.build(tiny, SMALL)], data, steps=3)
        loop.run()
        found.append({k: v for k, v in snapshot(loop).items() if k.startswith("net.energy")})
    assert any(not torch.equal(found[0][k], found[1][k]) for k in found[0])
