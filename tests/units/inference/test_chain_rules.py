"""Which energy moves chains, by what rule, and when."""

from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from energan.core import Randomness
from energan.inference.chain_rules import ChainSchedule, change_rule, move_chains, scale_rule
from energan.inference.run import Run
from energan.samplers import StepRule
from energan.samplers.kernels import MALA


@given(st.integers(1, 3), st.integers(1, 7), st.integers(1, 40))
def test_energies_take_turns(count: int, turn: int, steps: int) -> None:
    calls: list[int] = []

    def energy(which: int) -> object:
        def u(x: Tensor) -> Tensor:
            calls.append(which)
            return x.square().sum(1)

        return u

    plan = ChainSchedule(tuple(StepRule(0.01) for _ in range(count)), steps, turn)
    draws = Randomness([0]).at("test")
    move_chains([energy(i) for i in range(count)], plan, torch.zeros(2, 3), draws)  # type: ignore[misc]
    assert calls == [k // turn % count for k in range(steps)]


def test_a_plan_without_annealing_is_langevins_own_chain() -> None:
    g = torch.Generator().manual_seed(3)
    x = torch.randn(6, 4, generator=g)

    def u(x: Tensor) -> Tensor:
        return (x**4).sum(1)

    found = move_chains([u], ChainSchedule((StepRule(0.01),), 20), x, Randomness([1]).at("test")).x
    draws = Randomness([1]).at("test")
    for _ in range(20):  # the formula of the coupled step
        leaf = x.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(u(leaf).sum(), leaf)
        x = x - 0.005 * gradient + 0.1 * draws.normal(6, 4)
    assert torch.allclose(found, x, atol=1e-5)


def test_annealing_brings_step_and_noise_to_nothing() -> None:
    for rule in (StepRule(0.5), StepRule(10.0, 0.005, 0.01)):
        plan = ChainSchedule((rule,), 100, anneal=0.5)
        assert plan.at(0)[1] == plan.at(50)[1] == rule
        later = [plan.at(k)[1] for k in range(51, 100)]
        assert all(a.spread > b.spread > 0 for a, b in pairwise(later))
        assert later[-1].descent == pytest.approx(rule.descent / 50)
        assert later[-1].spread == pytest.approx(rule.spread / 50)
    assert scale_rule(StepRule(0.5), 0.5).noise == pytest.approx(0.5 * 0.5**0.5)


def test_tested_moves_have_the_law_of_the_energy_at_any_step() -> None:
    """Of U = x²/2 the variance is 1, where Langevin's own at ε = 1 is 4/3; also after turns."""

    def u(x: Tensor) -> Tensor:
        return x.square().sum(1) / 2

    x = torch.randn(8000, 1, generator=torch.Generator().manual_seed(2))
    tolerance = 4 * (2 / 8000) ** 0.5
    for energies in ([u], [u, u]):
        rules = (StepRule(1.0),) * len(energies)
        draws = Randomness([4]).at("test")
        made = move_chains(
            energies, ChainSchedule(rules, 40, 3, kernels=(MALA,) * len(rules)), x, draws
        )
        assert float(made.x.var()) == pytest.approx(1, abs=tolerance)
        assert made.acceptance is not None
        assert 0.5 < float(made.acceptance.mean()) < 1
        free = move_chains(energies, ChainSchedule(rules, 40, 3), x, Randomness([4]).at("test"))
        assert float(free.x.var()) == pytest.approx(4 / 3, abs=4 / 3 * tolerance)
    cooled = move_chains(
        [u], ChainSchedule((StepRule(1.0),), 200, anneal=0.8, kernels=(MALA,)), x, draws
    ).x
    assert float(cooled.var()) < 0.2  # steps shrink faster than the temperature


def test_a_rule_changes_by_what_is_given_alone(runs: dict[str, Run]) -> None:
    rule = runs["ebgan"].rule
    assert change_rule(runs["ebgan"]) == rule
    changed = change_rule(runs["ebgan"], 0.1, "coupled", "none")
    assert (changed.step_size, changed.noise, changed.clip) == (0.1, None, None)
    assert (changed.low, changed.high) == (rule.low, rule.high) == (-1, 1)
