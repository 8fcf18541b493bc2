"""Convolutional layers against their definitions, networks against the papers' tables."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from energan.core import Domain, SettingError
from energan.models import ebgan_blog, ebgan_conv
from energan.nets.conv import (
    FlattenMaps,
    UnflattenMaps,
    UpConv,
    conv_autoencoder,
    conv_generator,
    halvings,
)
from energan.nets.mlp import set_weights

FACES = Domain((3, 64, 64), -1.0, 1.0)


@settings(deadline=None, max_examples=30)
@given(
    st.integers(1, 3), st.integers(1, 5), st.integers(1, 5), st.integers(1, 6), st.integers(1, 6),
    st.booleans(), st.booleans(), st.integers(0, 2**31),
)  # fmt: skip
def test_upconv_is_up_sampling_and_a_convolution_with_their_gradients(
    batch: int, inputs: int, outputs: int, height: int, width: int, bias: bool, last: bool,
    seed: int,
) -> None:  # fmt: skip
    torch.manual_seed(seed)
    layer = UpConv(inputs, outputs, bias=bias).double()
    if last:
        layer = layer.to(memory_format=torch.channels_last)
    x = torch.randn(batch, inputs, height, width, dtype=torch.double, requires_grad=True)
    ours = layer(x)
    larger = F.interpolate(x, scale_factor=2, mode="nearest")
    plain = F.conv2d(larger, layer.weight, layer.bias, padding=1)
    torch.testing.assert_close(ours, plain)
    slope = torch.randn_like(plain)
    inputs_ = [x, *layer.parameters()]
    for a, b in zip(
        torch.autograd.grad(ours, inputs_, slope),
        torch.autograd.grad(plain, inputs_, slope),
        strict=True,
    ):
        torch.testing.assert_close(a, b)


def test_upconv_starts_as_torchs_convolution_does() -> None:
    torch.manual_seed(0)
    bound = 1 / (64 * 9) ** 0.5
    weight = UpConv(64, 64).weight.detach()
    assert weight.abs().max() <= bound
    assert float(weight.std()) == pytest.approx(bound / 3**0.5, rel=0.02)


def test_flattened_maps_come_back_and_channels_last_memory_is_not_copied() -> None:
    x = torch.randn(2, 3, 4, 5)
    flat = FlattenMaps()(x)
    assert flat.shape == (2, 60)
    assert torch.equal(UnflattenMaps(3, 4, 5)(flat), x)
    assert torch.equal(flat[:, :3], x[:, :, 0, 0])  # pixel by pixel
    last = x.contiguous(memory_format=torch.channels_last)
    assert FlattenMaps()(last).data_ptr() == last.data_ptr()


def test_halvings_stop_at_the_smallest_side_and_at_odd_ones() -> None:
    assert [halvings(n, n, 4) for n in (4, 8, 32, 48, 64, 50, 7)] == [0, 1, 3, 3, 4, 1, 0]
    assert halvings(64, 32, 8) == 2


def shapes(network: nn.Module) -> list[tuple[int, ...]]:
    return [tuple(p.shape) for p in network.parameters() if p.dim() == 4]


def test_the_autoencoder_of_section_5_3_layer_by_layer() -> None:
    network = conv_autoencoder(3, (64, 128, 256), "linear")
    assert shapes(network) == [
        (64, 3, 4, 4), (128, 64, 4, 4), (256, 128, 4, 4),  # Enc (64)4c2s-(128)4c2s-(256)4c2s
        (256, 128, 4, 4), (128, 64, 4, 4), (64, 3, 4, 4),  # Dec (128)4c2s-(64)4c2s-(3)4c2s
    ]  # fmt: skip
    reconstruction, raw, activated = network(torch.randn(2, 3, 64, 64), "real")
    assert reconstruction.shape == (2, 3, 64, 64)
    assert raw.shape == activated.shape == (2, 256, 8, 8)  # 16,384 numbers
    assert (raw < -1e-3).any()  # before its norm and activation


def test_the_dcgan_generator_goes_from_4_to_64() -> None:
    network = conv_generator(100, (1024, 512, 256, 128), (3, 64, 64), "tanh")
    assert shapes(network) == [
        (1024, 512, 4, 4), (512, 256, 4, 4), (256, 128, 4, 4), (128, 3, 4, 4),
    ]  # fmt: skip
    x = network(torch.randn(2, 100), "fake")
    assert x.shape == (2, 3, 64, 64)
    assert x.abs().max() <= 1


@pytest.mark.parametrize(
    ("size", "generator", "encoder"),
    [
        (32, "512-256-128", "64-128"),
        (64, "1024-512-256-128", "64-128-256"),
        (128, "1024-1024-512-256-128", "64-128-256-512"),
        (256, "1024-1024-1024-512-256-128", "64-128-256-512"),
    ],
)
def test_the_depth_follows_the_size(size: int, generator: str, encoder: str) -> None:
    with torch.device("meta"):
        model = ebgan_conv.build(ebgan_conv.Config(scale=None), Domain((3, size, size), -1.0, 1.0))
    assert (model.chosen["generator"], model.chosen["encoder"]) == (generator, encoder)


@pytest.mark.parametrize("shape", [(1, 20, 28), (3, 48, 48), (1, 36, 100)])
def test_any_sides_that_can_be_halved_will_do(shape: tuple[int, int, int]) -> None:
    config = ebgan_conv.Config(generator_width=4, encoder_width=4)
    model = ebgan_conv.build(config, Domain(shape, -1.0, 1.0))
    x = model.sampler.network(torch.randn(2, 100), "fake")
    assert x.shape == (2, *shape)
    assert model.energy(x, stream="fake").energy.shape == (2,)


@pytest.mark.parametrize(
    ("domain", "said"),
    [
        (Domain((3, 50, 50), -1.0, 1.0), r"halves the sides 2 times, .* 50x50 .*--data\.size 48"),
        (Domain((3, 7, 7), -1.0, 1.0), r"7x7.*--data\.size 8"),
        (Domain((2,)), "holds points"),
        (Domain((3, 64, 64), 0.0, 1.0), "use sigmoid"),
    ],
)
def test_data_that_does_not_fit_is_refused_with_the_remedy(domain: Domain, said: str) -> None:
    with pytest.raises(SettingError, match=said):
        ebgan_conv.build(ebgan_conv.Config(), domain)


def test_the_blog_network_layer_by_layer() -> None:
    model = ebgan_blog.build(ebgan_blog.Config(), Domain((3, 32, 32), -1.0, 1.0))
    code = 64 * 16 * 16
    assert [tuple(p.shape) for p in model.energy.parameters() if p.dim() > 1] == [
        (64, 3, 3, 3), (32, code), (code, 32), (3, 64, 3, 3),
    ]  # fmt: skip
    assert [tuple(p.shape) for p in model.sampler.parameters() if p.dim() > 1] == [
        (128 * 8 * 8, 62), (128, 128, 3, 3), (64, 128, 3, 3), (3, 64, 3, 3),
    ]  # fmt: skip
    x = torch.randn(4, 3, 32, 32)
    scored = model.energy(x, stream="real")
    assert scored.code is not None
    assert scored.reconstruction is not None
    assert scored.code.shape == (4, 32)
    torch.testing.assert_close(scored.energy, (scored.reconstruction - x).square().mean((1, 2, 3)))
    with pytest.raises(SettingError, match="multiples of 4"):
        ebgan_blog.build(ebgan_blog.Config(), Domain((3, 30, 30), -1.0, 1.0))


def test_first_weights_reach_convolutions_and_zero_their_biases() -> None:
    network = conv_autoencoder(3, (8, 16), "linear")
    torch.manual_seed(0)
    set_weights(network, "normal", 0.02)
    kernels = torch.cat([p.detach().flatten() for p in network.parameters() if p.dim() == 4])
    assert float(kernels.std()) == pytest.approx(0.02, rel=0.05)
    assert not any(p.any() for name, p in network.named_parameters() if name.endswith("0.bias"))


def test_the_code_is_flat_and_its_cosines_know_no_memory_order() -> None:
    model = ebgan_conv.build(ebgan_conv.Config(generator_width=4, encoder_width=4), FACES)
    x = torch.randn(3, 3, 64, 64)
    plain = model.energy(x, stream="real").code
    last = model.energy.to(memory_format=torch.channels_last)(x, stream="real").code
    assert plain is not None
    assert last is not None
    assert plain.shape == (3, 16 * 8 * 8)
    torch.testing.assert_close(plain, last, rtol=1e-4, atol=1e-5)
