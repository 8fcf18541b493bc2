"""The residual energy network: its halving, its spectral norm, its labels."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from energan.core import SettingError
from energan.nets.mlp import smooth_mlp
from energan.nets.resnet import SLOPE, Block, ResidualEnergy, conv


@given(seed=st.integers(0, 10**6), inputs=st.integers(1, 4), outputs=st.integers(1, 4),
       height=st.integers(2, 9), width=st.integers(2, 9))  # fmt: skip
@settings(deadline=None)
def test_halving_is_the_mean_of_two_by_two_of_the_convolution(
    seed: int, inputs: int, outputs: int, height: int, width: int
) -> None:
    """Odd sides too: the last row or column has no window, there as here."""
    torch.manual_seed(seed)
    layer = conv(inputs, outputs, spectral=False, halve=True).double()
    x = torch.randn(2, inputs, height, width, dtype=torch.float64)
    plain = F.avg_pool2d(F.conv2d(x, layer.weight, layer.bias, padding=1), 2)
    assert torch.allclose(layer(x), plain)


def plain(block: Block, x: torch.Tensor) -> torch.Tensor:
    """The block as the paper draws it: two convolutions, the mean at the end of both ways."""
    hidden = F.conv2d(F.leaky_relu(x, SLOPE), block.first.weight, block.first.bias, padding=1)
    hidden = F.conv2d(
        F.leaky_relu(hidden, SLOPE), block.second.weight, block.second.bias, padding=1
    )
    around = x if block.around is None else F.conv2d(x, block.around.weight, block.around.bias)
    return F.avg_pool2d(hidden, 2) + F.avg_pool2d(around, 2)


@pytest.mark.parametrize(("inputs", "outputs"), [(3, 5), (4, 4)])
def test_a_block_is_that_of_the_paper(inputs: int, outputs: int) -> None:
    torch.manual_seed(2)
    block = Block(inputs, outputs, halve=True, spectral=False).double()
    x = torch.randn(3, inputs, 8, 6, dtype=torch.float64)
    assert torch.allclose(block(x, None), plain(block, x))


def test_each_weight_has_the_largest_singular_value_one() -> None:
    """After power iterations have settled, of the kernels as they are trained, mean or not."""
    torch.manual_seed(0)
    net = ResidualEnergy((1, 8, 8), (4, 6), (2, 1))
    for _ in range(200):
        net(torch.rand(2, 1, 8, 8), "real")
    net.eval()
    found = []
    for layer in net.modules():
        if hasattr(layer, "parametrizations"):
            spectral = layer.parametrizations.weight[0]
            weight = spectral(layer.parametrizations.weight.original)
            found.append(float(torch.linalg.matrix_norm(weight.detach().flatten(1), 2)))
    assert len(found) == 1 + 2 * 3 + 1 + 1  # entry, three blocks, one way around, output
    assert found == pytest.approx([1.0] * len(found), rel=1e-3)


def test_labels_start_without_effect_and_gain_one_by_their_own_numbers() -> None:
    torch.manual_seed(0)
    net = ResidualEnergy((1, 8, 8), (4,), (1,), classes=3)
    x = torch.rand(3, 1, 8, 8)
    with torch.no_grad():
        one, other = (
            net(x, torch.tensor([0, 1, 2]), "real"),
            net(x, torch.tensor([2, 2, 2]), "real"),
        )
        net.eval()
        one, other = (net(x, torch.tensor(y), "eval") for y in ([0, 1, 2], [2, 2, 2]))
        assert torch.allclose(one, other)
        net.body[0].gain[1] = 0.5
        net.body[0].bias[0] = 0.5
        moved = net(x, torch.tensor([0, 1, 2]), "eval")
    differs = (moved - other).abs().flatten() > 1e-6
    assert differs.tolist() == [True, True, False]


def test_the_published_networks_have_the_stated_shapes() -> None:
    small = ResidualEnergy((3, 32, 32), (128, 256, 256), (2,))
    assert [b.halve for b in small.body] == [True, False] * 3
    assert [b.second.weight.shape[0] for b in small.body] == [128, 128, 256, 256, 256, 256]
    large = ResidualEnergy((3, 128, 128), (64, 128, 256, 512, 1024), (1, 1, 1, 1, 2))
    assert [b.halve for b in large.body] == [True] * 5 + [False]


def test_mistakes_are_told() -> None:
    with pytest.raises(SettingError, match="one for each stage"):
        ResidualEnergy((1, 8, 8), (4, 4, 4), (1, 2))
    with pytest.raises(SettingError, match="8×8"):
        ResidualEnergy((1, 8, 8), (4, 4, 4, 4), (1,))


def test_the_energy_of_points_is_smooth_and_of_slope_one_under_spectral_norm() -> None:
    torch.manual_seed(0)
    net = smooth_mlp(2, (16, 16), spectral=True)
    for _ in range(100):
        net(torch.randn(4, 2), "real")
    net.eval()
    x = (torch.randn(500, 2) * 5).requires_grad_()
    (g,) = torch.autograd.grad(net(x, "eval").sum(), x)
    assert float(g.norm(dim=1).max()) <= 1.21 + 1e-3  # SiLU's slope is at most 1.1 a layer
