"""Chains with a momentum end where the theory says, whatever they start from and in any range."""

from functools import partial
from math import inf, sqrt

import pytest
import torch
from torch import Tensor

from energan.core import Kernel, SettingError, start_chains
from energan.samplers import StepRule, kernel_of, mala, run_kernel
from energan.samplers import hamiltonian as hmc
from energan.samplers.kernels import MALA
from energan.samplers.metropolis import init

CHAINS = 20_000


def normal(x: Tensor) -> Tensor:
    return x.square().sum(1) / 2


def double_well(x: Tensor) -> Tensor:
    return (x.square() - 1).square().sum(1) + 0.3 * x.sum(1)


def starts(seed: int, count: int = CHAINS, size: int = 1) -> tuple[torch.Generator, Tensor]:
    g = torch.Generator().manual_seed(seed)
    return g, torch.randn(count, size, generator=g)


def moment(energy: object, power: int, low: float = -4, high: float = 4) -> float:
    """E x^power under exp(−U)/Z, by a sum over a grid."""
    grid = torch.linspace(low, high, 20_001, dtype=torch.float64)[:, None]
    weight = (-energy(grid)).exp()  # type: ignore[operator]
    return float((grid[:, 0] ** power * weight).sum() / weight.sum())


def assert_moments(x: Tensor, energy: object, *box: float) -> None:
    values = x[:, 0].double()
    for power in (1, 2, 4):
        seen = values**power
        away = abs(float(seen.mean()) - moment(energy, power, *box))
        assert away < 4.5 * float(seen.std()) / sqrt(len(x)), power


@pytest.mark.parametrize("eps", [0.02, 0.2])
def test_hmc_is_exact_at_any_step(eps: float) -> None:
    g, x = starts(1)
    x = x.clamp(-1.5, 1.5)  # the quartic walls are steep
    made = run_kernel(kernel_of("hmc", 3), double_well, x, rule=StepRule(eps), steps=60,
                      generator=g)  # fmt: skip
    assert_moments(made.x, double_well)
    assert made.acceptance is not None
    assert 0.3 < float(made.acceptance.mean()) < 1


@pytest.mark.parametrize("name", ["hmc", "underdamped"])
def test_in_a_range_the_law_is_that_of_the_range(name: str) -> None:
    g, x = starts(2)
    made = run_kernel(
        kernel_of(name, 4), double_well, x.clamp(-0.8, 1.5),  # type: ignore[arg-type]
        rule=StepRule(0.01, low=-0.8, high=1.5), steps=100, generator=g,
    )  # fmt: skip
    assert -0.8 <= float(made.x.min()) < float(made.x.max()) <= 1.5
    assert_moments(made.x, double_well, -0.8, 1.5)


@pytest.mark.parametrize(("eps", "friction"), [(0.2, 1.0), (1.5, 0.3), (0.5, inf)])
def test_the_underdamped_form_is_exact_on_a_gaussian(eps: float, friction: float) -> None:
    g, x = starts(3)
    found = run_kernel(kernel_of("underdamped", friction=friction), normal, x, rule=StepRule(eps),
                       steps=80, generator=g).x  # fmt: skip
    assert abs(float(found.var()) - 1) < 4.5 * sqrt(2 / CHAINS)


def test_its_error_elsewhere_falls_with_the_step() -> None:
    g, x = starts(4)
    kernel = kernel_of("underdamped")
    found = run_kernel(kernel, double_well, x, rule=StepRule(0.01), steps=150, generator=g).x
    assert_moments(found, double_well)


def test_one_leapfrog_step_is_a_move_of_mala() -> None:
    """x' = x − ½ε∇U + √ε·p, and the same acceptance: by the same draws the same chains."""
    _, x = starts(5, 200, 3)
    one = Kernel(partial(hmc.step, steps=1, jitter=0.0), init, target=0.5, takes_noise=False)
    by_leapfrog = run_kernel(one, double_well, x, rule=StepRule(0.1), steps=5,
                             generator=torch.Generator().manual_seed(6))  # fmt: skip
    by_langevin = mala(double_well, x, steps=5, step_size=0.1,
                       generator=torch.Generator().manual_seed(6))  # fmt: skip
    torch.testing.assert_close(by_leapfrog.x, by_langevin.x, atol=1e-5, rtol=1e-5)
    assert torch.equal(by_leapfrog.acceptance, by_langevin.acceptance)


def test_a_trajectory_goes_back_the_way_it_came() -> None:
    """Also off the walls; and its energy's error is of the order h²."""
    _, x = starts(7, 50, 4)
    x, p = x.double().clamp(-0.99, 0.99), torch.randn(50, 4, dtype=torch.float64)
    errors = []
    for h, steps in ((0.2, 10), (0.1, 20)):
        state = init(double_well, x)
        assert state.gradient is not None
        there = hmc.leapfrog(double_well, x, p, state.gradient, h, steps, -1.0, 1.0)
        back = hmc.leapfrog(double_well, there[0], -there[1], there[3], h, steps, -1.0, 1.0)
        torch.testing.assert_close(back[0], x)
        torch.testing.assert_close(back[1], -p)
        free = hmc.leapfrog(double_well, x, p, state.gradient, h, steps)
        before, after = (u + q.square().sum(1) / 2 for u, q in ((state.energy, p), (free[2:0:-1])))
        errors.append(float((after - before).abs().mean()))
    assert 2.5 < errors[0] / errors[1] < 6


def test_walls_throw_back_as_often_as_it_takes() -> None:
    x = torch.tensor([[0.3], [1.2], [-0.4], [2.3], [-2.6]])
    y, p = hmc.reflect(x, torch.ones(5, 1), 0.0, 1.0)
    torch.testing.assert_close(y[:, 0], torch.tensor([0.3, 0.8, 0.4, 0.3, 0.6]))
    assert p[:, 0].tolist() == [1, -1, -1, 1, 1 - 2 * (int(2.6) % 2 == 0)]


@pytest.mark.parametrize(
    ("kernel", "target", "factor"),
    [(kernel_of("hmc", 4), 0.8, 1e-4), (kernel_of("hmc", 4), 0.8, 1e4), (MALA, 0.574, 1.0)],
)
def test_the_step_size_is_adapted_from_anywhere(
    kernel: Kernel, target: float, factor: float
) -> None:
    """On 20 coordinates whose widths differ tenfold; each chain finds the same step size."""
    g, x = starts(8, 100, 20)
    widths = torch.logspace(-1, 0, 20)
    made = run_kernel(
        kernel, lambda x: (x / widths).square().sum(1) / 2, x * widths,
        rule=StepRule(0.01 * factor), steps=60, target_acceptance=target, warmup=400, generator=g,
    )  # fmt: skip
    assert made.acceptance is not None
    assert made.scale is not None
    assert float(made.acceptance.mean()) == pytest.approx(target, abs=0.08)
    sizes = made.scale.log()
    assert float(sizes.std()) < 0.5
    assert abs(float((made.x / widths).var()) - 1) < 0.1


def test_a_kernel_of_ones_own_moves_chains() -> None:
    """Random-walk Metropolis, twenty lines; and one that tests nothing, of one."""

    def walk(energy, state, rule, draws):
        from energan.samplers.metropolis import accept

        there = state.x + rule.step_size**0.5 * draws.normal(*state.x.shape)
        u = energy(there)
        return accept(state, there, u, torch.zeros_like(there), state.energy - u, draws)

    g, x = starts(9)
    own = Kernel(walk, init, "random walk", target=0.234, takes_noise=False, takes_range=False)
    made = run_kernel(own, double_well, x, rule=StepRule(0.5), steps=150, generator=g)
    assert_moments(made.x, double_well)
    with pytest.raises(SettingError, match="random walk does not keep chains in a range"):
        run_kernel(own, normal, x, rule=StepRule(0.5, low=0, high=1), steps=1)
    still = Kernel(lambda energy, state, rule, draws: state)
    assert torch.equal(run_kernel(still, normal, x, rule=StepRule(1.0), steps=2).x, x)
    with pytest.raises(SettingError, match="accept or reject moves"):
        run_kernel(still, normal, x, rule=StepRule(1.0), steps=2, target_acceptance=0.5)
    assert start_chains(normal, x).step_size(StepRule(0.3)) == 0.3
