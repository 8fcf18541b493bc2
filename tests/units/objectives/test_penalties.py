"""Penalties on gradients against closed forms and finite differences; the losses against numpy."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from energan.core import (
    Batch,
    Context,
    Draw,
    Energy,
    Objective,
    Randomness,
    Scored,
    frozen,
)
from energan.energies.logit import Logit
from energan.nets.mlp import mlp_logit
from energan.objectives import (
    Contrastive,
    Logistic,
    LogitHinge,
    Relativistic,
    gradient_penalty,
)
from energan.training.cohort import stack


def context(hyper: dict[str, float] | None = None, seeds: Sequence[int] = (0,)) -> Context:
    values = {n: torch.full((len(seeds), 1), v).double() for n, v in (hyper or {}).items()}
    return Context(0, values, Randomness(seeds, dtype=torch.float64).at(0, "train"))


class Ellipsoid(Energy):
    """U(x) = ½ Σ a x², with ∇U = a x."""

    def __init__(self, *a: float) -> None:
        super().__init__()
        self.a = nn.Parameter(torch.tensor(a, dtype=torch.float64))

    def forward(self, x: Tensor, condition: Tensor | None = None, *, stream: str) -> Scored:
        return Scored((self.a * x.square()).sum(-1) / 2)


def smooth(seed: int) -> Logit:
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1)).double()
    net.forward = lambda x, stream, run=net.forward: run(x)  # type: ignore[method-assign]
    return Logit(net)


def points(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


# --- the penalty ----------------------------------------------------------------------------------


def test_the_penalty_of_an_ellipsoid_and_its_derivative_are_the_closed_forms() -> None:
    energy, x = Ellipsoid(1.0, 3.0), points(1, 5, 2)
    u, penalty = gradient_penalty(energy, x, context(), stream="real")
    a = energy.a.detach()
    torch.testing.assert_close(u, (a * x**2).sum(-1)[None] / 2)
    torch.testing.assert_close(penalty, (a * x).square().sum(-1).mean()[None])
    penalty.sum().backward()
    torch.testing.assert_close(energy.a.grad, 2 * a * x.square().mean(0))
    norms = (a * x).norm(dim=-1)
    _, at_one = gradient_penalty(energy, x, context(), stream="real", centre=1.0)
    torch.testing.assert_close(at_one, (norms - 1).square().mean()[None])


def test_a_gradient_of_zero_gives_a_finite_derivative() -> None:
    energy = Ellipsoid(1.0, 3.0)
    _, penalty = gradient_penalty(energy, torch.zeros(4, 2), context(), stream="real", centre=1.0)
    penalty.sum().backward()
    assert energy.a.grad is not None
    assert energy.a.grad.isfinite().all()


def test_its_derivative_in_the_weights_is_that_of_finite_differences() -> None:
    energy, x = smooth(0), points(2, 6, 3)
    weight = energy.network[0].weight

    def value() -> Tensor:
        return gradient_penalty(energy, x, context(), stream="real", centre=0.5)[1].sum()

    (slope,) = torch.autograd.grad(value(), weight)
    step = 1e-6
    for at in ((0, 0), (3, 2), (7, 1)):
        with torch.no_grad():
            weight[at] += step
        above = value()
        with torch.no_grad():
            weight[at] -= 2 * step
        below = value()
        with torch.no_grad():
            weight[at] += step
        assert float(slope[at]) == pytest.approx(
            float((above - below).detach() / (2 * step)), rel=1e-5, abs=1e-8
        )


def test_under_autocast_it_is_as_without() -> None:
    energy, x = smooth(0).float(), points(2, 6, 3).float()
    u, penalty = gradient_penalty(energy, x, context(), stream="real")
    with torch.autocast("cpu", torch.bfloat16):
        assert energy(x, stream="real").energy.dtype == torch.float32  # of rounded products
        assert not torch.equal(context().rows(energy(x, stream="real").energy), u)
        again = gradient_penalty(energy, x.bfloat16().float(), context(), stream="real")
        inside, of_half = (
            gradient_penalty(energy, at, context(), stream="real") for at in (x, x.bfloat16())
        )
    assert torch.equal(inside[0], u)
    assert torch.equal(inside[1], penalty)
    assert torch.equal(of_half[1], again[1])  # draws are in half precision there


def test_a_frozen_energy_has_a_penalty_and_stays_without_gradient() -> None:
    energy, x = smooth(0), points(2, 6, 3)
    _, free = gradient_penalty(energy, x, context(), stream="real")
    with frozen(energy), torch.no_grad():
        _, penalty = gradient_penalty(energy, x, context(), stream="real")
    assert torch.equal(penalty, free)
    assert all(p.grad is None for p in energy.parameters())


def test_members_of_a_cohort_have_the_penalties_of_their_single_runs() -> None:
    def network(seed: int) -> Logit:
        torch.manual_seed(seed)
        return Logit(mlp_logit((3,), [8], norm=False)).double()

    alone = [network(0), network(1)]
    together, x = stack(alone), points(4, 2, 6, 3)
    hyper = {"r1": 0.3, "r2": 0.7, "gradient_penalty": 10.0}
    fakes = points(5, 2, 6, 3)
    both = Logistic().energy_loss(together, Batch(x), Draw(fakes), context(hyper, (3, 4)))
    both.total.sum().backward()
    weight = dict(together.named_parameters())["network.1.weight"]
    for i, own in enumerate(alone):
        one = Logistic().energy_loss(own, Batch(x[i]), Draw(fakes[i]), context(hyper, (3 + i,)))
        one.total.sum().backward()
        torch.testing.assert_close(both.total[i : i + 1], one.total)
        torch.testing.assert_close(
            weight.grad[i], dict(own.named_parameters())["network.1.weight"].grad
        )
        for name, value in one.parts.items():
            torch.testing.assert_close(both.parts[name][i : i + 1], value)


# --- the losses -----------------------------------------------------------------------------------

NUMPY = {
    Relativistic: (
        lambda r, f: np.mean(np.log1p(np.exp(r - f))),
        lambda r, f: np.mean(np.log1p(np.exp(f - r))),
    ),
    LogitHinge: (
        lambda r, f: np.mean(np.maximum(0, 1 + r)) + np.mean(np.maximum(0, 1 - f)),
        lambda r, f: np.mean(f),
    ),
    Contrastive: (lambda r, f: np.mean(r) - np.mean(f), lambda r, f: np.mean(f)),
    Logistic: (
        lambda r, f: np.mean(np.log1p(np.exp(r))) + np.mean(np.log1p(np.exp(-f))),
        lambda r, f: np.mean(np.log1p(np.exp(f))),
    ),
}


@pytest.mark.parametrize("kind", NUMPY)
def test_the_losses_are_their_formulas_with_and_without_penalties(kind: type[Objective]) -> None:
    energy, x, fakes = smooth(1), points(6, 7, 3), points(7, 7, 3)
    batch, draw, objective = Batch(x), Draw(fakes), kind()
    u, v = (energy(at, stream="real").energy.detach().numpy() for at in (x, fakes))
    of_energy, of_sampler = NUMPY[kind]
    plain = objective.energy_loss(energy, batch, draw, context())
    against = objective.sampler_loss(energy, batch, draw, context())
    assert plain.total.item() == pytest.approx(of_energy(u, v), rel=1e-12)
    assert against.total.item() == pytest.approx(of_sampler(u, v), rel=1e-12)
    hyper = {"r1": 0.3, "r2": 0.7, "gradient_penalty": 10.0}
    found = objective.energy_loss(energy, batch, draw, context(hyper))
    t = context(hyper).generator.uniform(0, 1, 7)[:, None]
    squares = {}
    for name, at in (("r1", x), ("r2", fakes), ("gradient_penalty", (1 - t) * x + t * fakes)):
        at = at.clone().requires_grad_()
        (g,) = torch.autograd.grad(energy(at, stream="real").energy.sum(), at)
        squares[name] = (g.norm(dim=1) - int(name == "gradient_penalty")).square().mean()
        assert float(found.parts[name]) == pytest.approx(float(squares[name]), rel=1e-10)
    whole = plain.total + 0.15 * squares["r1"] + 0.35 * squares["r2"]
    whole = whole + 10 * squares["gradient_penalty"]
    assert found.total.item() == pytest.approx(whole.item(), rel=1e-10)


def test_the_relativistic_samplers_gradient_reaches_the_samples_alone() -> None:
    energy, x = smooth(1), points(6, 7, 3)
    fakes = points(7, 7, 3).requires_grad_()
    with frozen(energy):
        loss = Relativistic().sampler_loss(energy, Batch(x), Draw(fakes), context())
        loss.total.sum().backward()
    u, (slope,) = (
        energy(fakes, stream="fake").energy,
        torch.autograd.grad(energy(fakes, stream="fake").energy.sum(), fakes),
    )
    weight = torch.sigmoid(u - energy(x, stream="real").energy)[:, None] / 7
    torch.testing.assert_close(fakes.grad, weight.detach() * slope)
