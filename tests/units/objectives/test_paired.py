"""The objective of image to image, against its definition in plain numbers."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from energan.core import Batch, Context, Draw, Energy, Randomness, Scored, frozen
from energan.objectives import Logistic, PairedLogistic, absolute_difference, non_saturating

SIZES = st.integers(1, 5)
SEEDS = st.integers(0, 2**31)


class Cells(Energy):
    """U(x | c) = a·x + c, a cell for each value: (B, C, H, W) -> (B, C, H, W)."""

    def __init__(self, slope: float = 1.5) -> None:
        super().__init__()
        self.slope = torch.nn.Parameter(torch.tensor(slope, dtype=torch.double))

    def forward(self, x: Tensor, condition: Tensor | None = None, *, stream: str) -> Scored:
        assert condition is not None
        return Scored(self.slope * x + condition)


def case(seed: int, n: int, side: int, weight: float) -> tuple[Batch, Draw, Context]:
    g = torch.Generator().manual_seed(seed)
    x, made, condition = (
        3 * torch.randn(n, 1, side, side + 1, generator=g, dtype=torch.double) for _ in range(3)
    )
    hyper = {"l1": torch.tensor([[weight]], dtype=torch.double)}
    return Batch(x, condition), Draw(made, condition), Context(0, hyper, Randomness([0]))


def softplus(value: float) -> float:
    return max(value, 0) + math.log1p(math.exp(-abs(value)))


@settings(deadline=None, max_examples=40)
@given(SEEDS, SIZES, SIZES, st.floats(0, 100))
def test_both_losses_are_the_definitions(seed: int, n: int, side: int, weight: float) -> None:
    """Cell by cell in plain Python: the mean over cells of the softplus, half of it for D; for G
    the mean absolute difference λ times on top."""
    batch, draw, context = case(seed, n, side, weight)
    energy = Cells()
    real = (1.5 * batch.x + batch.condition).flatten().tolist()
    fake = (1.5 * draw.x + draw.condition).flatten().tolist()
    of_energy = PairedLogistic().energy_loss(energy, batch, draw, context)
    expected = 0.5 * np.mean([softplus(u) for u in real])
    expected += 0.5 * np.mean([softplus(-u) for u in fake])
    assert of_energy.total.shape == (1,)
    assert of_energy.total.item() == pytest.approx(expected, rel=1e-10)
    assert of_energy.parts["energy_real"].item() == pytest.approx(np.mean(real))
    assert of_energy.parts["energy_fake"].item() == pytest.approx(np.mean(fake))
    of_sampler = PairedLogistic().sampler_loss(energy, batch, draw, context)
    deceit = np.mean([softplus(u) for u in fake])
    l1 = np.mean(np.abs(draw.x.numpy() - batch.x.numpy()))
    assert of_sampler.total.item() == pytest.approx(deceit + weight * l1, rel=1e-10)
    assert of_sampler.parts["difference"].item() == pytest.approx(l1)
    assert of_sampler.parts["deceit"].item() == pytest.approx(deceit)
    assert not any(v.requires_grad for v in (*of_sampler.parts.values(), *of_energy.parts.values()))


def test_it_is_the_mean_over_cells_of_softplus_not_softplus_of_the_mean() -> None:
    """Cells of energies 4 and -4 cost (softplus(4) + softplus(-4)) / 2 = 2.018, not log 2."""
    energies = torch.tensor([[4.0, -4.0]]).view(1, 1, 1, 2)
    assert non_saturating(energies.flatten(1)).item() == pytest.approx(2.018, abs=1e-3)
    context = Context(0, {"l1": torch.zeros(1, 1)}, Randomness([0]))
    draw = Draw(energies, torch.zeros_like(energies))
    batch = Batch(energies, torch.zeros_like(energies))
    loss = PairedLogistic().sampler_loss(Cells(1.0).float(), batch, draw, context)
    assert loss.total.item() == pytest.approx(2.018, abs=1e-3)


def test_ds_loss_is_half_of_the_logistic_one_and_without_weight_gs_is_its() -> None:
    batch, draw, context = case(1, 3, 4, 0.0)
    energy, plain, paired = Cells(), Logistic(), PairedLogistic()
    whole = plain.energy_loss(energy, batch, draw, context).total
    torch.testing.assert_close(paired.energy_loss(energy, batch, draw, context).total, whole / 2)
    torch.testing.assert_close(
        paired.sampler_loss(energy, batch, draw, context).total,
        plain.sampler_loss(energy, batch, draw, context).total,
    )
    saturating = PairedLogistic("minimax").sampler_loss(energy, batch, draw, context).total
    assert saturating.item() < 0


@settings(deadline=None, max_examples=20)
@given(SEEDS, SIZES, SIZES)
def test_gradient_flows_through_both_terms(seed: int, n: int, side: int) -> None:
    """dL_G/dx of one value: a · sigmoid(U)/cells + λ · sign(x − truth)/values; D's weights get
    none, and the truth gets none of its own."""
    batch, draw, context = case(seed, n, side, 10.0)
    made = draw.x.requires_grad_()
    energy = Cells()
    with frozen(energy):
        loss = PairedLogistic().sampler_loss(energy, batch, draw, context)
        loss.total.sum().backward()
    count = made.numel()
    assert batch.condition is not None
    u = 1.5 * made.detach() + batch.condition
    expected = (1.5 * torch.sigmoid(u) + 10 * (made.detach() - batch.x).sign()) / count
    torch.testing.assert_close(made.grad, expected)
    assert energy.slope.grad is None


@settings(deadline=None, max_examples=30)
@given(SEEDS, SIZES, SIZES)
def test_the_absolute_difference(seed: int, rows: int, count: int) -> None:
    g = torch.Generator().manual_seed(seed)
    a, b = (torch.randn(rows, count, generator=g, dtype=torch.double) for _ in range(2))
    found = absolute_difference(a, b)
    assert found.shape == (rows,)
    for row in range(rows):
        each = [abs(x - y) for x, y in zip(a[row].tolist(), b[row].tolist(), strict=True)]
        assert float(found[row]) == pytest.approx(sum(each) / count)
    assert absolute_difference(a, a).eq(0).all()
    torch.testing.assert_close(absolute_difference(2 * a, 2 * b), 2 * found)
