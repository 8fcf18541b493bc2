"""JEM: energy and loss against their definitions, published settings, refusals."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from energan.core import Batch, Context, Domain, Draw, Randomness, SettingError, value_and_gradient
from energan.core.gradients import potential
from energan.energies.log_sum_exp import LogSumExp
from energan.energies.scalar import Scalar
from energan.models import jem
from energan.objectives import JointLikelihood
from energan.samplers import StepRule
from energan.samplers.chains import ChainSampler

SIGNED = Domain((1, 8, 8), -1.0, 1.0, classes=3)


def classifier(seed: int = 0) -> LogSumExp:
    torch.manual_seed(seed)
    return LogSumExp(nn.Sequential(nn.Flatten(), nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3)))


def context(members: int = 1, **hyper: float) -> Context:
    values = {name: torch.full((members, 1), value) for name, value in hyper.items()}
    return Context(0, values, Randomness(range(members)).at("test"))


def test_the_energy_is_that_of_the_sum_of_joint_densities() -> None:
    """exp(−U(x)) = Σ_y exp f_y(x), and p(y | x) is each part of it."""
    energy, x = classifier(), torch.randn(6, 4)
    scored = energy(x, stream="eval")
    joint = energy.network(x).exp()
    assert scored.logits is not None
    assert torch.allclose((-scored.energy).exp(), joint.sum(1))
    assert torch.allclose(scored.logits.softmax(1), joint / joint.sum(1, keepdim=True))


def test_its_gradient_weighs_the_logits_by_the_probabilities() -> None:
    """∇U = −Σ_y p(y | x) ∇f_y(x)."""
    energy, x = classifier(), torch.randn(1, 4)
    _, found = value_and_gradient(potential(energy), x)
    slopes = torch.autograd.functional.jacobian(lambda z: energy.network(z)[0], x)[:, 0]
    wanted = -energy.network(x).softmax(1) @ slopes
    assert torch.allclose(found, wanted, atol=1e-6)


def test_the_loss_is_likelihood_and_cross_entropy() -> None:
    energy, x, fake, own = classifier(), *torch.randn(3, 8, 4).unbind(0)
    labels = torch.tensor([0, 1, 2, 0, 1, 2, 0, 1])
    weights = context(contrast=0.5, classification=2.0, energy_l2=0.1)
    batch = Batch(x, labelled=Batch(own, labels))
    found = JointLikelihood().energy_loss(energy, batch, Draw(fake), weights)
    u, v = (energy(z, stream="eval").energy for z in (x, fake))
    likelihood = u.mean() - v.mean() + 0.1 * (u.square().mean() + v.square().mean())
    crossed = F.cross_entropy(energy.network(own), labels)
    assert torch.allclose(found.total, 0.5 * likelihood + 2 * crossed)
    assert torch.allclose(found.parts["cross_entropy"], crossed)


def test_what_has_no_logits_or_labels_is_told() -> None:
    x, at = torch.randn(4, 4), context(contrast=1.0, classification=1.0)
    plain = Scalar(nn.Linear(4, 1))
    with pytest.raises(SettingError, match="labelled examples"):
        JointLikelihood().energy_loss(classifier(), Batch(x), Draw(x), at)
    batch = Batch(x, labelled=Batch(x, torch.zeros(4, dtype=torch.long)))
    with pytest.raises(SettingError, match="Scalar has none"):
        JointLikelihood().energy_loss(plain, batch, Draw(x), at)
    with pytest.raises(SettingError, match="learns classes"):
        jem.build(jem.Config.tiny(), Domain((1, 8, 8), 0.0, 1.0))
    with pytest.raises(SettingError, match="points"):
        jem.build(jem.Config.tiny(), Domain((2,), classes=3))


def test_the_defaults_are_the_published_ones() -> None:
    """On [−1, 1]: step 1, noise 0.01, of data 0.03; K 20, 10,000 chains, 5 % anew."""
    config = jem.Config()
    built = jem.build(config.model_copy(update={"stages": (4,), "buffer": 8}), SIGNED)
    assert isinstance(built.sampler, ChainSampler)
    assert isinstance(built.objective, JointLikelihood)
    assert built.sampler.rule == StepRule(1.0, 0.01, None, -1.0, 1.0)
    assert built.objective.data_noise == 0.03
    assert (config.steps, config.buffer, config.restart) == (20, 10_000, 0.05)
    assert (built.energy(torch.zeros(2, 1, 8, 8), stream="eval").logits).shape == (2, 3)  # type: ignore[union-attr]
