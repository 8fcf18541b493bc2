"""log Z between bounds, of densities whose log Z is known, from both sides."""

from math import log, pi

import pytest
import torch
from torch import Tensor

from energan.core import Randomness
from energan.metrics.partition import log_partition
from energan.samplers.importance import NormalBase, annealed_log_z

D = 12
SCALES = torch.logspace(-0.7, 0.5, D)
CENTRE = torch.linspace(-1, 1, D)


def gaussian(x: Tensor) -> Tensor:
    return ((x - CENTRE) / SCALES).square().sum(1) / 2 - 3.0


GAUSSIAN_Z = float(SCALES.double().log().sum()) + D / 2 * log(2 * pi) + 3
SHARES, MODES, WIDTH = torch.tensor([0.3, 0.7]), torch.tensor([-1.0, 1.0]), 0.35


def mixture(x: Tensor) -> Tensor:
    """Two Gaussians in all coordinates at once; Z = 5."""
    squares = (x[:, None] - MODES[:, None]).square().sum(2) / (2 * WIDTH**2)
    normal = x.shape[1] * log(WIDTH * (2 * pi) ** 0.5)
    return -((SHARES.log() - squares).logsumexp(1) - normal) - log(5)


def draws_of(count: int, seed: int, size: int) -> Tensor:
    g = torch.Generator().manual_seed(seed)
    which = (torch.rand(count, generator=g) > SHARES[0]).long()
    return MODES[which][:, None] + WIDTH * torch.randn(count, size, generator=g)


def test_a_gaussians_log_z_lies_between_the_bounds() -> None:
    base = NormalBase(torch.zeros(D), torch.ones(D))
    g = torch.Generator().manual_seed(1)
    exact = CENTRE + SCALES * torch.randn(200, D, generator=g)
    widths = []
    for stages in (10, 200):
        found = annealed_log_z(gaussian, base, Randomness([stages]).at("a"), chains=200,
                               stages=stages, samples=exact)  # fmt: skip
        assert found.upper is not None
        assert found.lower - 0.3 < GAUSSIAN_Z < found.upper + 0.3
        widths.append(found.upper - found.lower)
    assert abs(widths[1]) < 0.5 < widths[0]
    assert found.acceptance == pytest.approx(0.8, abs=0.1)


def test_weights_are_unbiased_whatever_the_number_of_stages() -> None:
    """E exp(w) = Z/Z₀, and E exp(−w) = Z₀/Z from samples, by few stages and many chains."""
    base, size = NormalBase(torch.zeros(2), 1.2 * torch.ones(2)), 2
    found = annealed_log_z(mixture, base, Randomness([3]).at("b"), chains=20_000, stages=6,
                           samples=draws_of(20_000, 4, size))  # fmt: skip
    assert found.upper is not None
    for weights, value in ((found.forward, found.lower), (-found.reverse, found.upper)):
        ratio = (weights - weights.max()).exp()
        error = float(ratio.std() / ratio.mean()) / len(ratio) ** 0.5
        assert error < 0.05
        assert abs(value - log(5)) < 4.5 * error
    assert (
        float(found.forward.mean()) + base.log_z
        < log(5)
        < (float(found.reverse.mean()) + base.log_z)
    )


def test_a_mixture_in_more_dimensions() -> None:
    base = NormalBase(torch.zeros(8), torch.ones(8))
    found = annealed_log_z(mixture, base, Randomness([5]).at("c"), chains=150, stages=250,
                           samples=draws_of(150, 6, 8))  # fmt: skip
    assert found.lower == pytest.approx(log(5), abs=0.5)
    assert found.upper == pytest.approx(log(5), abs=0.5)


def test_samples_of_one_mode_alone_bound_that_mode_alone() -> None:
    """Why the upper bound needs chains that mixed: it comes out below log Z, at log Z less the log
    of the mode's share among forward chains, here a half, over its share of the density, 0.3."""
    base = NormalBase(torch.zeros(8), torch.ones(8))
    one = MODES[0] + WIDTH * torch.randn(150, 8, generator=torch.Generator().manual_seed(7))
    found = annealed_log_z(mixture, base, Randomness([5]).at("d"), chains=8, stages=250,
                           samples=one)  # fmt: skip
    assert found.upper == pytest.approx(log(5 * 0.3 / 0.5), abs=0.3)


def test_in_a_box_it_is_the_integral_over_the_box() -> None:
    base = NormalBase(torch.tensor([0.1, -0.2]), torch.tensor([0.5, 0.9]), -1.0, 0.8)
    volume = -log_partition(lambda x: -base.energy(x)[0] * -1, [-1, -1], [0.8, 0.8])
    assert base.log_z == pytest.approx(-volume, abs=1e-4)
    x = base.sample(50_000, Randomness([0]).at("e"))
    assert -1 <= float(x.min()) < float(x.max()) <= 0.8
    grid = torch.linspace(-1, 0.8, 4001, dtype=torch.float64)
    for i in (0, 1):
        weight = (-((grid - base.mean[i].double()) / base.std[i].double()).square() / 2).exp()
        assert float(x[:, i].mean()) == pytest.approx(float((grid * weight).sum() / weight.sum()),
                                                      abs=0.01)  # fmt: skip
    found = annealed_log_z(mixture, base, Randomness([1]).at("f"), chains=400, stages=100)
    assert found.upper is None
    exact = log_partition(mixture, [-1, -1], [0.8, 0.8])
    assert found.lower == pytest.approx(exact, abs=0.1)
