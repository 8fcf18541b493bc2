"""DCGAN against Radford et al.'s guidelines, and the pairs that EBGAN's figures show."""

from typing import Any

import pytest
import torch
from torch import nn

from energan.core import Domain, SettingError
from energan.experiment.build import build
from energan.experiment.settings import load
from energan.models import dcgan, ebgan_conv
from energan.nets.conv import conv_logit
from energan.nets.dense import BatchNorm, Dense
from energan.recipes import RECIPES
from energan.recipes.dogs import DOGS

FACES = Domain((3, 64, 64), -1.0, 1.0)
PAIRS = ["celeba", "lsun", "lsun-patches"]


def leaves(network: nn.Module) -> list[nn.Module]:
    return [m for m in network.modules() if not list(m.children())]


def test_the_discriminator_layer_by_layer() -> None:
    network = conv_logit((64, 128, 256, 512), (3, 64, 64))
    layers = leaves(network)
    convolutions = [m for m in layers if isinstance(m, nn.Conv2d)]
    assert [tuple(c.weight.shape) for c in convolutions] == [
        (64, 3, 4, 4), (128, 64, 4, 4), (256, 128, 4, 4), (512, 256, 4, 4),
    ]  # fmt: skip
    assert all(c.stride == (2, 2) and c.padding == (1, 1) for c in convolutions)
    assert [type(m).__name__ for m in layers] == [
        "Conv2d", "LeakyReLU", *["Conv2d", "BatchNorm", "LeakyReLU"] * 3, "FlattenMaps", "Dense",
    ]  # fmt: skip
    assert all(m.negative_slope == 0.2 for m in layers if isinstance(m, nn.LeakyReLU))
    dense = [m for m in layers if isinstance(m, Dense)]
    assert [tuple(d.weight.shape) for d in dense] == [(1, 512 * 4 * 4)]  # the logit's alone
    assert network(torch.randn(2, 3, 64, 64), "real").shape == (2, 1)
    # a bias wherever no batch norm follows it
    assert [c.bias is not None for c in convolutions] == [True, False, False, False]


def test_the_model_at_64_is_radfords() -> None:
    torch.manual_seed(0)
    config = dcgan.Config()
    with torch.device("meta"):
        model = dcgan.build(config.model_copy(update={"scale": None}), FACES)
    assert model.chosen == {
        "images": "64x64, colour",
        "generator": "1024-512-256-128",
        "discriminator": "64-128-256-512",
    }
    assert (config.prior, config.latent, config.scale) == ("uniform", 100, 0.02)
    for optimiser in (model.energy_optimiser, model.sampler_optimiser):
        assert (optimiser.kind, optimiser.lr, optimiser.beta1) == ("adam", 0.0002, 0.5)
    norms = [isinstance(m, BatchNorm) for m in leaves(model.sampler)]
    assert sum(norms) == 4  # all of G's layers but its output
    assert not any("Pool" in type(m).__name__ for m in model.energy.modules())


def test_first_weights_are_n_0_002() -> None:
    torch.manual_seed(0)
    small = dcgan.Config(generator_width=16, discriminator_width=16)
    model = dcgan.build(small, FACES)
    for network in (model.energy, model.sampler):
        weights = [p.detach().flatten() for p in network.parameters() if p.dim() > 1]
        assert float(torch.cat(weights).std()) == pytest.approx(0.02, rel=0.02)


@pytest.mark.parametrize("size", [16, 32, 64, 128, 256])
def test_any_side_of_four_times_a_power_of_two(size: int) -> None:
    config = dcgan.Config(generator_width=2, discriminator_width=2)
    model = dcgan.build(config, Domain((1, size, size), -1.0, 1.0))
    x = model.sampler.network(torch.randn(2, 100), "fake")
    assert x.shape == (2, 1, size, size)
    scored = model.energy(x, stream="fake")
    assert scored.energy.shape == (2,)
    assert scored.code is None
    for part in (config.generator_widths, config.discriminator_widths):
        widths = part((1, size, size))
        assert size >> len(widths) == 4
        assert max(widths) <= 16


def test_the_slope_is_a_setting() -> None:
    config = dcgan.Config(generator_width=2, discriminator_width=2, slope=0.0)
    model = dcgan.build(config, FACES)
    slopes = {m.negative_slope for m in model.energy.modules() if isinstance(m, nn.LeakyReLU)}
    assert slopes == {0.0}


@pytest.mark.parametrize(
    ("config", "domain", "said"),
    [
        (dcgan.Config(), Domain((2,)), "holds points"),
        (dcgan.Config(), Domain((3, 7, 7), -1.0, 1.0), r"7x7.*--data\.size 8"),
        (dcgan.Config(generator_width=1, discriminator=(1,) * 7), FACES, "discriminator halves"),
        (dcgan.Config(), Domain((3, 64, 64), 0.0, 1.0), "use sigmoid"),
    ],
)
def test_data_that_does_not_fit_is_refused(config: Any, domain: Domain, said: str) -> None:
    with pytest.raises(SettingError, match=said):
        dcgan.build(config, domain)


# --- pairs ----------------------------------------------------------------------------------------

NARROW = {"generator_width": 2}
SHARED = set(dcgan.Config.model_fields) & set(ebgan_conv.Config.model_fields) - {"loss"}


@pytest.mark.parametrize("name", PAIRS)
def test_a_pair_differs_in_nothing_but_the_system(name: str) -> None:
    gan, plain, pull = (
        load(f"{system}-{name}").settings for system in ("dcgan", "ebgan", "ebgan-pt")
    )
    for part in ("data", "training", "engine", "output", "seed"):
        assert getattr(gan, part) == getattr(plain, part) == getattr(pull, part)
    assert {"generator", "latent", "prior", "output", "scale", "energy_optimiser"} <= SHARED
    assert gan.model.model_dump(include=SHARED) == plain.model.model_dump(include=SHARED)
    assert plain.model.model_copy(update={"pull_away": 0.1}) == pull.model
    assert (plain.model.pull_away, pull.model.pull_away) == (0.0, 0.1)
    assert pull.model.margin == (20.0 if name == "celeba" else 80.0)
    assert (gan.data.size, gan.data.random_crop) == (
        (96, 64) if name == "lsun-patches" else (64, None)
    )


def test_all_three_start_from_the_same_generator() -> None:
    weights = []
    for system in ("dcgan", "ebgan", "ebgan-pt"):
        job = load(f"{system}-celeba").resolved({"model": NARROW})
        weights.append(build(job, FACES, seed=3).sampler.state_dict())
    for other in weights[1:]:
        assert other.keys() == weights[0].keys()
        assert all(torch.equal(v, other[k]) for k, v in weights[0].items())


def test_the_pairs_networks_are_the_papers() -> None:
    with torch.device("meta"):
        model = ebgan_conv.build(ebgan_conv.Config(scale=None), FACES)
    assert model.chosen["generator"] == "1024-512-256-128"
    assert model.chosen["encoder"] == "64-128-256"


def test_the_large_recipes_are_the_papers() -> None:
    small, large = (load(name).settings for name in ("ebgan-imagenet-128", "ebgan-dogs-256"))
    assert (small.data.size, small.model.margin, small.model.pull_away) == (128, 40.0, 0.1)
    assert (large.data.size, large.model.margin, large.model.pull_away) == (256, 80.0, 0.1)
    assert small.data.classes == ()
    assert large.data.classes == DOGS
    assert len(set(DOGS)) == 118
    assert list(DOGS) == sorted(DOGS)
    assert {RECIPES[n].model for n in ("ebgan-imagenet-128", "ebgan-dogs-256")} == {
        "ebgan_imagenet"
    }
