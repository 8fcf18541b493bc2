"""EBGAN at 128 and 256 against the given tables, layer by layer; the noise and where it goes."""

from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from energan.core import Batch, Domain, Model, SettingError
from energan.models import ebgan_imagenet
from energan.nets.dense import BatchNorm
from energan.nets.noisy import NoisyGenerator
from support.helpers import make_loop, small_data

Config = ebgan_imagenet.Config

# maps, noise planes, side of each layer's input, the last maps being the image (section 5.4)
TABLES = {
    128: [
        (0, 100, 1), (1024, 64, 4), (512, 32, 8), (256, 16, 16), (128, 8, 32), (64, 4, 64),
        (64, 0, 128), (3, 0, 128),
    ],
    256: [
        (0, 100, 1), (2048, 64, 4), (1024, 32, 8), (512, 16, 16), (256, 8, 32), (128, 4, 64),
        (64, 2, 128), (64, 0, 256), (3, 0, 256),
    ],
}  # fmt: skip
NOISE = {128: 31_844, 256: 64_612}


def images(size: int) -> Domain:
    return Domain((3, size, size), -1.0, 1.0)


def on_paper(size: int) -> Model:
    """The full networks, without their numbers."""
    with torch.device("meta"):
        return ebgan_imagenet.build(Config(scale=None), images(size))


def convolutions(network: nn.Module) -> list[Any]:
    return [m for m in network.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)]


def seen(network: nn.Module, x: Tensor) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Maps and sides that enter and leave each convolution of a pass."""
    passed: list[tuple[tuple[int, ...], tuple[int, ...]]] = []
    hooks = [
        layer.register_forward_hook(
            lambda _, inputs, out: passed.append((tuple(inputs[0].shape[1:]), tuple(out.shape[1:])))
        )
        for layer in convolutions(network)
    ]
    network(x, "fake")
    for hook in hooks:
        hook.remove()
    return passed


@pytest.mark.parametrize("size", TABLES)
def test_the_generator_layer_by_layer(size: int) -> None:
    generator = on_paper(size).sampler.network
    table = TABLES[size]
    passed = seen(generator, torch.empty(2, NOISE[size], device="meta"))
    assert passed == [
        ((maps + noise, side, side), (after, larger, larger))
        for (maps, noise, side), (after, _, larger) in pairwise(table)
    ]
    forms = [
        (type(c), c.kernel_size[0], c.stride[0], c.padding[0]) for c in convolutions(generator)
    ]
    assert forms == [
        (nn.ConvTranspose2d, 4, 1, 0),  # 4c from 1×1
        *[(nn.ConvTranspose2d, 4, 2, 1)] * (len(table) - 3),  # 4c2s
        (nn.Conv2d, 3, 1, 1),  # 3c
    ]
    layers = [m for m in generator.modules() if not list(m.children())]
    kinds = [type(m) for m in layers]
    assert kinds.count(BatchNorm) == len(table) - 2  # after all but the output
    assert isinstance(layers[-1], nn.Tanh)


@pytest.mark.parametrize("size", TABLES)
def test_the_noise_adds_up(size: int) -> None:
    model = on_paper(size)
    assert model.sampler.latent_size == NOISE[size]
    assert NOISE[size] == sum(noise * side * side for _, noise, side in TABLES[size])


def test_the_parameters_by_hand() -> None:
    small = (
        100 * 1024 * 16 + 1088 * 512 * 16 + 544 * 256 * 16 + 272 * 128 * 16 + 136 * 64 * 16
        + 68 * 64 * 16 + 64 * 3 * 9 + 3 + 2 * (1024 + 512 + 256 + 128 + 64 + 64)
    )  # fmt: skip
    large = (
        100 * 2048 * 16 + 2112 * 1024 * 16 + 1056 * 512 * 16 + 528 * 256 * 16 + 264 * 128 * 16
        + 132 * 64 * 16 + 66 * 64 * 16 + 64 * 3 * 9 + 3
        + 2 * (2048 + 1024 + 512 + 256 + 128 + 64 + 64)
    )  # fmt: skip
    energy = (
        3 * 64 * 16 + 64 + 2 * (64 * 128 + 128 * 256 + 256 * 512) * 16 + 64 * 3 * 16 + 3
        + 2 * (128 + 256 + 512) + 2 * (256 + 128 + 64)
    )  # fmt: skip
    assert (small, large, energy) == (13_551_299, 49_446_595, 5_513_923)
    for size, generator in ((128, small), (256, large)):
        model = on_paper(size)
        assert sum(p.numel() for p in model.sampler.parameters()) == generator
        assert sum(p.numel() for p in model.energy.parameters()) == energy


@pytest.mark.parametrize("size", TABLES)
def test_the_autoencoder_layer_by_layer(size: int) -> None:
    passed = seen(on_paper(size).energy.network, torch.empty(2, 3, size, size, device="meta"))
    sides = [size, size // 2, size // 4, size // 8, size // 16]
    maps = [3, 64, 128, 256, 512]
    places = [(m, s, s) for m, s in zip(maps, sides, strict=True)]
    way = [*places, *places[-2::-1]]  # Enc (64)(128)(256)(512), Dec (256)(128)(64)(3), 4c2s each
    assert passed == list(pairwise(way))


def small_generator() -> NoisyGenerator:
    return NoisyGenerator(3, (6, 4, 4), (5, 2), 3, "tanh")


def test_each_part_of_z_enters_beside_the_maps_of_its_layer() -> None:
    generator = small_generator()
    assert generator.sizes == [3, 5 * 16, 2 * 64]
    z = torch.randn(2, generator.latent_size)
    inputs: list[Tensor] = []
    for layer in convolutions(generator):
        layer.register_forward_hook(lambda _, args, out: inputs.append(args[0]))
    assert generator(z, "fake").shape == (2, 3, 16, 16)
    first, second, third, last = inputs
    assert torch.equal(first, z[:, :3, None, None])
    assert torch.equal(second[:, 6:], z[:, 3:83].reshape(2, 4, 4, 5).permute(0, 3, 1, 2))
    assert torch.equal(third[:, 4:], z[:, 83:].reshape(2, 8, 8, 2).permute(0, 3, 1, 2))
    assert last.shape[1] == 4  # the last layer has none


def test_every_number_of_z_moves_its_own_image_and_evaluation_is_a_function_of_z() -> None:
    generator = small_generator()
    z = torch.randn(4, generator.latent_size, requires_grad=True)
    (slope,) = torch.autograd.grad(generator(z, "fake").square().sum(), z)
    assert (slope != 0).all()
    (slope,) = torch.autograd.grad(generator(z, "eval")[1].square().sum(), z)
    assert (slope[1] != 0).all()
    assert not slope[[0, 2, 3]].any()
    assert torch.equal(generator(z, "eval"), generator(z, "eval"))


def test_joined_maps_stay_channels_last() -> None:
    generator = small_generator().to(memory_format=torch.channels_last)
    orders: list[bool] = []
    for layer in convolutions(generator)[1:]:
        layer.register_forward_hook(
            lambda _, args, out: orders.append(
                args[0].is_contiguous(memory_format=torch.channels_last)
            )
        )
    generator(torch.randn(2, generator.latent_size), "fake")
    assert orders == [True] * 3


@pytest.mark.parametrize(("size", "width"), [(128, 4), (256, 4)])
def test_two_steps_at_batch_2(size: int, width: int) -> None:
    domain = images(size)
    data = small_data(domain, 4)
    config = Config(generator_width=width, encoder_width=width)
    loop = make_loop(
        lambda seed: ebgan_imagenet.build(config, domain), data, steps=2,
        feed=lambda step, substep, substeps: Batch(data.feed([0], 2, torch.float32)(step).x),
    )  # fmt: skip
    loop.run()
    figures = [f for _, f in loop.flush_figures()]
    assert len(figures) == 2
    assert all(v.isfinite() for f in figures for v in f.values())
    assert {"loss_energy", "loss_sampler", "pull_away"} <= figures[0].keys()


def test_other_sides_follow_the_pattern_and_widths_may_be_named() -> None:
    chosen = ebgan_imagenet.build(Config(generator_width=4, encoder_width=4), images(32)).chosen
    assert (chosen["generator"], chosen["noise"]) == ("16-8-4-4", "64-32-16")
    config = Config(generator=(8, 4), noise=(3,), encoder=(4, 8), noise_width=1)
    model = ebgan_imagenet.build(config, Domain((1, 8, 8), -1.0, 1.0))
    assert model.sampler.latent_size == 100 + 3 * 16
    assert model.chosen["generator"] == "8-4"
    assert Config(noise_width=4).noise_planes(5) == (4, 2, 1, 1, 1)


@pytest.mark.parametrize(
    ("config", "domain", "said"),
    [
        (Config(), images(96), r"to 64x64, and the images are 96x96.*--data\.size 64"),
        (Config(), Domain((3, 128, 64), -1.0, 1.0), r"images are 128x64"),
        (Config(), images(4), r"0 times, to 4x4.*--data\.size 8"),
        (Config(generator=(8, 8)), images(128), r"4x4 1 times, to 8x8"),
        (Config(noise=(8, 8)), images(128), "has 2 entries.* 6 layers .* give 5"),
        (Config(), Domain((2,)), "holds points"),
        (Config(), Domain((3, 64, 64), 0.0, 1.0), "use sigmoid"),
    ],
)
def test_what_does_not_fit_is_refused_with_the_remedy(
    config: Config, domain: Domain, said: str
) -> None:
    with torch.device("meta"), pytest.raises(SettingError, match=said):
        ebgan_imagenet.build(config, domain)
