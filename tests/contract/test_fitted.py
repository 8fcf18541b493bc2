"""Energies that are fitted by one pass over the data keep the contract of those that descend."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from energan.core import Context, Energy, Model, Randomness, SettingError, place_seed
from energan.models import inspect_features
from energan.objectives.fit import Fit
from energan.training import checkpoint
from energan.training.loop import Loop
from support.helpers import DOMAINS, make_loop, small_data, tiny_settings

SETTINGS = {
    "neighbours": {"energy": "neighbours", "memory": 40},
    "gaussian": {"energy": "gaussian"},
    "one gaussian": {"energy": "gaussian", "positions": False},
}


def loop_of(name: str, seed: int = 0, **options: object) -> Loop:
    config = tiny_settings("inspect_features").model_copy(update={"channels": 4, **SETTINGS[name]})

    def case(seed: int) -> Model:
        with torch.random.fork_rng():
            torch.manual_seed(place_seed(seed, "init"))
            return inspect_features.build(config, DOMAINS[0])  # type: ignore[arg-type]

    return make_loop(case, small_data(DOMAINS[0]), [seed], **options)


def state(loop: Loop) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in loop.networks.state_dict().items()}


def assert_same(a: dict[str, Tensor], b: dict[str, Tensor]) -> None:
    assert a.keys() == b.keys()
    assert not [name for name in a if not torch.equal(a[name], b[name])]


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("ema", [0.0, 0.9])
def test_it_is_fitted_and_gives_finite_figures(name: str, ema: float) -> None:
    loop = loop_of(name, ema=ema)
    loop.run()
    read = loop.flush_figures()
    assert [step for step, _ in read] == list(range(1, 11))
    losses = [float(figures["loss_energy"]) for _, figures in read]
    assert losses[0] == 0
    assert all(0 < loss < 1e4 for loss in losses[1:])
    loop.estimate_statistics()
    x = loop.feed(0, 0, 1).x
    for version in loop.versions():
        with torch.no_grad():
            scored = version["energy"](x, stream="eval")
        assert scored.map.shape == (len(x), 4, 4)
        assert scored.energy.isfinite().all()
    assert loop.sampler.sample(loop.energy, 2, None, {}, Context(0, {}, Randomness([0]))) is None


@pytest.mark.parametrize("name", SETTINGS)
def test_resumed_equals_uninterrupted_bit_for_bit(name: str, tmp_path: Path) -> None:
    whole, interrupted, resumed = loop_of(name), loop_of(name), loop_of(name)
    whole.run()
    whole.estimate_statistics()
    for _ in range(4):
        interrupted.advance()
    path = checkpoint.save(tmp_path, interrupted)
    resumed.advance()
    checkpoint.restore(path, resumed)
    assert resumed.step == 4
    resumed.run()
    resumed.estimate_statistics()
    assert_same(state(whole), state(resumed))


@pytest.mark.parametrize("name", SETTINGS)
def test_looking_at_it_changes_nothing_that_is_observed(name: str) -> None:
    plain, watched = loop_of(name), loop_of(name)
    for _ in range(5):
        plain.advance()
        watched.advance()
        watched.estimate_statistics()
    plain.estimate_statistics()
    assert_same(state(plain), state(watched))


@pytest.mark.parametrize("name", SETTINGS)
def test_another_seed_is_another_fit(name: str) -> None:
    first, other = loop_of(name), loop_of(name, seed=1)
    for loop in (first, other):
        loop.advance()
    assert any(not torch.equal(v, state(other)[k]) for k, v in state(first).items())


def test_an_energy_without_a_closed_form_is_refused() -> None:
    class Plain(Energy):
        def forward(self, x: Tensor, condition: Tensor | None = None, *, stream: str) -> object:  # type: ignore[override]
            return None

    with pytest.raises(SettingError, match="Plain cannot be fitted in one pass"):
        Fit().check(Plain())


@pytest.mark.parametrize("name", SETTINGS)
def test_processes_that_train_together_see_each_others_examples(name: str) -> None:
    """`gather` of a rank gives what all describe: the fit is that of both batches together."""
    loop, both = loop_of(name), loop_of(name)
    first, second = loop.feed(0, 0, 1), loop.feed(1, 0, 1)
    of_other = loop.energy.describe(second.x).reshape(1, len(second.x), -1)  # type: ignore[operator]
    context = Context(0, {}, Randomness([0]), lambda own: torch.cat([own, of_other], 1))
    loop.objective.energy_loss(loop.energy, first, None, context)
    together = torch.cat([first.x, second.x])
    both.energy.observe(both.energy.describe(together))  # type: ignore[operator]
    for key, value in both.energy.state_dict().items():
        torch.testing.assert_close(loop.energy.state_dict()[key], value)
