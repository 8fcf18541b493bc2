"""The reconstruction energy and the logit as an energy, against their definitions."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from energan.energies.logit import Logit
from energan.energies.reconstruction import Reconstruction, reconstruction_energy
from energan.nets.autoencoder import AutoEncoder, mlp_autoencoder
from energan.nets.dense import BatchNorm, Sequential
from energan.nets.mlp import mlp_logit

EVENTS = [(5,), (2, 3), (3, 4, 4)]
NAIVE = {
    "l2": lambda d: np.linalg.norm(d),
    "sum": lambda d: (d**2).sum(),
    "mean": lambda d: (d**2).mean(),
}


@pytest.mark.parametrize("reduction", NAIVE)
@pytest.mark.parametrize("event", EVENTS)
@pytest.mark.parametrize("lead", [(6,), (2, 6)])
def test_the_three_reductions(reduction, event, lead):
    """‖r - x‖, its square, and its square over the number of values, for each sample by itself."""
    x = torch.randn(*lead, *event, dtype=torch.float64)
    r = torch.randn(*lead, *event, dtype=torch.float64)
    energy = reconstruction_energy(x, r, len(event), reduction)
    assert energy.shape == lead
    for index in np.ndindex(*lead):
        expected = NAIVE[reduction]((r - x)[index].numpy())
        assert energy[index].item() == pytest.approx(expected, rel=1e-12)


def test_the_default_is_the_l2_norm():
    """Eq. 13: the energy of (3, 4) against 0 is 5, not 25 and not 12.5."""
    x, r = torch.tensor([[3.0, 4.0]]), torch.zeros(1, 2)
    assert reconstruction_energy(x, r, 1).item() == 5
    network = mlp_autoencoder((2,), (3,), norm=False)
    for p in network.parameters():
        p.data.zero_()
    assert Reconstruction(network, 1)(x, stream="real").energy.item() == 5


@given(st.integers(0, 10**6), st.floats(0.01, 100))
@settings(max_examples=40, deadline=None)
def test_a_reconstruction_energy_is_never_negative_and_scales_as_stated(seed, scale):
    """U >= 0; l2 grows with the difference, the others with its square."""
    g = torch.Generator().manual_seed(seed)
    x, r = torch.randn(2, 3, 4, generator=g, dtype=torch.float64)
    for reduction, power in (("l2", 1), ("sum", 2), ("mean", 2)):
        one = reconstruction_energy(x, r, 1, reduction)
        other = reconstruction_energy(scale * x, scale * r, 1, reduction)
        assert (one >= 0).all()
        torch.testing.assert_close(other, scale**power * one)


@pytest.mark.parametrize("reduction", NAIVE)
def test_the_gradient_runs_through_x_and_through_its_reconstruction(reduction):
    """dU/dx is dU/dr J - dU/dr: the whole derivative, of which detaching either part loses one."""
    torch.manual_seed(0)
    energy = Reconstruction(mlp_autoencoder((4,), (6, 3), norm=False).double(), 1, reduction)
    x = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda v: energy(v, stream="fake").energy, x)
    scored = energy(x, stream="fake")
    whole = torch.autograd.grad(scored.energy.sum(), x, retain_graph=True)[0]
    parts = [
        torch.autograd.grad(reconstruction_energy(a, b, 1, reduction).sum(), x, retain_graph=True)[
            0
        ]
        for a, b in (
            (x, scored.reconstruction.detach()),
            (x.detach(), scored.reconstruction),
        )
    ]
    torch.testing.assert_close(sum(parts), whole)
    assert all(part.abs().max() > 1e-2 for part in parts)


@pytest.mark.parametrize("reduction", NAIVE)
def test_a_perfect_reconstruction_has_a_finite_gradient(reduction):
    """The derivative of a norm at 0 is 0/0; here it is 0, in x and in the reconstruction."""
    x = torch.randn(3, 4, requires_grad=True)
    r = x.detach().clone().requires_grad_()
    with torch.no_grad():
        r[0] += 1  # one sample off, so that the batch has a gradient at all
    reconstruction_energy(x, r, 1, reduction).sum().backward()
    for grad in (x.grad, r.grad):
        assert grad.isfinite().all()
        assert not grad[1:].any()
        assert grad[0].abs().min() > 0


def test_energies_of_half_precision_networks_are_float32():
    """bfloat16 sums of 784 squares would be off by percents."""
    x = torch.rand(3, 784).bfloat16()
    r = torch.rand(3, 784).bfloat16()
    energy = reconstruction_energy(x, r, 1, "sum")
    assert energy.dtype == torch.float32
    expected = ((r.double() - x.double()) ** 2).sum(1).float()
    torch.testing.assert_close(energy, expected, rtol=1e-5, atol=0)


class Maps(nn.Module):
    """An encoder whose code is feature maps (B, 2, 3, 3)."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([x - 0.5, -x], 1)


class First(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x[:, 0]


@pytest.mark.parametrize("code", ["raw", "activated"])
def test_codes_that_are_maps_are_flattened(code):
    """Scored.code is (B, S), before or after the ReLU as chosen; the reconstruction has x's shape
    and is that of the activated code either way."""
    network = AutoEncoder(Sequential(Maps()), Sequential(nn.ReLU()), Sequential(First()))
    x = torch.randn(7, 3, 3)
    scored = Reconstruction(network, 2, code=code)(x, stream="real")
    raw = torch.stack([x - 0.5, -x], -1).reshape(7, 18)  # pixel by pixel
    torch.testing.assert_close(scored.code, raw if code == "raw" else raw.relu())
    torch.testing.assert_close(scored.reconstruction, (x - 0.5).relu())
    torch.testing.assert_close(scored.energy, ((x - 0.5).relu() - x).square().sum((1, 2)).sqrt())


def test_the_raw_code_is_the_default():
    """The pulling-away term reads the encoder's output before norm and ReLU."""
    torch.manual_seed(0)
    network = mlp_autoencoder((4,), (8, 6), norm=True)
    x = torch.randn(5, 4)
    scored = Reconstruction(network, 1)(x, stream="real")
    torch.testing.assert_close(scored.code, network.encoder(x, "real"))
    assert (scored.code < 0).any()


def test_a_logit_is_negated():
    """U = -logit, one a sample, so that D(x) = sigmoid(-U(x)): low energy means real."""
    network = mlp_logit((2, 3), (5,), norm=False)
    x = torch.randn(6, 2, 3)
    scored = Logit(network)(x, stream="real")
    assert scored.energy.shape == (6,)
    assert scored.code is None
    for i in range(6):
        d = 1 / (1 + math.exp(-network(x[i : i + 1], "real").item()))
        assert torch.sigmoid(-scored.energy[i]).item() == pytest.approx(d, rel=1e-5)


def test_only_the_reconstruction_promises_to_be_non_negative():
    """The mark that margins ask for: a logit of either sign exists."""
    assert Reconstruction.nonnegative
    assert not Logit.nonnegative
    network = mlp_logit((3,), (4,), norm=False)
    x, signs = torch.randn(20, 3), []
    for bias in (-100.0, 100.0):
        network[-1].bias.data.fill_(bias)
        signs.append(Logit(network)(x, stream="real").energy.sign().unique().tolist())
    assert signs == [[1], [-1]]


@pytest.mark.parametrize("build", ["reconstruction", "logit"])
def test_the_energy_hands_its_stream_to_the_network(build):
    """A batch scored as "eval" does not depend on what it stands beside; as "fake" it does."""
    torch.manual_seed(0)
    if build == "logit":
        energy = Logit(mlp_logit((4,), (6, 5), norm=True))
    else:
        energy = Reconstruction(mlp_autoencoder((4,), (6, 5), norm=True), 1)
    assert any(isinstance(layer, BatchNorm) for layer in energy.modules())
    x = torch.randn(8, 4)
    few, many = (energy(v, stream="eval").energy[:3] for v in (x[:3], x))
    torch.testing.assert_close(few, many)
    few, many = (energy(v, stream="fake").energy[:3] for v in (x[:3], x))
    assert (few - many).abs().max() > 1e-2
