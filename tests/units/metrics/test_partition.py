"""Densities of energies against Gaussians and mixtures, whose Z is known."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from energan.metrics import energy_log_likelihood, log_partition


@given(st.floats(0.2, 2), st.floats(-1, 1), st.integers(1, 2), st.floats(-30, 30))
def test_log_z_of_a_gaussian(std: float, mean: float, size: int, offset: float) -> None:
    """U = ||x − μ||²/2σ² + c: log Z = D/2 log(2πσ²) − c."""

    def energy(x: Tensor) -> Tensor:
        return (x - mean).square().sum(1) / (2 * std**2) + offset

    found = log_partition(energy, [-15.0] * size, [15.0] * size, 700)
    assert found == pytest.approx(size / 2 * np.log(2 * np.pi * std**2) - offset, abs=1e-6)


def test_log_z_of_a_flat_energy_is_the_logarithm_of_the_box() -> None:
    found = log_partition(lambda x: torch.zeros(len(x)), [0, -1], [2, 4], 7)
    assert found == pytest.approx(np.log(10))


def test_the_likelihood_of_a_mixture_in_the_plane() -> None:
    centres = torch.tensor([[-1.0, 0.0], [1.0, 0.5]], dtype=torch.float64)

    def log_p(x: Tensor) -> Tensor:
        d = (x[:, None] - centres).square().sum(-1) / (2 * 0.3**2)
        return (-d).logsumexp(1) - np.log(2) - np.log(2 * np.pi * 0.3**2)

    g = torch.Generator().manual_seed(0)
    which = torch.randint(2, (500,), generator=g)
    points = centres[which] + 0.3 * torch.randn(500, 2, generator=g, dtype=torch.float64)
    # an energy is a density up to a constant, which Z takes out
    found = energy_log_likelihood(lambda x: 7 - log_p(x), points, [-4, -4], [4, 4], 400)
    assert found.mean == pytest.approx(float(log_p(points).mean()), abs=1e-4)
    assert found.standard_error == pytest.approx(float(log_p(points).std()) / 500**0.5)
    assert found.log_z == pytest.approx(-7, abs=1e-4)
    assert found.error < 1e-4


def test_a_grid_that_is_too_coarse_is_told_by_its_error() -> None:
    def narrow(x: Tensor) -> Tensor:
        return x.square().sum(1) / (2 * 0.001**2)

    coarse = energy_log_likelihood(narrow, torch.zeros(3, 1), [-1], [1], 64)
    fine = energy_log_likelihood(narrow, torch.zeros(3, 1), [-1], [1], 65536)
    assert coarse.error > 1 > fine.error


def test_a_point_that_cannot_be_has_no_likelihood() -> None:
    def half(x: Tensor) -> Tensor:
        return torch.where(x[:, 0] < 0, torch.inf, 0.0)

    found = energy_log_likelihood(half, torch.tensor([[-0.5], [0.5]]), [-1], [1], 10)
    assert (found.mean, found.standard_error, found.log_z) == (-np.inf, np.inf, pytest.approx(0))


def test_what_is_refused() -> None:
    def zero(x: Tensor) -> Tensor:
        return torch.zeros(len(x))

    for low, high in (([0, 0, 0], [1, 1, 1]), ([0], [0]), ([1], [0]), ([], []), ([0], [1, 1])):
        with pytest.raises(ValueError, match="the box"):
            log_partition(zero, low, high)
    for bad in (float("nan"), float("inf"), -float("inf")):
        with pytest.raises(ValueError, match="no finite log Z"):
            log_partition(lambda x, v=bad: torch.full((len(x),), v), [0], [1])  # type: ignore[misc]
    with pytest.raises(ValueError, match="outside the box"):
        energy_log_likelihood(zero, torch.full((3, 1), 2.0), [0], [1])
    with pytest.raises(ValueError, match="at least 2"):  # no coarser grid to tell the error
        energy_log_likelihood(zero, torch.zeros(3, 1), [-1], [1], 1)
    with pytest.raises(ValueError, match="of a point"):
        energy_log_likelihood(lambda x: x[:, 0] / x[:, 0], torch.zeros(3, 1), [-1], [1], 4)
    with pytest.raises(ValueError, match="points must be"):
        energy_log_likelihood(zero, torch.zeros(3, 2), [-1], [1])
