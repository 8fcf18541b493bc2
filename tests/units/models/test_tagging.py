"""The tagging GAN: published sizes, both networks' conditions, noise in training alone."""

import pytest
import torch

from energan.core import Domain, Randomness, SettingError
from energan.models import tagging
from energan.nets.conditional import Joined
from energan.nets.dense import Dense, GaussianNoise, Scaled, Sequential
from energan.samplers.generator import Generator

PUBLISHED = Domain((200,), condition_shape=(4096,))
SMALL = Domain((5,), condition_shape=(6,))


def parameters(network: torch.nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def test_the_defaults_are_the_published_networks() -> None:
    model = tagging.build(tagging.Config(), PUBLISHED)
    generator = (100 + 1) * 500 + (4096 + 1) * 2000 + (2500 + 1) * 200
    discriminator = (200 + 1) * 500 + (4096 + 1) * 1200 + (1700 + 1) * 3000 + (1000 + 1)
    assert parameters(model.sampler) == generator
    assert parameters(model.energy) == discriminator
    assert model.conditional


def test_both_networks_go_by_the_features() -> None:
    model = tagging.build(tagging.Config.tiny(), SMALL)
    g = torch.Generator().manual_seed(0)
    one, other, x = (torch.randn(3, n, generator=g) for n in (6, 6, 5))
    energies = [model.energy(x, c, stream="eval").energy for c in (one, other)]
    assert energies[0].shape == (3,)
    assert (energies[0] != energies[1]).all()
    assert isinstance(model.sampler, Generator)
    z = torch.randn(3, 4, generator=g)
    made = [model.sampler.network(z, c, "eval") for c in (one, other)]
    assert made[0].shape == (3, 5)
    assert (made[0] != made[1]).any(1).all()
    again = model.sampler.network(-z, one, "eval")
    assert (made[0] != again).any(1).all()


def test_a_dense_condition_joins_as_it_is() -> None:
    """joint([first(x), second(y)]), with linear layers written out."""
    first, second, joint = (Sequential(Dense(*sizes)) for sizes in ((3, 2), (4, 5), (7, 1)))
    joined = Joined(first, second, joint, None)
    x, y = torch.randn(6, 3), torch.randn(6, 4)
    a, b = (x @ first[0].weight.T + first[0].bias, y @ second[0].weight.T + second[0].bias)
    wanted = torch.cat([a, b], 1) @ joint[0].weight.T + joint[0].bias
    torch.testing.assert_close(joined(x, y, "real"), wanted)


def test_noise_is_of_the_stated_size_in_training_and_none_in_evaluation() -> None:
    layer = GaussianNoise(0.3)
    layer.randomness = Randomness([0])
    x = torch.zeros(2000, 5)
    drawn = [layer(x, stream) for stream in ("real", "fake")]
    assert float(drawn[0].std()) == pytest.approx(0.3, rel=0.03)
    assert not torch.equal(*drawn)
    assert torch.equal(layer(x, "eval"), x)
    layer.randomness = Randomness([0, 1])
    assert not torch.equal(*layer(torch.zeros(2, 9, 5), "real"))  # of each member its own
    torch.testing.assert_close(Scaled(2.5)(x + 1), torch.full_like(x, 2.5))


@pytest.mark.parametrize(
    "domain",
    [
        Domain((5,)),
        Domain((1, 8, 8), -1.0, 1.0, classes=10),
        Domain((1, 16, 16), -1.0, 1.0, condition_shape=(1, 16, 16)),
    ],
)
def test_other_data_is_refused_with_the_remedy(domain: Domain) -> None:
    with pytest.raises(SettingError, match=r"\.npz of both"):
        tagging.build(tagging.Config.tiny(), domain)
