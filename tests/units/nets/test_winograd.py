"""Convolutions in the transform domain against direct ones in float64."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from energan.core import frozen_weights, kept_while_frozen, value_and_gradient
from energan.nets import winograd
from energan.nets.resnet import SLOPE, ResidualEnergy
from energan.samplers import langevin

SIDES = st.integers(1, 13)


def off(found: Tensor, exact: Tensor) -> float:
    """The largest error, relative to the largest value."""
    return float(((found - exact).abs().max() / exact.abs().max()).detach())


@given(seed=st.integers(0, 10**6), batch=st.integers(1, 5), inputs=st.integers(1, 9),
       outputs=st.integers(1, 9), height=SIDES, width=SIDES, mean=st.sampled_from([0.0, 3.0]),
       bias=st.booleans(), last=st.booleans())  # fmt: skip
@settings(deadline=None)
def test_values_and_gradients_are_those_of_the_direct_convolution(
    seed: int, batch: int, inputs: int, outputs: int, height: int, width: int, mean: float,
    bias: bool, last: bool,
) -> None:  # fmt: skip
    torch.manual_seed(seed)
    x = torch.randn(batch, inputs, height, width) + mean
    if last:
        x = x.contiguous(memory_format=torch.channels_last)
    w, b = torch.randn(outputs, inputs, 3, 3), torch.randn(outputs) if bias else None
    along = torch.randn(batch, outputs, height, width)
    with pytest.MonkeyPatch.context() as patch, frozen_weights():
        patch.setattr(winograd, "LEAST_MAPS", 1)
        patch.setattr(winograd, "LEAST_TILES", 0)
        patch.setattr(winograd, "TILES_AT_ONCE", 1 + seed % 20)
        x.requires_grad_()
        y = winograd.after_leaky(x, w, b, SLOPE)
        assert "_Convolve" in type(y.grad_fn).__name__
        (g,) = torch.autograd.grad(y, x, along)
    at = x.detach().double().requires_grad_()
    exact = F.conv2d(F.leaky_relu(at, SLOPE), w.double(), None if b is None else b.double(), 1, 1)
    (exact_g,) = torch.autograd.grad(exact, at, along.double())
    assert y.shape == exact.shape
    # All taps of a kernel go through every output of its tile: the error is of the size of the
    # largest sum that could be, also where the sum at hand is of few taps, or near 0.
    weight = w.double().abs()
    scale = at.abs().max() * weight.sum((1, 2, 3)).max() + 1
    assert (y - exact).abs().max() < 1e-5 * scale
    back = along.double().abs().max() * weight.sum((0, 2, 3)).max()
    assert (g - exact_g).abs().max() < 1e-5 * back


def test_the_error_of_wide_maps_is_near_that_of_direct_convolution() -> None:
    torch.manual_seed(0)
    x, w = torch.randn(4, 256, 16, 16), torch.randn(256, 256, 3, 3)
    exact = F.conv2d(x.double(), w.double(), padding=1)
    found = winograd.convolve_tiles(x, winograd.transformed(w), winograd.FORWARD, 1.0, None)
    assert off(found, exact) < 1e-5
    # 9 to 16 times, as the processor adds in the direct one
    assert off(found, exact) < 20 * off(F.conv2d(x, w, padding=1), exact)


def network(classes: int = 0) -> ResidualEnergy:
    torch.manual_seed(0)
    net = ResidualEnergy((3, 32, 24), (64, 128), (2,), classes=classes)
    net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    for p in net.parameters():
        torch.nn.init.normal_(p, std=0.1) if p.dim() < 4 else None
    return net.eval()


@pytest.mark.parametrize("classes", [0, 3])
def test_energy_and_gradient_of_the_network_are_those_of_float64(classes: int) -> None:
    net, exact = network(classes), network(classes).double()
    x, labels = torch.rand(5, 3, 32, 24), torch.arange(5) % 3
    net.requires_grad_(False)
    with frozen_weights():
        u, g = value_and_gradient(lambda x: net(x, labels).squeeze(1), x)
        assert kept_while_frozen()
    exact_u, exact_g = value_and_gradient(lambda x: exact(x, labels).squeeze(1), x.double())
    assert off(u, exact_u) < 1e-5
    # an activation near 0 may fall on the other side: compared in the mean
    assert float((g - exact_g).norm() / exact_g.norm()) < 1e-3


def test_each_kernel_is_transformed_once_for_a_chain(monkeypatch: pytest.MonkeyPatch) -> None:
    net, made = network().requires_grad_(False), []
    whole = torch.kron
    monkeypatch.setattr(torch, "kron", lambda *of: made.append(of) or whole(*of))
    langevin(lambda x: net(x).squeeze(1), torch.rand(4, 3, 32, 24), steps=3, step_size=0.1)
    assert len(made) == 4
    assert kept_while_frozen() is None


def test_weights_that_need_gradients_and_calls_without_any_are_direct() -> None:
    net, x = network(), torch.rand(4, 3, 32, 24)
    with frozen_weights():
        net(x.requires_grad_()).sum().backward()
        assert all(p.grad is not None for p in net.parameters())
        net.requires_grad_(False)
        with torch.no_grad():
            net(x)
        assert not kept_while_frozen()


def test_chains_in_half_precision_are_near() -> None:
    net, x = network().requires_grad_(False), torch.rand(4, 3, 32, 24)

    def chain() -> Tensor:
        g = torch.Generator().manual_seed(1)
        made = langevin(
            lambda x: net(x).float().squeeze(1), x, steps=3, step_size=0.5, noise=0.01, generator=g
        )
        assert made.x.dtype == torch.float32
        return made.x - x

    whole = chain()
    with torch.autocast("cpu", torch.bfloat16):
        half = chain()
    assert float((half - whole).norm() / whole.norm()) < 0.2


def test_what_is_kept_is_forgotten_and_nests() -> None:
    w = torch.randn(8, 8, 3, 3)
    with frozen_weights():
        first = winograd.transformed(w)
        with frozen_weights():
            assert winograd.transformed(w) is first
        assert winograd.transformed(w) is first
    assert kept_while_frozen() is None
    assert winograd.transformed(w) is not first
