"""A cohort of two equals two single runs; what one member does never reaches another."""

import pytest
import torch

from contract.stand_ins import POINTS, member, points
from energan.core import DivergenceError, SettingError
from energan.models import ebgan
from energan.training.cohort import stack
from energan.training.loop import Loop
from support.helpers import assert_identical, make_loop, snapshot

MEMBERS = [
    {"seed": 0, "margin": 3.0, "lr": 0.01},
    {"seed": 5, "margin": "linear(2, 1, 20)", "lr": 0.003},
]


@pytest.mark.parametrize("kind", ["adam", "sgd"])
def test_a_cohort_of_two_equals_two_single_runs(kind: str) -> None:
    """float64, 20 steps, relative error ≤ 1e-9: dropout, norm, PT, schedules, clipping, EMA."""
    momentum = [0.5, 0.9]
    data, seeds = points(), [m["seed"] for m in MEMBERS]
    options = {"steps": 20, "dtype": "64"}
    built = [member(**m, kind=kind, momentum=mu) for m, mu in zip(MEMBERS, momentum, strict=True)]
    together = make_loop(built, data, seeds, **options)
    together.run()
    whole = snapshot(together)
    figures = together.flush_figures()
    for i, (m, mu) in enumerate(zip(MEMBERS, momentum, strict=True)):
        alone = make_loop([member(**m, kind=kind, momentum=mu)], data, [seeds[i]], **options)
        alone.run()
        own = snapshot(alone)
        shared = {k for k in own if not k.endswith("/step")}
        assert shared == {k for k in whole if not k.endswith("/step")}
        for name in shared:
            a, b = whole[name][i], own[name]
            assert torch.linalg.vector_norm(a - b) <= 1e-9 * torch.linalg.vector_norm(b), name
        for (step, of_all), (_, of_one) in zip(figures, alone.flush_figures(), strict=True):
            for name, value in of_one.items():
                assert of_all[name][i] == pytest.approx(float(value), rel=1e-9), (step, name)


def test_the_state_of_optimisers_of_two_kinds_goes_on_where_it_was() -> None:
    """Adam, SGD with and without momentum: state() and load() of the whole, bit for bit."""
    kinds = [("adam", 0.0), ("sgd", 0.9), ("sgd", 0.0)]

    def loop(steps: int) -> Loop:
        built = [member(3, 2.0, 0.01, kind, momentum=mu) for kind, mu in kinds]
        return make_loop(built, points(), [3] * 3, steps=steps)

    whole, part, rest = loop(8), loop(5), loop(8)
    whole.run()
    part.run()
    rest.networks.load_state_dict(part.networks.state_dict())
    assert rest.ema is not None
    assert part.ema is not None
    rest.ema.load_state_dict(part.ema.state_dict())
    rest.step = part.step
    for name, optimisers in rest.optimisers.items():
        optimisers.load({k: v.clone() for k, v in part.optimisers[name].state().items()})
    rest.run()
    assert_identical(snapshot(rest), snapshot(whole))
    kept = [{k.rsplit("/")[-1] for k in own.state()} for own in rest.optimisers["energy"].each]
    assert kept[:2] == [{"step", "exp_avg", "exp_avg_sq"}, {"momentum_buffer"}]


def test_calibration_of_a_cohort_equals_that_of_its_members() -> None:
    data, seeds = points(), [0, 5]
    built = [member(**m, kind="adam") for m in MEMBERS]
    together = make_loop(built, data, seeds, dtype="64")
    together.run()
    together.estimate_statistics()
    stacked = together.networks.state_dict()
    for i, m in enumerate(MEMBERS):
        alone = make_loop([member(**m, kind="adam")], data, [seeds[i]], dtype="64")
        alone.run()
        alone.estimate_statistics()
        for name, value in alone.networks.state_dict().items():
            torch.testing.assert_close(stacked[name][i], value, rtol=1e-9, atol=1e-12)


def test_a_diverged_member_is_marked_and_leaves_the_other_alone() -> None:
    data = points()
    wild = {**MEMBERS[1], "lr": 1e200}  # of SGD: its weights overflow at once
    built = [member(**MEMBERS[0], kind="sgd"), member(**wild, kind="sgd")]
    together = make_loop(built, data, [0, 5], steps=20, dtype="64")
    together.run()
    together.flush_figures()
    assert list(together.diverged) == [1]
    assert "not finite at step" in together.diverged[1]
    alone = make_loop([member(**MEMBERS[0], kind="sgd")], data, [0], steps=20, dtype="64")
    alone.run()
    for name, value in snapshot(alone).items():
        if not name.endswith("/step"):
            torch.testing.assert_close(snapshot(together)[name][0], value, rtol=1e-9, atol=1e-12)


def test_a_cohort_stops_only_when_all_have_diverged() -> None:
    built = [member(**{**m, "lr": 1e200}, kind="sgd") for m in MEMBERS]
    loop = make_loop(built, points(), [0, 5], steps=20, dtype="64")
    loop.run()
    with pytest.raises(DivergenceError, match="is not finite at step"):
        loop.flush_figures()


def test_members_must_share_shapes_and_layers_must_take_the_axis() -> None:
    with pytest.raises(SettingError, match="differ in values, not in shapes"):
        stack([_dense(3), _dense(4)])
    with pytest.raises(SettingError, match=r"Linear.*cannot train several seeds as one program"):
        stack([torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)])


def _dense(width: int) -> torch.nn.Module:
    from energan.nets.dense import Dense

    return Dense(2, width)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"reduction": "sum"}, "the energy's layers"),
        ({"prior": "uniform"}, "the sampler's layers"),
        ({"loss": "log"}, "the objective"),
        ({"energy_steps": 2}, "k"),
        ({"pull_away": 0.0}, "the scheduled values"),
    ],
)
def test_what_a_cohort_cannot_keep_apart_is_refused(change: dict[str, object], said: str) -> None:
    """Otherwise the second member would silently train as the first."""
    base = ebgan.Config.tiny().model_copy(update={"output": "linear"})
    other = base.model_copy(update=change)
    with pytest.raises(SettingError, match=f"differ in {said}"):
        make_loop([ebgan.build(base, POINTS), ebgan.build(other, POINTS)], points(), [0, 1])
