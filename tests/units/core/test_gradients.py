"""∇U by its formula, in full precision, of each member of a cohort, and trained through."""

import pytest
import torch
from torch import Tensor

from energan.core import (
    Context,
    Energy,
    Randomness,
    Scored,
    frozen,
    potential,
    value_and_gradient,
)
from energan.energies.scalar import Scalar
from energan.nets.mlp import smooth_mlp
from energan.training.cohort import stack


def network(seed: int = 0) -> Scalar:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return Scalar(smooth_mlp(3, [16, 16], spectral=False)).double()


def points(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def penalty(energy: Energy, x: Tensor) -> Tensor:
    """E ‖∇U‖²."""
    _, gradient = value_and_gradient(potential(energy, stream="real"), x, create_graph=True)
    return gradient.square().sum(-1).mean()


def test_the_gradient_is_that_of_the_formula() -> None:
    x = points(5, 2, 3)
    u, gradient = value_and_gradient(lambda x: x.pow(4).sum((1, 2)) / 4, x)
    torch.testing.assert_close(u, x.pow(4).sum((1, 2)) / 4)
    torch.testing.assert_close(gradient, x**3)
    assert not u.requires_grad
    assert not gradient.requires_grad
    assert not x.requires_grad


def test_a_penalty_trains_the_energy_by_its_second_derivative() -> None:
    energy, x = network(), points(7, 3)
    weight = next(energy.parameters())
    (slope,) = torch.autograd.grad(penalty(energy, x), weight)
    way = points(*weight.shape, seed=1)
    at, step = weight.detach().clone(), 1e-5
    with torch.no_grad():
        sides = []
        for sign in (1, -1):
            weight.copy_(at + sign * step * way)
            sides.append(float(penalty(energy, x)))
    assert (sides[0] - sides[1]) / (2 * step) == pytest.approx(float((slope * way).sum()), rel=1e-6)


def test_no_graph_reaches_what_x_was_made_of_nor_frozen_weights() -> None:
    energy, source = network(), points(4, 3).requires_grad_()
    u, gradient = value_and_gradient(potential(energy), 2 * source, create_graph=True)
    (u.sum() + gradient.sum()).backward()
    assert source.grad is None
    with frozen(energy):
        _, constant = value_and_gradient(potential(energy), points(4, 3))
    torch.testing.assert_close(constant, value_and_gradient(potential(energy), points(4, 3))[1])


@pytest.mark.parametrize("given", [torch.float32, torch.bfloat16])
def test_half_precision_stays_out_unless_it_is_asked_for(given: torch.dtype) -> None:
    energy = network().float()
    x = points(64, 3).bfloat16()
    u, right = value_and_gradient(potential(energy), x.float())
    with torch.autocast("cpu", torch.bfloat16):
        found = value_and_gradient(potential(energy), x.to(given))
        _, half = value_and_gradient(potential(energy), x.to(given), autocast=True)
    assert torch.equal(found[0], u)
    assert torch.equal(found[1], right)
    assert not torch.allclose(half.float(), right, rtol=1e-3)


def test_members_of_a_cohort_have_each_its_own() -> None:
    each = [network(0), network(1)]
    together, x = stack(each), points(2, 6, 3)
    u, gradient = value_and_gradient(potential(together, members=2), x, members=2)
    for i, alone in enumerate(each):
        own = value_and_gradient(potential(alone), x[i])
        torch.testing.assert_close((u[i], gradient[i]), own)
    norms = Context(0, {}, Randomness([0, 1])).events(gradient).norm(dim=-1)
    assert norms.shape == (2, 6)
    torch.testing.assert_close(norms, gradient.norm(dim=-1))


class Cells(Energy):
    def forward(self, x: Tensor, condition: Tensor | None = None, *, stream: str) -> Scored:
        return Scored(x.square().sum(-3))


@pytest.mark.parametrize("lead", [(5,), (2, 5)])
def test_cells_count_by_their_mean(lead: tuple[int, ...]) -> None:
    x, members = points(*lead, 3, 4, 4), 1 if len(lead) == 1 else 2
    u, gradient = value_and_gradient(potential(Cells(), members=members), x, members=members)
    assert u.shape == lead
    torch.testing.assert_close(gradient, 2 * x / 16)


def test_an_energy_of_another_shape_is_refused() -> None:
    with pytest.raises(
        ValueError, match=r"one number for each of 5 examples, shape \(5,\): it returned \(\)"
    ):
        value_and_gradient(lambda x: x.sum(), points(5, 3))
