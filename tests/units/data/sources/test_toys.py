from math import pi

import pytest
import torch
from scipy.stats import kstest

from energan.data import DataSettings, open_data
from energan.data.sources.toys import TOYS


@pytest.mark.parametrize("name", TOYS)
def test_sizes_domain_and_repeatability(name: str) -> None:
    data = open_data(DataSettings(source=name))
    assert data.held_out is not None
    assert (len(data), len(data.held_out)) == (50_000, 10_000)
    assert data.domain.shape == ((1,) if name == "gaussian" else (2,))
    assert data.domain.low is None
    assert data.domain.high is None
    assert data.raw().dtype == torch.float32
    assert data.fingerprint == open_data(DataSettings(source=name)).fingerprint
    assert data.fingerprint != data.held_out.fingerprint
    assert data.domain.mean is not None
    torch.testing.assert_close(data.domain.mean, data.raw().double().mean(0).float())


def test_the_gaussian_is_one_on_the_line() -> None:
    source = TOYS["gaussian"]()
    assert kstest(source.events.double().flatten().numpy(), "norm").pvalue > 1e-3
    assert source.labels is None
    assert source.modes is None


@pytest.mark.parametrize(("name", "count", "std"), [("ring", 8, 0.02), ("grid", 25, 0.05)])
def test_mixtures_are_equal_gaussians_around_the_modes_their_labels_name(
    name: str, count: int, std: float
) -> None:
    data = open_data(DataSettings(source=name))
    assert data.modes is not None
    assert data.labels is not None
    assert data.held_out is not None
    assert data.modes.shape == (count, 2)
    assert data.mode_std == std
    assert data.domain.classes == count
    assert data.held_out.modes is data.modes
    noise = (data.raw() - data.modes[data.labels]).double().flatten() / std
    assert kstest(noise.numpy(), "norm").pvalue > 1e-3
    shares = torch.bincount(data.labels).double() / len(data)
    sigma = (1 / count * (1 - 1 / count) / len(data)) ** 0.5
    assert (shares - 1 / count).abs().max() < 5 * sigma


def test_the_modes_lie_where_the_papers_put_them() -> None:
    ring, grid = TOYS["ring"]().modes, TOYS["grid"]().modes
    assert ring is not None
    assert grid is not None
    torch.testing.assert_close(ring.norm(dim=1), torch.full((8,), 2.0))
    torch.testing.assert_close((ring - ring.roll(1, 0)).norm(dim=1), torch.full((8,), 1.5307337))
    lattice = {(float(a), float(b)) for a in (-4, -2, 0, 2, 4) for b in (-4, -2, 0, 2, 4)}
    assert {tuple(mode) for mode in grid.tolist()} == lattice


def test_moons_are_two_half_circles() -> None:
    points = TOYS["moons"]().events.double()
    upper = ((points - torch.tensor([-0.5, -0.25])).norm(dim=1) - 1).abs()
    lower = ((points - torch.tensor([0.5, 0.25])).norm(dim=1) - 1).abs()
    distance = torch.minimum(upper, lower)
    assert distance.max() < 0.3
    assert (distance < 0.1).double().mean() > 0.94
    assert abs((upper < lower).double().mean() - 0.5) < 0.02
    assert points.mean(0).abs().max() < 0.02


def test_swissroll_follows_its_spiral() -> None:
    points = TOYS["swissroll"]().events.double() * 7
    radius, angle = points.norm(dim=1), torch.atan2(points[:, 1], points[:, 0])
    # On the spiral radius = angle modulo a full turn.
    off = torch.remainder(radius - angle + pi, 2 * pi) - pi
    assert off.abs().max() < 2
    assert off.std() < 0.4
    assert radius.min() > 1.5 * pi - 2
    assert radius.max() < 4.5 * pi + 2
    assert (points.std(0) / 7 - 1).abs().max() < 0.2
