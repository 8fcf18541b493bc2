"""Annealed chains: their recursions by hand, their stationary law, members, negatives."""

import pytest
import torch
from torch import Tensor

from energan.core import Batch, Context, Energy, PerSample, Randomness, Scored, StepRule, Stream
from energan.samplers.annealed import AnnealedChains, AnnealedNegatives, Annealing, anneal

CURVATURE = 3.0


def bowl(x: Tensor) -> Tensor:
    """U = 3‖x‖²/2 of (..., B, 2)."""
    return CURVATURE * x.square().sum(-1) / 2


class Bowl(Energy):
    def forward(self, x: Tensor, condition: Tensor | None = None, *, stream: Stream) -> Scored:
        return Scored(bowl(x))


def test_without_noise_it_is_gradient_descent() -> None:
    x = torch.randn(5, 2, generator=torch.Generator().manual_seed(0))
    made = anneal(bowl, x, Annealing(((0.1, 0.0), (0.2, 0.0))), Randomness([0]))
    assert torch.allclose(made.x, 0.7 * 0.4 * x)
    assert torch.allclose(made.drop, bowl(x) - bowl(0.7 * x))
    norms = CURVATURE * (x.norm(dim=1) + (0.7 * x).norm(dim=1)) / 2
    assert torch.allclose(made.gradient_norm, norms)


def test_momentum_looks_ahead() -> None:
    """x₊ = x − η∇U(x + μ(x − x₋)), and x₋ = x at first (Wang & Du 2025)."""
    x, eta, mu = torch.tensor([[1.0, -2.0]]), 0.1, 0.3
    made = anneal(bowl, x, Annealing(((eta, 0.0),) * 4, momentum=mu), Randomness([0]))
    before = now = x
    for _ in range(4):
        before, now = now, now - eta * CURVATURE * (now + mu * (now - before))
    assert torch.allclose(made.x, now)


def test_at_a_temperature_the_law_is_that_of_the_energy() -> None:
    """η = ε/2 and s = √ε: the variance is 1/(a(1 − εa/4))."""
    epsilon = 0.2
    steps = ((epsilon / 2, epsilon**0.5),) * 60
    made = anneal(bowl, torch.zeros(20_000, 2), Annealing(steps), Randomness([0]))
    wanted = 1 / (CURVATURE * (1 - epsilon * CURVATURE / 4))
    assert float(made.x.var()) == pytest.approx(wanted, rel=0.02)


def test_hot_chains_have_the_last_noise_throughout() -> None:
    x, hot = torch.zeros(4000, 2), torch.arange(4000) < 2000
    annealing = Annealing(((0.0, 0.0), (0.0, 0.5), (0.0, 1.0)))
    made = anneal(bowl, x, annealing, Randomness([0]), hot)
    assert float(made.x[:2000].var()) == pytest.approx(3.0, rel=0.05)
    assert float(made.x[2000:].var()) == pytest.approx(1.25, rel=0.05)


def test_members_move_as_they_do_alone() -> None:
    x = torch.randn(2, 5, 2, generator=torch.Generator().manual_seed(0))
    annealing = Annealing(((0.1, 0.2), (0.1, 0.3)), momentum=0.2)
    together = anneal(bowl, x, annealing, Randomness([0, 1]).at("test"))
    for member in range(2):
        alone = anneal(bowl, x[member], annealing, Randomness([member]).at("test"))
        assert torch.allclose(together.x[member], alone.x)
        assert torch.allclose(together.gradient_norm[member], alone.gradient_norm)


def test_the_first_samples_are_the_same_however_many() -> None:
    sampler = AnnealedChains(Annealing(((0.1, 0.2),) * 3), StepRule(0.1), (2,))
    few, many = (
        sampler.sample(Bowl(), n, None, {}, Context(0, {}, PerSample(0, (2,)).at("s")))
        for n in (3, 9)
    )
    assert few is not None
    assert many is not None
    assert torch.equal(few.x, many.x[:3])


def test_half_of_the_negatives_start_from_data_after_the_warm_up() -> None:
    still = Annealing(((0.0, 0.0),), spread=0.01)
    sampler = AnnealedNegatives(
        still, StepRule(0.1), (2,), training=still, warm_up=5
    )  # fmt: skip
    batch = Batch(torch.full((6, 2), 7.0))
    early, _ = sampler.draw(Bowl(), batch, {}, Context(4, {}, Randomness([0])))
    draw, _ = sampler.draw(Bowl(), batch, {}, Context(5, {}, Randomness([0])))
    assert early is None
    assert draw is not None
    assert torch.equal(draw.x[:3], batch.x[:3])
    assert float(draw.x[3:].abs().max()) < 0.1


def test_no_steps_are_a_mistake_and_ends_are_clamped() -> None:
    with pytest.raises(ValueError, match="at least 1 step"):
        anneal(bowl, torch.zeros(1, 2), Annealing(()), Randomness([0]))
    far = anneal(bowl, torch.full((1, 2), 9.0), Annealing(((0.0, 0.0),), low=-1, high=1),
                 Randomness([0]))  # fmt: skip
    assert torch.equal(far.x, torch.ones(1, 2))
