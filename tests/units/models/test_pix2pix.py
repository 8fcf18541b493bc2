"""pix2pix as a model: published settings, sizes, what it refuses."""

import pytest
import torch

from energan.core import Domain, SettingError
from energan.core.schedules import parse
from energan.models import pix2pix


def pairs(*shape: int, sources: int = 3, low: float = -1.0) -> Domain:
    return Domain(shape, low, 1.0, condition_shape=(sources, *shape[1:]))


SMALL = pix2pix.Config(generator_width=4, discriminator=(4, 8), scale=None)


def test_the_defaults_are_the_published_settings() -> None:
    """Adam 2e-4, β1 0.5, L1 weight 100, 200 epochs of 400 pairs with decay over the second half."""
    config = pix2pix.Config()
    for optimiser in (config.energy_optimiser, config.sampler_optimiser):
        assert (optimiser.kind, optimiser.beta1) == ("adam", 0.5)
        rate = parse(optimiser.lr)
        assert [rate(t) for t in (0, 40_000, 60_000, 80_000)] == pytest.approx(
            [2e-4, 2e-4, 1e-4, 0]
        )
    with torch.device("meta"):
        model = pix2pix.build(config.model_copy(update={"scale": None}), pairs(3, 256, 256))
    assert model.hyper == {"l1": 100.0}
    assert model.energy_steps == 1
    assert model.chosen["generator"] == "64-128-256-512-512-512-512-512"
    assert model.chosen["discriminator"] == "64-128-256-512"
    assert model.chosen["patches"] == "70x70"
    counts = [sum(p.numel() for p in part.parameters()) for part in (model.sampler, model.energy)]
    # convolutions; weight and bias of each norm; biases where there is no norm
    g = 16 * sum(a * b for a, b in (
        (3, 64), (64, 128), (128, 256), (256, 512), *[(512, 512)] * 4,
        (512, 512), *[(1024, 512)] * 3, (1024, 256), (512, 128), (256, 64), (128, 3),
    )) + 2 * (128 + 256 + 512 * 4 + 512 * 4 + 256 + 128 + 64) + 64 + 512 + 3  # fmt: skip
    d = 16 * (6 * 64 + 64 * 128 + 128 * 256 + 256 * 512 + 512) + 2 * (128 + 256 + 512) + 64 + 1
    assert counts == [g, d]


@pytest.mark.parametrize(
    ("shape", "depth", "normed"),
    [((3, 256, 256), 8, False), ((3, 128, 128), 7, False), ((1, 96, 160), 5, True),
     ((3, 64, 64), 6, False), ((3, 512, 512), 8, True)],
)  # fmt: skip
def test_the_depth_follows_the_size(shape, depth: int, normed: bool) -> None:
    with torch.device("meta"):
        network = pix2pix.build(SMALL, pairs(*shape, sources=2)).sampler.network
    assert network.halvings == depth
    assert network.innermost_norm == normed


@pytest.mark.parametrize(
    ("sides", "generator", "discriminator", "patches"),
    [((64, 64), "16-32-64-128-128-128", "16-32", "16x16"),
     ((128, 128), "32-64-128-256-256-256-256", "32-64-128", "34x34"),
     ((96, 160), "24-48-96-192-192", "24-48", "16x16"),
     ((512, 512), "64-128-256-512-512-512-512-512", "64-128-256-512", "70x70")],
)  # fmt: skip
def test_widths_follow_the_size(sides, generator: str, discriminator: str, patches: str) -> None:
    with torch.device("meta"):
        chosen = pix2pix.build(pix2pix.Config(scale=None), pairs(3, *sides)).chosen
    assert chosen["generator"] == generator
    assert (chosen["discriminator"], chosen["patches"]) == (discriminator, patches)


def test_a_pair_through_both_networks() -> None:
    model = pix2pix.build(SMALL, pairs(1, 32, 64, sources=3))
    source = torch.randn(2, 3, 32, 64)
    x = model.sampler.network(source, "fake")
    assert x.shape == (2, 1, 32, 64)
    assert model.energy(x, source, stream="fake").energy.shape == (2, 14, 30)


def test_first_weights_are_normal_with_a_standard_deviation_of_0_02() -> None:
    torch.manual_seed(0)
    config = pix2pix.Config(generator_width=16, discriminator=(16, 32))
    model = pix2pix.build(config, pairs(3, 32, 32))
    for part in (model.sampler, model.energy):
        kernels = torch.cat([p.detach().flatten() for p in part.parameters() if p.dim() == 4])
        assert float(kernels.std()) == pytest.approx(0.02, rel=0.02)
        assert float(kernels.mean()) == pytest.approx(0, abs=0.001)


@pytest.mark.parametrize(
    ("config", "domain", "said"),
    [
        ({}, Domain((3, 64, 64), -1.0, 1.0), r"has no pairs: .*data\.direction"),
        ({}, Domain((2,), condition_shape=(3, 8, 8)), "holds points"),
        ({}, Domain((3, 64, 64), -1.0, 1.0, condition_shape=(5,)), "to have the same size"),
        ({}, Domain((3, 64, 64), -1.0, 1.0, condition_shape=(3, 32, 32)), "to have the same size"),
        ({}, pairs(3, 50, 50), r"50x50 do not allow: resize .*--data\.size 48"),
        ({}, pairs(3, 64, 64, low=0.0), "use sigmoid"),
        ({"discriminator": (8,) * 4}, pairs(3, 16, 16), "nothing is left of .*16x16"),
        ({"discriminator": (8,)}, pairs(3, 64, 64), r"model\.discriminator 8: .*two layers"),
        ({"generator": (8,)}, pairs(3, 64, 64), r"model\.generator 8: .*two layers"),
        ({"generator": (8, 8, 8, 8)}, pairs(3, 40, 40), "halves the sides 4 times.*40x40"),
    ],
)
def test_what_does_not_fit_is_refused_with_the_remedy(config, domain, said: str) -> None:
    with pytest.raises(SettingError, match=said):
        pix2pix.build(pix2pix.Config(**config), domain)


@pytest.mark.parametrize("norm", ["batch", "image"])
def test_the_norm_of_training(norm) -> None:
    """With "image" what training sees of one image does not depend on the rest of its batch."""
    torch.manual_seed(0)
    config = SMALL.model_copy(update={"norm": norm, "dropout": 0.0})
    model = pix2pix.build(config, pairs(1, 32, 32, sources=1))
    source, x = torch.randn(3, 1, 32, 32), torch.randn(3, 1, 32, 32)
    with torch.no_grad():
        made = model.sampler.network(source, "fake") - model.sampler.network(source[:1], "fake")[0]
        scored = model.energy(x, source, stream="real").energy
        alone = model.energy(x[:1], source[:1], stream="real").energy
    near = torch.tensor([made[0].abs().max(), (scored[0] - alone[0]).abs().max()])
    assert bool((near < 1e-5).all()) == (norm == "image")
