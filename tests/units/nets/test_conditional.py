"""Networks that take labels: shapes, what the label does, cohorts."""

import pytest
import torch
from torch import Tensor

from energan.core import Domain, Energy, Scored, SettingError, Stream
from energan.energies.minimum_over_labels import MinimumOverLabels
from energan.energies.reconstruction import Reconstruction
from energan.models import cebgan, cgan
from energan.nets.autoencoder import mlp_autoencoder
from energan.nets.conditional import (
    ConditionalAutoEncoder,
    WithLabels,
    WithPlanes,
    classes_of,
    joint_generator,
    joint_maxout,
    one_hot,
)
from energan.nets.conv import down
from energan.nets.dense import Dense, Sequential
from energan.training.cohort import stack

EVENT, K = (1, 4, 4), 3
LABELS = torch.tensor([0, 1, 2, 1, 0])


def test_the_published_networks_of_2014() -> None:
    """z 100 -> 200, y 10 -> 1000, joint 1200, 784; D maxout 240x5, 50x5, 240x4."""
    model = cgan.build(cgan.Config(output="sigmoid"), Domain((1, 28, 28), 0.0, 1.0, 10))
    shapes = [tuple(p.shape) for n, p in model.sampler.named_parameters() if "weight" in n]
    assert shapes == [(200, 100), (1000, 10), (1200, 1200), (784, 1200)]
    shapes = [tuple(p.shape) for n, p in model.energy.named_parameters() if "weight" in n]
    assert shapes == [(240 * 5, 784), (50 * 5, 10), (240 * 4, 290), (1, 240)]
    assert model.conditional


@pytest.mark.parametrize(
    "network",
    [
        joint_maxout(EVENT, K, (6, 4, 5), (2, 2, 2), 0.0),
        WithPlanes(Sequential(down(1 + K, 4, bias=True)), K),
    ],
)
def test_the_label_changes_what_is_said_of_one_image(network: torch.nn.Module) -> None:
    x = torch.randn(1, *EVENT).repeat(5, 1, 1, 1)
    said = network(x, LABELS, "real")
    torch.testing.assert_close(said[0], said[4])  # a matrix product may round rows differently
    torch.testing.assert_close(said[1], said[3])
    assert not torch.allclose(said[0], said[1])


def test_the_label_stands_beside_the_input_as_one_of_k() -> None:
    plain = Sequential(Dense(2 + K, 4))
    z = torch.randn(5, 2)
    expected = plain(torch.cat([z, torch.eye(K)[LABELS]], 1), "fake")
    assert torch.equal(WithLabels(plain, K)(z, LABELS, "fake"), expected)
    assert torch.equal(one_hot(LABELS, K, z), torch.eye(K)[LABELS])


def test_a_conditional_auto_encoder_is_told_the_label_twice() -> None:
    inner = mlp_autoencoder(EVENT, (6, 5), norm=False, beside=K)
    network = ConditionalAutoEncoder(inner, EVENT, K)
    x = torch.randn(5, *EVENT)
    y = torch.eye(K)[LABELS]
    made, raw, activated = network(x, LABELS, "real")
    assert made.shape == x.shape
    assert torch.equal(raw, inner.encoder(torch.cat([x.flatten(1), y], 1), "real"))
    assert torch.equal(made, inner.decoder(torch.cat([activated, y], 1), "real"))


def test_a_cohort_of_two_is_its_members_side_by_side() -> None:
    members = [joint_generator(4, K, (5, 6, 7), EVENT, "tanh", 0.0) for _ in range(2)]
    z, y = torch.randn(2, 5, 4), torch.stack([LABELS, LABELS.flip(0)])
    together = stack(members)(z, y, "fake")
    for i, member in enumerate(members):
        torch.testing.assert_close(together[i], member(z[i], y[i], "fake"))


def test_without_a_label_the_energy_is_the_least_over_all() -> None:
    inner = mlp_autoencoder(EVENT, (6, 5), norm=False, beside=K)
    energy = Reconstruction(ConditionalAutoEncoder(inner, EVENT, K), 3)
    x = torch.randn(7, *EVENT)
    each = [energy(x, torch.full((7,), y), stream="eval") for y in range(K)]
    best = torch.stack([s.energy for s in each]).min(0)
    any_label = MinimumOverLabels(energy, K)
    found = any_label(x, stream="eval")
    assert torch.equal(found.energy, best.values)
    assert found.reconstruction is not None
    for i, y in enumerate(best.indices.tolist()):
        assert torch.equal(found.reconstruction[i], each[y].reconstruction[i])
        assert torch.equal(found.code[i], each[y].code[i])
    labels = torch.arange(7) % K
    assert torch.equal(
        any_label(x, labels, stream="eval").energy, energy(x, labels, stream="eval").energy
    )


class Cells(Energy):
    """Of label y the largest value of y·x, and y·x as the map."""

    def forward(self, x: Tensor, condition: Tensor | None = None, *, stream: Stream) -> Scored:
        assert condition is not None
        cells = condition.view(-1, 1, 1) * x.sum(1)
        return Scored(cells.amax((1, 2)), map=cells)


def test_without_a_label_the_map_is_that_of_the_least_energy() -> None:
    positive = torch.rand(3, 2, 4, 4) + 1
    x = torch.cat([positive, -positive])
    found = MinimumOverLabels(Cells(), 3)(x, stream="eval")
    assert found.map is not None
    torch.testing.assert_close(found.map, torch.cat([0 * x[:3].sum(1), 2 * x[3:].sum(1)]))


@pytest.mark.parametrize("model", [cgan, cebgan])
def test_data_without_classes_is_refused(model: object) -> None:
    with pytest.raises(SettingError, match="conditional on labels and the data has none"):
        model.build(model.Config.tiny(), Domain((2,)))  # type: ignore[attr-defined]
    assert classes_of(Domain((2,), classes=4), "x") == 4
