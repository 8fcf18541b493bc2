"""The residual pair of R3GAN against its description."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from energan.core import Domain, SettingError
from energan.models import r3gan
from energan.nets.r3gan import (
    Doubled,
    Embedding,
    GroupedBottleneck,
    Halved,
    ResidualGenerator,
    ResidualLogit,
)


def test_a_block_is_its_formula_and_begins_as_the_identity() -> None:
    block, x = GroupedBottleneck(8, 4, 3), torch.randn(2, 8, 5, 5)
    assert torch.equal(block(x), x)
    nn.init.normal_(block.leave.weight)
    y = F.leaky_relu(F.conv2d(x, block.enter.weight, block.enter.bias), 0.2)
    assert block.mix.weight.shape == (16, 4, 3, 3)  # four groups of four maps
    y = F.leaky_relu(F.conv2d(y, block.mix.weight, block.mix.bias, padding=1, groups=4), 0.2)
    torch.testing.assert_close(block(x), x + F.conv2d(y, block.leave.weight))


def test_first_weights_are_fixups() -> None:
    """N(0, g²/fan-in), g = √(2/1.04) · n^(−1/4) in the first two of a block's three."""
    torch.manual_seed(0)
    block = GroupedBottleneck(128, 16, 16)
    for layer, fan_in in ((block.enter, 128), (block.mix, 16 * 9)):
        wanted = (2 / 1.04) ** 0.5 * 16**-0.25 / fan_in**0.5
        assert layer.weight.std().item() == pytest.approx(wanted, rel=0.02)
        assert not layer.bias.any()
    assert block.leave.bias is None
    torch.manual_seed(0)
    network = ResidualLogit((64, 64), 2, 16, (3, 16, 16))
    assert network.basis.std().item() == pytest.approx(1 / 8, rel=0.05)
    logits = network(torch.randn(256, 3, 16, 16), "real")
    assert 0.1 < logits.std().item() < 3


def test_groups_divide_any_number_of_maps() -> None:
    assert GroupedBottleneck(10, 16, 1).mix.groups == 5  # 20 maps in groups of 4
    assert GroupedBottleneck(3, 16, 1).mix.groups == 3


def test_resampling_is_bilinear() -> None:
    x = torch.randn(2, 3, 8, 6, dtype=torch.float64)
    doubled = Doubled()(x)
    # between pixels: three quarters of the nearer, one of the farther, along both sides
    a, b = x[..., 3, 2], x[..., 3, 3]
    c, d = x[..., 4, 2], x[..., 4, 3]
    torch.testing.assert_close(doubled[..., 7, 5], (9 * a + 3 * b + 3 * c + d) / 16)
    taps = torch.tensor([1.0, 3, 3, 1], dtype=torch.float64) / 8
    wanted = torch.einsum("a,bcad,d->bc", taps, x[..., 1:5, 1:5], taps)
    torch.testing.assert_close(Halved().double()(x)[..., 1, 1], wanted)


def test_a_line_of_brightness_stays_one_when_resampled() -> None:
    x = torch.arange(16.0).expand(1, 1, 16, 16)
    for network, step in ((Doubled(), 0.5), (Halved(), 2.0)):
        inner = network(x)[0, 0, 3:-3, 3:-3]
        torch.testing.assert_close(inner.diff(dim=1), torch.full_like(inner[:, 1:], step))


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32), (3, 64, 32)])
def test_the_pair_fits_the_images(shape: tuple[int, int, int]) -> None:
    config = r3gan.Config(generator_width=4, discriminator_width=4)
    model = r3gan.build(config, Domain(shape, -1.0, 1.0))
    g, d = config.widths(shape)
    assert g == d[::-1] == {28: (16, 8, 4), 32: (32, 16, 8, 4), 64: (32, 16, 8, 4)}[shape[1]]
    x = model.sampler.network(torch.randn(2, 64), "fake")
    assert x.shape == (2, *shape)
    assert model.energy(x, stream="fake").energy.shape == (2,)
    assert model.hyper == {"r1": 0.05, "r2": 0.05}
    assert not any("norm" in type(m).__name__.lower() for m in model.energy.modules())


def test_the_published_pair_has_its_parameters() -> None:
    """768 maps in four stages of two blocks at 32×32, by the formula of a block."""
    block = 768 * 1536 * 2 + 1536 * 16 * 9 + 2 * 1536
    with torch.device("meta"):
        g = ResidualGenerator(64, (768,) * 4, 2, 16, (3, 32, 32), "linear")
        d = ResidualLogit((768,) * 4, 2, 16, (3, 32, 32))
    both = 8 * block + 768 * 16 + 3 * 768
    assert sum(p.numel() for p in g.parameters()) == both + 64 * 768
    assert sum(p.numel() for p in d.parameters()) == both + 768


def test_sides_that_cannot_be_halved_are_refused() -> None:
    with pytest.raises(SettingError, match=r"--data\.size"):
        r3gan.build(r3gan.Config(), Domain((1, 27, 27), -1.0, 1.0))


def test_a_labels_vector_stands_beside_z_and_weighs_what_d_sees() -> None:
    """G of [z, e(y)], and logit(x | y) = Σ (W Σ basis ⊙ body(x)) e'(y)."""
    torch.manual_seed(0)
    config = r3gan.Config.tiny().model_copy(update={"conditional": True})
    model = r3gan.build(config, Domain((1, 8, 8), -1.0, 1.0, classes=3))
    assert model.conditional
    g, d = model.sampler.network, model.energy.network
    labels, z, x = torch.tensor([2, 0, 2, 1]), torch.randn(4, 4), torch.randn(4, 1, 8, 8)
    vectors = g.embedding.vectors.weight.T[labels]
    made = g.body(g.basis * (torch.cat([z, vectors], 1) @ g.enter.weight.T)[:, :, None, None])
    torch.testing.assert_close(g(z, labels, "fake"), made)
    seen = torch.einsum("bchw,chw,ec->be", d.body(x), d.basis, d.leave.weight)
    wanted = (seen * d.embedding.vectors.weight.T[labels]).sum(1)
    torch.testing.assert_close(-model.energy(x, labels, stream="real").energy, wanted)
    other = model.energy(x, (labels + 1) % 3, stream="real").energy
    assert not torch.isclose(other, -wanted).any()


def test_first_vectors_of_labels_keep_the_logits_scale() -> None:
    torch.manual_seed(0)
    assert Embedding(16, 400).vectors.weight.std().item() == pytest.approx(1 / 4, rel=0.03)
    scaled = Embedding(16, 400, 400**-0.5).vectors.weight
    assert scaled.std().item() == pytest.approx(1 / 80, rel=0.03)


def test_labels_that_the_data_lacks_are_refused() -> None:
    with pytest.raises(SettingError, match="r3gan is conditional on labels and the data has none"):
        r3gan.build(r3gan.Config(conditional=True), Domain((1, 32, 32), -1.0, 1.0))
