"""The convolutional GAN of 2014 against its published layers, and its maxout units by hand."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from energan.core import Domain, SettingError
from energan.experiment.build import build
from energan.experiment.settings import load
from energan.models import gan_conv
from energan.nets.dense import Dense, Dropout, Maxout
from energan.nets.maxout_conv import (
    LAYERS,
    Geometry,
    MaxoutConv,
    deconv_generator,
    maxout_conv_logit,
    pooled_side,
)

CIFAR10 = Domain((3, 32, 32), -1.0, 1.0, classes=10)
TFD = Domain((1, 48, 48), 0.0, 1.0)


def parameters(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def by_hand(layer: MaxoutConv, x: Tensor, maps: int, geometry: Geometry) -> Tensor:
    """Each piece a convolution of its own; each window cut out, at the end as far as it goes."""
    pieces = [
        F.conv2d(x, w, b, padding=geometry.padding)
        for w, b in zip(
            layer.conv.weight.split(maps), layer.conv.bias.split(maps), strict=True
        )
    ]  # fmt: skip
    found = torch.stack(pieces).max(0).values
    side = found.shape[-1]
    starts = range(0, max(side - geometry.pool, 0) + 1 + (side - geometry.pool) % 2, 2)
    rows = [
        torch.stack(
            [found[..., i : i + geometry.pool, j : j + geometry.pool].amax((2, 3)) for j in starts],
            -1,
        )
        for i in starts
    ]
    return torch.stack(rows, -2)


@pytest.mark.parametrize("geometry", LAYERS)
@pytest.mark.parametrize("side", [11, 12])
def test_a_maxout_convolution_is_the_largest_piece_of_each_window(
    geometry: Geometry, side: int
) -> None:
    torch.manual_seed(0)
    layer, x = MaxoutConv(3, 5, 4, geometry), torch.randn(2, 3, side, side)
    torch.testing.assert_close(layer(x), by_hand(layer, x, 5, geometry))


@pytest.mark.parametrize("geometry", LAYERS)
def test_the_side_is_the_one_that_comes_out(geometry: Geometry) -> None:
    layer = MaxoutConv(1, 1, 1, geometry)
    for side in range(1, 40):
        expected = pooled_side(side, geometry)
        if expected < 1:
            with pytest.raises(RuntimeError):
                layer(torch.zeros(1, 1, side, side))
        else:
            assert layer(torch.zeros(1, 1, side, side)).shape == (1, 1, expected, expected)


def test_the_published_networks_layer_by_layer() -> None:
    with torch.device("meta"):
        model = gan_conv.build(gan_conv.Config(), CIFAR10)
        z = torch.empty(2, 100)
    g, d = model.sampler.network, model.energy.network
    assert g(z, "fake").shape == (2, 3, 32, 32)
    # 100-8000-8000, then 80 maps of 10×10 by 5×5 kernels to three colours
    assert parameters(g) == (100 + 1) * 8000 + (8000 + 1) * 8000 + (80 * 5 * 5 * 3 + 3)
    sides = [32]
    for geometry in LAYERS:
        sides.append(pooled_side(sides[-1], geometry))
    assert sides == [32, 16, 7, 5]
    assert parameters(d) == (
        (3 * 8 * 8 + 1) * 64 + (32 * 8 * 8 + 1) * 64 + (32 * 5 * 5 + 1) * 384
        + (192 * 5 * 5 + 1) * 2500 + 501
    )  # fmt: skip
    kinds = [type(m) for m in d if not isinstance(m, Dropout)]
    assert kinds[:3] == [MaxoutConv] * 3
    assert kinds[-2:] == [Maxout, Dense]
    assert [m.rate for m in d if isinstance(m, Dropout)] == [0.2, 0.5, 0.5, 0.5, 0.5]


@pytest.mark.parametrize(
    ("name", "domain", "of_g", "of_d"),
    [
        ("gan-cifar10", CIFAR10, (8000, 8000, 3072), (3072, 1600, 1600)),
        ("gan-tfd", TFD, (8000, 8000, 2304), (2304, 1200, 1200)),
    ],
)
def test_the_fully_connected_ones(
    name: str, domain: Domain, of_g: tuple[int, ...], of_d: tuple[int, int, int]
) -> None:
    with torch.device("meta"):
        model = build(load(name), domain, 0)
    first, second, size = of_g
    assert parameters(model.sampler) == 101 * first + (first + 1) * second + (second + 1) * size
    size, units, last = of_d
    assert parameters(model.energy) == (size + 1) * units * 5 + (units + 1) * last * 5 + last + 1


@pytest.mark.parametrize(
    ("name", "lr", "batch"),
    [("gan-cifar10", "0.025", 100), ("gan-cifar10-conv", "0.004", 128), ("gan-tfd", "0.05", 100)],
)
def test_the_recipes_have_the_published_rates(name: str, lr: str, batch: int) -> None:
    settings = load(name).settings
    for optimiser in (settings.model.energy_optimiser, settings.model.sampler_optimiser):
        assert optimiser.kind == "sgd"
        assert optimiser.lr == f"geometric({lr}, 1.000004, 0.000001)"
    assert settings.training.batch_size == batch
    # 250 epochs, of the images that are not held out
    images = 98_000 if name == "gan-tfd" else 50_000 - settings.data.held_out
    updates = 250 * images / batch
    assert settings.model.energy_optimiser.momentum == f"linear(0.5, 0.7, {updates:.0f})"


def test_weights_are_uniform_in_the_published_ranges() -> None:
    torch.manual_seed(0)
    model = gan_conv.build(
        gan_conv.Config(generator=(64,), generator_maps=8, discriminator_dense=20), CIFAR10
    )
    for network, scale in ((model.sampler, 0.05), (model.energy, 0.005)):
        for name, p in network.named_parameters():
            assert (p == 0).all() if p.dim() == 1 else scale * 0.9 < p.abs().max() <= scale, name


def test_images_of_other_sides_are_refused_in_a_sentence() -> None:
    with pytest.raises(SettingError, match=r"3n \+ 2.*28x28.*--data.size 29"):
        deconv_generator(4, (8,), 2, (1, 28, 28), "linear")
    with pytest.raises(SettingError, match=r"4x4 are too small for 2 maxout convolutions"):
        maxout_conv_logit((1, 4, 4), (2, 2), 4, (2, 2), input_dropout=0.0, dropout=0.0)
