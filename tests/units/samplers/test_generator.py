"""The generator as a sampler: its priors, its rest, and draws that repeat by place."""

import math

import pytest
import torch
from scipy.stats import kstest, norm, uniform

from energan.core import Batch, Context, Randomness, attach
from energan.energies.logit import Logit
from energan.nets.dense import Dropout, Sequential
from energan.nets.mlp import mlp_generator, mlp_logit
from energan.samplers.generator import Generator, latent

ENERGY = Logit(mlp_logit((3,), (4,), norm=False))
ROOT3 = math.sqrt(3)
PRIORS = {
    "normal": (norm.cdf, 1.0, math.inf),
    "uniform": (uniform(-1, 2).cdf, 1 / 3, 1.0),
    "uniform-unit-variance": (uniform(-ROOT3, 2 * ROOT3).cdf, 1.0, ROOT3),
}


def context(step: int = 0, seeds: tuple[int, ...] = (0,)) -> Context:
    return Context(step, {}, Randomness(seeds).at(step))


def generator(**options) -> Generator:
    torch.manual_seed(0)
    return Generator(mlp_generator(5, (6, 6), (3,), norm=True, output="tanh"), 5, **options)


@pytest.mark.parametrize("prior", PRIORS)
def test_the_prior_has_the_stated_distribution(prior):
    """z (count, size): its moments, its range and, by Kolmogorov-Smirnov, its shape."""
    cdf, variance, bound = PRIORS[prior]
    z = latent(Randomness([1]), prior, 2000, 20).double()
    assert z.shape == (2000, 20)
    n = z.numel()
    assert abs(z.mean().item()) < 5 * math.sqrt(variance / n)
    assert z.var().item() == pytest.approx(variance, rel=0.03)
    assert z.abs().max().item() <= bound * (1 + 1e-6)
    if bound < math.inf:
        assert z.abs().max().item() > 0.999 * bound
    assert kstest(z.flatten().numpy(), cdf).pvalue > 1e-4
    correlation = torch.corrcoef(z.T) - torch.eye(20)
    assert correlation.abs().max() < 5 / math.sqrt(2000)


def test_a_draw_is_g_of_z_as_a_batch_of_fakes():
    """As many as the batch has, through the network's "fake" stream, for the batch's condition,
    with gradient in the network's parameters."""
    sampler = generator(prior="uniform")
    batch = Batch(torch.randn(9, 3), torch.arange(9))
    state = {"kept": torch.ones(2)}
    draw, after = sampler.draw(ENERGY, batch, state, context(3))
    z = latent(Randomness([0]).at(3), "uniform", 9, 5)
    torch.testing.assert_close(draw.x, sampler.network(z, "fake"))
    assert (draw.x - sampler.network(z, "eval")).abs().max() > 1e-3
    assert draw.condition is batch.condition
    assert after is state
    draw.x.sum().backward()
    assert all(p.grad is not None for p in sampler.parameters())
    assert not draw.detach().x.requires_grad


def test_a_sample_is_g_of_z_in_evaluation_mode():
    """`sample` uses calibrated statistics, keeps no graph, and gives the condition back."""
    sampler = generator()
    condition = torch.arange(7)
    draw = sampler.sample(ENERGY, 7, condition, {}, context(3))
    z = latent(Randomness([0]).at(3), "normal", 7, 5)
    torch.testing.assert_close(draw.x, sampler.network(z, "eval"))
    assert not draw.x.requires_grad
    assert draw.condition is condition


def test_draws_repeat_by_place():
    """The same seed and place give the same draw; another place or seed another."""
    sampler, batch = generator(), Batch(torch.randn(4, 3))

    def drawn(step: int, seed: int):
        return sampler.draw(ENERGY, batch, {}, context(step, (seed,)))[0].x

    assert torch.equal(drawn(5, 1), drawn(5, 1))
    assert not torch.equal(drawn(5, 1), drawn(6, 1))
    assert not torch.equal(drawn(5, 1), drawn(5, 2))


def test_the_generator_rests_from_until_on():
    """Before `until` it learns and draws; from it on it does neither, but still samples."""
    sampler, batch = generator(until=10), Batch(torch.randn(4, 3))
    assert [sampler.learns(step) for step in (0, 9, 10, 11)] == [True, True, False, False]
    assert sampler.draw(ENERGY, batch, {}, context(9))[0] is not None
    state = {"kept": torch.ones(1)}
    assert sampler.draw(ENERGY, batch, state, context(10)) == (None, state)
    assert sampler.sample(ENERGY, 4, None, {}, context(10)).x.shape == (4, 3)
    assert generator().learns(10**9)
    assert not generator(until=0).learns(0)


def test_each_members_draw_is_that_of_its_own_run():
    """With M seeds z and x are (M, B, ...), and row i is what seed i alone would draw."""
    seeds = (4, 7, 1)
    randomness = Randomness(seeds)
    together = Generator(Sequential(Dropout(0.5)), 5)
    attach(together, randomness)
    batch = Batch(torch.randn(3, 8, 3))
    drawn = together.draw(ENERGY, batch, {}, Context(2, {}, randomness.at(2)))[0].x
    sampled = together.sample(ENERGY, 6, None, {}, Context(2, {}, randomness.at(2))).x
    assert drawn.shape == (3, 8, 5)
    assert sampled.shape == (3, 6, 5)
    for i, seed in enumerate(seeds):
        own = Randomness([seed])
        attach(together, own)
        alone = together.draw(ENERGY, Batch(batch.x[i]), {}, Context(2, {}, own.at(2)))[0].x
        assert torch.equal(drawn[i], alone)
        alone = together.sample(ENERGY, 6, None, {}, Context(2, {}, own.at(2))).x
        assert torch.equal(sampled[i], alone)
