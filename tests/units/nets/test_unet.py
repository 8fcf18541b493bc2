"""The U-Net layer by layer, its noise, and statistics that are of what is present."""

import pytest
import torch
from torch import nn

from energan.core import Calibrated, Randomness, SettingError, attach
from energan.nets.conv import down
from energan.nets.instance_norm import DropoutNoise, PresentNorm
from energan.nets.unet import UNet, unet_widths

WIDTHS = (64, 128, 256, 512, 512, 512, 512, 512)
STREAMS = ("real", "labelled", "fake", "eval")


def small(**options) -> UNet:
    torch.manual_seed(0)
    return UNet(2, 3, (4, 6, 8, 8), **{"innermost_norm": True, **options})


def test_the_published_network_layer_by_layer() -> None:
    """Encoder 64-128-256-512-512-512-512-512; decoder 512-512-512-512-256-128-64, whose inputs
    after the first are doubled by the skips (appendix 6.1.1)."""
    with torch.device("meta"):
        network = UNet(3, 3, unet_widths(64, 256, 256), innermost_norm=False)
    kernels = [tuple(p.shape) for p in network.encoder.parameters() if p.dim() == 4]
    assert kernels == [(w, v, 4, 4) for v, w in zip((3, *WIDTHS), WIDTHS, strict=False)]
    kernels = [tuple(p.shape) for p in network.decoder.parameters() if p.dim() == 4]
    assert kernels == [
        (512, 512, 4, 4), (1024, 512, 4, 4), (1024, 512, 4, 4), (1024, 512, 4, 4),
        (1024, 256, 4, 4), (512, 128, 4, 4), (256, 64, 4, 4), (128, 3, 4, 4),
    ]  # fmt: skip
    normed = [any(isinstance(m, PresentNorm) for m in layer) for layer in network.encoder]
    assert normed == [False, *[True] * 6, False]
    normed = [any(isinstance(m, PresentNorm) for m in layer) for layer in network.decoder]
    assert normed == [*[True] * 7, False]
    noisy = [any(isinstance(m, DropoutNoise) for m in layer) for layer in network.decoder]
    assert noisy == [*[True] * 3, *[False] * 5]
    assert {m.rate for m in network.modules() if isinstance(m, DropoutNoise)} == {0.5}
    assert all(isinstance(layer[0], nn.LeakyReLU) for layer in network.encoder[1:])
    assert {m.negative_slope for m in network.modules() if isinstance(m, nn.LeakyReLU)} == {0.2}
    assert all(isinstance(layer[0], nn.ReLU) for layer in network.decoder)
    assert isinstance(network.decoder[-1][-1], nn.Tanh)
    assert network(torch.empty(1, 3, 256, 256, device="meta"), "fake").shape == (1, 3, 256, 256)


def test_the_forward_pass_is_the_definition() -> None:
    """With plain torch layers: activation, convolution, norm, then the skip of that size."""
    network = small(dropout=0.0)
    x = torch.randn(2, 2, 32, 48)

    def norm(x: torch.Tensor, layer: nn.Module) -> torch.Tensor:
        mean, variance = x.mean((0, 2, 3)), x.var((0, 2, 3), correction=0)
        x = (x - mean.view(1, -1, 1, 1)) / (variance.view(1, -1, 1, 1) + 1e-5).sqrt()
        return x * layer.weight.view(1, -1, 1, 1) + layer.bias.view(1, -1, 1, 1)

    e, d = network.encoder, network.decoder
    e1 = e[0][0](x)
    e2 = norm(e[1][1](nn.functional.leaky_relu(e1, 0.2)), e[1][2])
    e3 = norm(e[2][1](nn.functional.leaky_relu(e2, 0.2)), e[2][2])
    e4 = norm(e[3][1](nn.functional.leaky_relu(e3, 0.2)), e[3][2])
    d1 = torch.cat([norm(d[0][1](e4.relu()), d[0][2]), e3], 1)
    d2 = torch.cat([norm(d[1][1](d1.relu()), d[1][2]), e2], 1)
    d3 = torch.cat([norm(d[2][1](d2.relu()), d[2][2]), e1], 1)
    expected = d[3][1](d3.relu()).tanh()
    torch.testing.assert_close(network(x, "fake"), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("stream", STREAMS)
def test_dropout_is_on_in_every_stream_and_repeats_by_place(stream) -> None:
    network, x = small(), torch.randn(2, 2, 32, 32)
    randomness = Randomness([3])
    attach(network, randomness)
    with torch.no_grad():
        randomness.at("a")
        first, second = network(x, stream), network(x, stream)
        assert (first - second).abs().max() > 1e-3
        randomness.at("a")
        assert torch.equal(network(x, stream), first)
        quiet = small(dropout=0.0)
        assert torch.equal(quiet(x, stream), quiet(x, stream))


def test_dropout_noise_keeps_the_mean_at_its_rate() -> None:
    x = torch.ones(200, 500)
    y = DropoutNoise(0.5)(x, "eval")
    assert set(y.unique().tolist()) == {0.0, 2.0}
    assert float(y.mean()) == pytest.approx(1, abs=0.02)


def test_the_norm_uses_what_is_present_and_keeps_nothing() -> None:
    """Training streams: the batch's statistics. "eval": each image's own. At a batch of one all
    are the same, as when pix2pix trains and tests with one."""
    layer = PresentNorm(3)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([1.0, 2.0, 3.0]))
        layer.bias.copy_(torch.tensor([0.0, 1.0, -1.0]))
    x = torch.randn(4, 3, 5, 6) * 3 + torch.randn(4, 3, 1, 1)
    batch = nn.functional.batch_norm(x, None, None, layer.weight, layer.bias, training=True)
    for stream in ("real", "labelled", "fake"):
        torch.testing.assert_close(layer(x, stream), batch)
    alone = torch.cat([layer(one, "fake") for one in x.split(1)])
    torch.testing.assert_close(layer(x, "eval"), alone)
    assert (alone - batch).abs().max() > 0.1
    torch.testing.assert_close(PresentNorm(3, each=True)(x, "real"), PresentNorm(3)(x, "eval"))
    assert not list(layer.buffers())
    assert not isinstance(layer, Calibrated)


def test_a_sample_does_not_depend_on_its_neighbours() -> None:
    network, x = small(dropout=0.0), torch.randn(3, 2, 32, 32)
    with torch.no_grad():
        together = network(x, "eval")
        alone = torch.cat([network(one, "eval") for one in x.split(1)])
        torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(network(x[:1], "eval"), network(x[:1], "fake"))


@pytest.mark.parametrize("sides", [(32, 32), (32, 48), (64, 160)])
def test_any_sides_that_fit_will_do(sides: tuple[int, int]) -> None:
    x = small()(torch.randn(1, 2, *sides), "eval")
    assert x.shape == (1, 3, *sides)
    assert x.abs().max() <= 1


@pytest.mark.parametrize(
    ("sides", "normed", "said"),
    [
        ((32, 40), True, r"halves the sides 4 times, and the image is 40x32.*multiples of 16"),
        ((50, 32), False, "multiples of 16$"),
        ((16, 16), True, "multiples of 16, at least 32"),
        ((8, 8), False, "multiples of 16"),
    ],
)
def test_images_that_do_not_fit_are_refused(sides, normed, said) -> None:
    with pytest.raises(SettingError, match=said):
        small(innermost_norm=normed)(torch.randn(1, 2, *sides), "eval")


def test_a_single_pixel_at_the_innermost_passes_without_its_norm() -> None:
    assert small(innermost_norm=False)(torch.randn(1, 2, 16, 16), "real").isfinite().all()


@pytest.mark.parametrize(
    ("sides", "times"),
    [((256, 256), 8), ((512, 512), 8), ((128, 128), 7), ((64, 128), 6), ((96, 96), 5), ((8, 8), 3)],
)
def test_the_depth_follows_the_size(sides: tuple[int, int], times: int) -> None:
    assert unet_widths(64, *sides) == WIDTHS[:times]
    assert unet_widths(2, *sides) == tuple(w // 32 for w in WIDTHS[:times])


@pytest.mark.parametrize(("sides", "near"), [((50, 50), 48), ((100, 64), 64), ((4, 4), 8)])
def test_sides_that_cannot_be_halved_three_times_are_refused(sides, near) -> None:
    said = (
        rf"{sides[1]}x{sides[0]} .*: resize .*multiple of 8, for example with --data\.size {near}"
    )
    with pytest.raises(SettingError, match=said):
        unet_widths(64, *sides)


def test_half_precision_and_channels_last_change_little() -> None:
    network, x = small(dropout=0.0), torch.randn(2, 2, 32, 32)
    with torch.no_grad():
        plain = network(x, "eval")
        network = network.to(memory_format=torch.channels_last)
        torch.testing.assert_close(network(x, "eval"), plain, rtol=1e-4, atol=1e-5)
        with torch.autocast("cpu", torch.bfloat16):
            half = network(x, "eval")
    assert (half.float() - plain).abs().mean() < 0.05


def test_gradient_reaches_every_weight_and_the_source() -> None:
    network, x = small(), torch.randn(2, 2, 32, 32, requires_grad=True)
    (network(x, "fake") * torch.randn(2, 3, 32, 32)).sum().backward()
    assert x.grad is not None
    assert x.grad.abs().sum() > 0
    for name, p in network.named_parameters():
        assert p.grad is not None, name
        assert p.grad.isfinite().all(), name
        assert p.grad.abs().sum() > 0, name


def test_convolutions_before_a_norm_have_no_bias() -> None:
    network = small()
    biased = [m.bias is not None for m in network.modules() if isinstance(m, nn.Conv2d)]
    assert biased == [True, False, False, False]
    assert down(1, 1, bias=True).bias is not None
