"""The searches that come with energan: how many, all valid and different, as the paper printed."""

import itertools
import json
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from energan.core import Domain, SettingError
from energan.experiment.build import build
from energan.experiment.settings import load
from energan.nets.dense import BatchNorm, Dense, Dropout
from energan.recipes import find
from energan.sweeps import SWEEPS, Sweep
from energan.sweeps.trials import trials_of
from energan.sweeps.validation import checked

COUNTS = {
    "ebgan-grid": 512,
    "gan-grid": 6144,
    "margin-sweep": 8,
    "ladder-grid": 60,
    "decay-grid": 36,
    "stacked-coverage": 30,
}
PADDED = Domain((1, 32, 32), -1.0, 1.0, classes=10)
# table 1, as printed
BOTH = {
    "nLayerG": {2, 3, 4, 5},
    "nLayerD": {2, 3, 4, 5},
    "sizeG": {400, 800, 1600, 3200},
    "sizeD": {128, 256, 512, 1024},
    "dropoutD": {True, False},
}
TABLE_1 = {
    "ebgan-grid": {**BOTH, "optimD": {"adam"}, "optimG": {"adam"}, "lr": {0.001}},
    "gan-grid": {
        **BOTH,
        "optimD": {"adam", "sgd"},
        "optimG": {"adam", "sgd"},
        "lr": {0.01, 0.001, 0.0001},
    },
}


def test_there_are_so_many() -> None:
    assert {name: sweep.count for name, sweep in SWEEPS.items()} == COUNTS
    assert COUNTS["ebgan-grid"] + COUNTS["gan-grid"] == 6656


@pytest.mark.parametrize("name", SWEEPS)
def test_every_trial_is_a_job_of_its_recipe_and_has_an_id_of_its_own(name: str) -> None:
    sweep = SWEEPS[name]
    # the fingerprint of data tells how many labels there are
    trials = list(trials_of(sweep, fingerprint=lambda data: f"contents, {data.labelled} labels"))
    assert len(trials) == COUNTS[name]
    assert len({t.id for t in trials}) == COUNTS[name]
    assert all(t.job.recipe == sweep.recipe for t in trials)
    assert [t.values for t in trials] == list(sweep.values())


@pytest.mark.parametrize("name", [name for name in SWEEPS if name != "gan-grid"])
def test_they_stand_the_check_of_users_own(name: str) -> None:
    assert checked(SWEEPS[name], name) == SWEEPS[name]


@pytest.mark.parametrize("name", TABLE_1)
def test_the_values_are_those_of_table_1(name: str) -> None:
    assert {axis: set(values) for axis, values in SWEEPS[name].axes.items()} == TABLE_1[name]


def found_best(recipe: str, name: str) -> dict[str, object]:
    """The values of the trial that is this recipe."""
    sweep = SWEEPS[name]
    wanted = load(recipe).settings.model_dump(exclude={"output", "training"})
    same = [
        values
        for values in sweep.values()
        if values["nLayerG"] == 5
        and sweep.job(values).settings.model_dump(exclude={"output", "training"}) == wanted
    ]
    assert len(same) == 1
    return same[0]


def test_the_best_of_figure_4_are_among_them() -> None:
    """As printed in its caption; the recipes of figure 4 are those trials, and no other."""
    shape = {"nLayerG": 5, "nLayerD": 2, "sizeD": 1024, "dropoutD": False}
    assert found_best("gan-relu-mnist", "gan-grid") == {
        **shape, "sizeG": 1600, "optimD": "sgd", "optimG": "sgd", "lr": 0.01,
    }  # fmt: skip
    assert found_best("ebgan-mnist", "ebgan-grid") == {
        **shape, "sizeG": 800, "optimD": "adam", "optimG": "adam", "lr": 0.001,
    }  # fmt: skip


layers = st.sampled_from([2, 3, 4, 5])
of_table_1 = st.fixed_dictionaries(
    {
        "nLayerG": layers,
        "nLayerD": layers,
        "sizeG": st.sampled_from([400, 800, 1600, 3200]),
        "sizeD": st.sampled_from([128, 256, 512, 1024]),
        "dropoutD": st.booleans(),
    }
)
LEAVES = (BatchNorm, nn.Tanh)


def leaves(network: nn.Module) -> list[str]:
    """The layers in their order: "100-400", "BatchNorm", "ReLU 0.5" (the rate of dropout), …"""
    found = []
    for layer in network.modules():
        if isinstance(layer, Dense):
            outputs, inputs = layer.weight.shape
            found.append(f"{inputs}-{outputs}")
        elif isinstance(layer, Dropout):  # ReLU with dropout is one layer
            found.append(f"{type(layer).__name__} {layer.rate:g}")
        elif isinstance(layer, LEAVES):
            found.append(type(layer).__name__)
    return found


def hidden(sizes: list[int], *, first_norm: bool, dropout: bool) -> list[str]:
    found: list[str] = []
    for i, (a, b) in enumerate(itertools.pairwise(sizes)):
        norm = ["BatchNorm"] if i or first_norm else []  # none at D's input
        found += [f"{a}-{b}", *norm, f"ReLU {0.5 if dropout else 0:g}"]
    return found


@settings(deadline=None, max_examples=10)
@given(of_table_1, st.sampled_from(["ebgan-grid", "gan-grid"]))
def test_networks_are_built_as_section_4_1_counts_layers(values: dict, name: str) -> None:
    n_g, n_d = values["nLayerG"], values["nLayerD"]
    job = SWEEPS[name].job({**values, "optimD": "adam", "optimG": "adam", "lr": 0.001})
    with torch.device("meta"):
        model = build(job, PADDED, 0)
    wide, of_d = values["sizeG"], [1024] + [values["sizeD"]] * (n_d - 1)
    assert leaves(model.sampler) == [
        *hidden([100] + [wide] * (n_g - 1), first_norm=True, dropout=False),
        f"{wide}-1024",
        "Tanh",
    ]
    out = 1024 if name == "ebgan-grid" else 1  # no batch norm on the decoder's output or the logit
    assert leaves(model.energy) == [
        *hidden(of_d, first_norm=False, dropout=values["dropoutD"]),
        f"{values['sizeD']}-{out}",
    ]
    assert model.energy_optimiser.kind == model.sampler_optimiser.kind == "adam"


@pytest.mark.parametrize("name", ["ebgan-grid", "gan-grid"])
def test_first_weights_are_normal_with_the_printed_deviations(name: str) -> None:
    small = {"nLayerG": 3, "nLayerD": 3, "sizeG": 400, "sizeD": 128, "dropoutD": True}
    job = SWEEPS[name].job({**small, "optimD": "adam", "optimG": "adam", "lr": 0.001})
    model = build(job, PADDED, 0)
    for network, deviation in ((model.energy, 0.002), (model.sampler, 0.02)):
        for layer in (m for m in network.modules() if isinstance(m, Dense)):
            w = layer.weight.detach().double() / deviation
            count = w.numel()
            # of N(0, 1): mean, variance and fourth moment within five standard errors
            assert abs(w.mean()) < 5 / math.sqrt(count)
            assert abs(w.square().mean() - 1) < 5 * math.sqrt(2 / count)
            assert abs(w.pow(4).mean() - 3) < 5 * math.sqrt(96 / count)
            assert layer.bias is None or not layer.bias.any()


def test_what_the_paper_does_not_state_is_what_we_declare() -> None:
    for name in TABLE_1:
        for optimiser in ("adam", "sgd") if name == "gan-grid" else ("adam",):
            values = {axis: v[0] for axis, v in SWEEPS[name].axes.items()}
            job = SWEEPS[name].job({**values, "optimD": optimiser, "optimG": optimiser})
            model, training = job.settings.model, job.settings.training
            assert (model.latent, model.prior, training.batch_size, training.ema) == (
                100, "normal", 100, 0,
            )  # fmt: skip
            assert (job.settings.data.source, job.settings.data.pad) == ("mnist", 32)
            for used in (model.energy_optimiser, model.sampler_optimiser):
                assert used.kind == optimiser
                assert used.lr == values["lr"]
                if optimiser == "adam":
                    assert (used.beta1, used.beta2) == (0.5, 0.999)
                else:
                    assert used.momentum == 0
    assert load("ebgan-mnist").settings.model.margin == 10


def test_the_margins_are_those_of_figure_9() -> None:
    jobs = list(SWEEPS["margin-sweep"].jobs())
    assert [j.settings.model.margin for j in jobs] == [1, 2, 4, 6, 8, 12, 16, 32]
    for job in jobs:
        model = job.settings.model
        assert (model.generator, model.encoder, model.dropout) == ((1600,) * 4, (1024,), 0)
        assert (model.energy_optimiser.kind, model.energy_optimiser.lr) == ("adam", 0.001)


def test_the_grid_of_the_ladder_network_is_the_printed_one() -> None:
    """For each number of labels λ and the rate, which falls to 0 over the last third."""
    found = [
        (s.data.labelled, s.model.reconstruction, s.model.energy_optimiser.lr)
        for s in (job.settings for job in SWEEPS["ladder-grid"].jobs())
    ]
    rates = [
        f"linear({r}, 0, 40000, 80000)" for r in ("0.002", "0.001", "0.0005", "0.0002", "0.0001")
    ]
    printed = set(itertools.product((100, 200, 1000), (5000, 2000, 1000, 500), rates))
    assert set(found) == printed
    assert len(found) == len(printed)


def test_the_margin_of_the_paper_is_in_the_decay_grid_and_ends_where_the_generator_does() -> None:
    jobs = list(SWEEPS["decay-grid"].jobs())
    assert load("ebgan-ln-mnist-100").settings.model in [j.settings.model for j in jobs]
    for job in jobs:
        margin = str(job.settings.model.margin)
        assert margin.endswith(f", 0, {job.settings.model.until})")


def test_a_scaled_search_scales_its_trials_too() -> None:
    job = list(SWEEPS["decay-grid"].jobs("1/6"))[-1]
    model = job.settings.model
    assert (job.settings.training.steps, model.until, model.margin) == (
        30_000, 15_000, "linear(32, 0, 15000)",
    )  # fmt: skip


def test_coverage_compares_ebgan_with_the_term_at_several_weights() -> None:
    sweep = SWEEPS["stacked-coverage"]
    weights = {j.settings.model.pull_away for j in sweep.jobs()}
    assert {0, find(sweep.recipe).settings["model"]["pull_away"]} < weights
    assert all(
        {j.settings.seed for j in sweep.jobs() if j.settings.model.pull_away == w} == set(range(5))
        for w in weights
    )


def test_axes_combine_the_last_fastest_and_the_base_holds_for_all() -> None:
    sweep = Sweep(
        "s", "", "ebgan-digits", {"seed": (0, 1), "model.margin": (1, 3)}, base={"model.latent": 7}
    )
    jobs = list(sweep.jobs())
    assert [(j.settings.seed, j.settings.model.margin) for j in jobs] == [
        (0, 1), (0, 3), (1, 1), (1, 3),
    ]  # fmt: skip
    assert {j.settings.model.latent for j in jobs} == {7}
    assert json.dumps(list(sweep.values())[1]) == '{"seed": 0, "model.margin": 3}'


def test_a_setting_that_is_none_is_told() -> None:
    with pytest.raises(SettingError, match=r"model\.depth: there is no such setting"):
        list(Sweep("s", "", "ebgan-digits", {"model.depth": (1,)}).jobs())
