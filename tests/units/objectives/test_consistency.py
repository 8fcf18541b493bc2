"""FixMatch against its equation, and what it learns from."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from energan.core import Batch, Context, Domain, Randomness, SettingError
from energan.energies.log_sum_exp import LogSumExp
from energan.energies.scalar import Scalar
from energan.models import fixmatch
from energan.objectives.consistency import FixMatch


def classifier() -> LogSumExp:
    torch.manual_seed(0)
    return LogSumExp(nn.Sequential(nn.Flatten(), nn.Linear(4, 3)))


def context(consistency: float = 2.0) -> Context:
    values = {"consistency": torch.full((1, 1), consistency)}
    return Context(0, values, Randomness([0]).at("test"))


def weak(x: Tensor, randomness: Randomness) -> Tensor:
    return x + 0.1


def strong(x: Tensor, randomness: Randomness) -> Tensor:
    return 3 * x


def test_the_loss_is_its_equation() -> None:
    energy = classifier()
    x, own = torch.randn(40, 1, 2, 2), torch.randn(6, 1, 2, 2)
    labels = torch.tensor([0, 1, 2, 0, 1, 2])
    found = FixMatch(weak, strong, 0.5).energy_loss(
        energy, Batch(x, labelled=Batch(own, labels)), None, context()
    )
    total, counted = torch.tensor(0.0), 0
    for image in x:
        p = energy.network(image[None] + 0.1).softmax(1)[0]
        if p.max() >= 0.5:
            counted += 1
            total = total - energy.network(3 * image[None]).log_softmax(1)[0, p.argmax()]
    assert 5 < counted < 35
    crossed = F.cross_entropy(energy.network(own + 0.1), labels)
    torch.testing.assert_close(found.total, (crossed + 2 * total / 40).view(1))
    torch.testing.assert_close(found.parts["consistency"], (total / 40).detach().view(1))
    assert float(found.parts["confident"]) == pytest.approx(counted / 40)


def test_guesses_have_no_gradient() -> None:
    """Where the strong augmentation leaves nothing, nothing is learned of x."""
    energy = classifier()
    batch = Batch(torch.randn(8, 1, 2, 2), labelled=Batch(torch.zeros(3, 1, 2, 2), torch.arange(3)))
    weight = energy.network[1].weight  # type: ignore[union-attr,index]
    blind = FixMatch(lambda x, r: x, lambda x, r: torch.zeros_like(x), 0.0)
    (slope,) = torch.autograd.grad(blind.energy_loss(energy, batch, None, context()).total, weight)
    assert not slope.any()


def test_what_does_not_classify_is_refused() -> None:
    batch = Batch(torch.randn(4, 1, 2, 2), labelled=Batch(torch.zeros(3, 1, 2, 2), torch.arange(3)))
    objective = FixMatch(weak, strong, 0.5)
    energy = Scalar(nn.Sequential(nn.Flatten(), nn.Linear(4, 1)))
    with pytest.raises(SettingError, match="needs an energy with logits"):
        objective.energy_loss(energy, batch, None, context())
    with pytest.raises(SettingError, match="needs batches with labelled examples"):
        objective.energy_loss(classifier(), Batch(batch.x), None, context())


@pytest.mark.parametrize(
    ("shape", "stages"),
    [((1, 28, 28), "32"), ((3, 32, 32), "32-64"), ((3, 64, 64), "32-64-128"), ((3, 8, 8), "32")],
)
def test_the_network_follows_the_size_of_the_images(
    shape: tuple[int, int, int], stages: str
) -> None:
    model = fixmatch.build(fixmatch.Config(), Domain(shape, -1.0, 1.0, classes=2))
    assert model.chosen["stages"] == stages
    logits = model.energy(torch.zeros(2, *shape), stream="eval").logits
    assert logits is not None
    assert logits.shape == (2, 2)


def test_data_without_classes_is_refused() -> None:
    with pytest.raises(SettingError, match="fixmatch learns classes, and this data has none"):
        fixmatch.build(fixmatch.Config(), Domain((3, 32, 32), -1.0, 1.0))
