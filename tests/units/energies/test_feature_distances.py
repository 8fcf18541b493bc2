"""Distances of features against their definitions and independent implementations."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from sklearn.neighbors import NearestNeighbors
from torch import Tensor, nn

from energan.core import calibrating
from energan.energies.feature_gaussian import GaussianDistance
from energan.energies.feature_memory import NearestDistance, farthest_first
from energan.energies.features import FeatureEnergy
from energan.energies.smoothing import smooth

SHAPE = (5, 3, 4)


def drawn(count: int, seed: int = 0) -> Tensor:
    g = torch.Generator().manual_seed(seed)
    mix = torch.randn(SHAPE[0], SHAPE[0], generator=g)
    return torch.einsum("ij,bjhw->bihw", mix, torch.randn(count, *SHAPE, generator=g)) + 2


def adopt(distance: nn.Module) -> None:
    with torch.no_grad(), calibrating(distance) as reads:
        assert not reads  # no pass over data is needed


@pytest.mark.parametrize("per_position", [True, False])
@pytest.mark.parametrize("batches", [[60], [1, 2, 30, 27]])
def test_gaussian_is_numpys_mahalanobis_distance(per_position: bool, batches: list[int]) -> None:
    data, new = drawn(60), drawn(7, seed=1)
    distance = GaussianDistance(SHAPE, 0.01, per_position=per_position)
    for part in data.split(batches):
        distance.observe(part)
    adopt(distance)
    found = distance(new, "eval")
    rows = data.double().numpy().transpose(0, 2, 3, 1)  # (B, h, w, D)
    for y in range(SHAPE[1]):
        for x in range(SHAPE[2]):
            own = rows[:, y, x] if per_position else rows.reshape(-1, SHAPE[0])
            covariance = np.cov(own, rowvar=False) + 0.01 * np.eye(SHAPE[0])
            off = new[:, :, y, x].double().numpy() - own.mean(0)
            expected = np.sqrt(np.einsum("ni,ij,nj->n", off, np.linalg.inv(covariance), off))
            np.testing.assert_allclose(found[:, y, x], expected, rtol=2e-4)


def test_a_gaussian_of_one_image_is_shrinkage_alone() -> None:
    data = drawn(1)
    distance = GaussianDistance(SHAPE, 0.25, per_position=True)
    assert float(distance.observe(data)) == 0
    adopt(distance)
    torch.testing.assert_close(distance(data + 1, "eval"), torch.full((1, 3, 4), 5**0.5 / 0.5))


def test_observing_tells_the_mean_square_from_the_mean_before() -> None:
    distance = GaussianDistance(SHAPE, 0.01, per_position=True)
    distance.observe(drawn(4))
    told = distance.observe(drawn(6, seed=1))
    torch.testing.assert_close(told, (drawn(6, seed=1) - drawn(4).mean(0)).square().mean())


def rows_of(features: Tensor) -> Tensor:
    return features.permute(0, 2, 3, 1).reshape(-1, features.shape[1])


@pytest.mark.parametrize("neighbours", [1, 4])
def test_nearest_distance_is_that_of_sklearn_weighted_by_equation_7(neighbours: int) -> None:
    data, new = drawn(8), drawn(5, seed=1)
    distance = NearestDistance(SHAPE[0], 200, neighbours)
    for part in data.split(3):
        distance.observe(part)  # all 96 fit
    adopt(distance)
    found = distance(new, "eval").flatten()
    memory, queries = rows_of(data).double().numpy(), rows_of(new).double().numpy()
    far, at = NearestNeighbors(n_neighbors=1).fit(memory).kneighbors(queries)
    expected = far[:, 0]
    if neighbours > 1:
        _, beside = (
            NearestNeighbors(n_neighbors=neighbours).fit(memory).kneighbors(memory[at[:, 0]])
        )
        exponents = np.exp(np.linalg.norm(queries[:, None] - memory[beside], axis=2))
        expected = (1 - np.exp(far[:, 0]) / exponents.sum(1)) * expected
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_farthest_first_is_the_greedy_k_center_by_brute_force() -> None:
    points = torch.randn(80, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    chosen, radius = farthest_first(points, 12)
    far = torch.cdist(points, points)
    expected = [0]
    while len(expected) < 12:
        expected.append(int(far[expected].amin(0).argmax()))
    assert chosen.tolist() == expected
    assert float(radius) == pytest.approx(float(far[expected].amin(0).max()))


def test_a_memory_too_small_for_one_batch_is_the_greedy_coreset_of_it() -> None:
    data = drawn(10)
    distance = NearestDistance(SHAPE[0], 40, 1)
    distance.observe(data)
    chosen, radius = farthest_first(rows_of(data), 32)
    assert int(distance.count) == 32
    torch.testing.assert_close(distance.memory[:32], rows_of(data)[chosen])
    assert not distance.memory[32:].any()
    torch.testing.assert_close(distance.radius, radius)


def test_of_many_batches_every_vector_stays_near_the_memory() -> None:
    """A vector that is left out lies within the radius of then; a thinned one within that of the
    thinning: what is far from the memory was lost by several, each no wider than the last."""
    batches = [drawn(6, seed) for seed in range(12)]
    distance = NearestDistance(SHAPE[0], 50, 1)
    thinned, radii = 0, [0.0]
    for batch in batches:
        distance.observe(batch)
        if float(distance.radius) != radii[-1]:
            thinned, radii = thinned + 1, [*radii, float(distance.radius)]
    adopt(distance)
    assert thinned > 1
    assert 40 <= int(distance.count) <= 50
    worst = max(float(distance(batch, "eval").max()) for batch in batches)
    assert worst <= sum(radii) + radii[-1]
    _, greedy = farthest_first(torch.cat([rows_of(batch) for batch in batches]), 40)
    assert worst <= 3 * float(greedy)  # close to the coreset of all at once


def test_a_cell_that_the_memory_has_is_at_distance_0() -> None:
    distance = NearestDistance(SHAPE[0], 200, 3)
    distance.observe(drawn(4))
    adopt(distance)
    assert float(distance(drawn(4), "eval").max()) == 0


@pytest.mark.parametrize("deviation", [0.5, 1.0, 2.3])
def test_smoothing_is_scipys_gaussian_filter(deviation: float) -> None:
    maps = torch.rand(2, 9, 13, dtype=torch.float64)
    expected = [
        gaussian_filter(one.numpy(), deviation, mode="nearest", radius=int(3 * deviation + 0.5))
        for one in maps
    ]
    np.testing.assert_allclose(smooth(maps, deviation), np.stack(expected), rtol=1e-9)


def test_the_energy_is_the_maximum_of_the_smoothed_map() -> None:
    distance = NearestDistance(3, 100, 1)
    energy = FeatureEnergy(nn.Identity(), distance, 1.0, any_size=True)
    distance.observe(torch.rand(2, 3, 6, 7))
    adopt(energy)
    x = torch.rand(4, 3, 6, 7)
    scored = energy(x, stream="eval")
    assert scored.map is not None
    torch.testing.assert_close(scored.map, smooth(distance(x, "eval"), 1.0))
    assert torch.equal(scored.energy, scored.map.flatten(1).amax(1))
    assert energy(x, stream="real").energy.shape == (4, 6, 7)


def test_half_precision_of_training_reaches_neither_memory_nor_counts_nor_smoothing() -> None:
    g = torch.Generator().manual_seed(0)
    alike = 10 + 0.01 * torch.randn(40, 8, 1, 1, generator=g)
    states = {}
    for half in (False, True):
        memory = NearestDistance(8, 200, 1)
        gaussian = GaussianDistance((8, 1, 1), 0.01, per_position=False)
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            for part in (*alike.split(10), *alike.split(10)):
                memory.observe(part)
                gaussian.observe(part)
        assert int(memory.count) == 40  # those that come again are known
        states[half] = memory.state_dict() | {
            f"of {k}": v for k, v in gaussian.state_dict().items()
        }
    torch.testing.assert_close(states[True], states[False], rtol=0, atol=0)
    maps = alike.view(2, 4, 40)
    with torch.autocast("cpu", torch.bfloat16):
        found = smooth(maps, 1.0)
    assert torch.equal(found, smooth(maps, 1.0))
