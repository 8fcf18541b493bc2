"""Energies on a line or in the plane as densities: exp(−U(x))/Z, with Z summed over a grid."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import log

import torch
from torch import Tensor

from energan.metrics.arrays import Values

Energy = Callable[[Tensor], Tensor]
"""Points (N, D) -> energies (N,)."""
AT_ONCE = 2**16


@dataclass(frozen=True)
class EnergyLogLikelihood:
    """mean ± standard_error: of log q(x) over the points, in nats.

    error: how far log_z moves when the grid is twice as coarse: well below standard_error, or the
    resolution is too low.
    """

    mean: float
    standard_error: float
    log_z: float
    error: float


def log_partition(
    energy: Energy, low: Sequence[float], high: Sequence[float], resolution: int = 512
) -> float:
    """log ∫ exp(−U(x)) dx over the box from `low` to `high`, of one or two sides.

    The midpoint rule with `resolution` cells a side. Raises ValueError for a box of another number
    of sides or turned round, or an energy that is NaN, or infinite everywhere.
    """
    if not 1 <= len(low) == len(high) <= 2:
        raise ValueError(f"the box has one or two sides, not {len(low)} and {len(high)}")
    if any(not a < b for a, b in zip(low, high, strict=True)) or resolution < 1:
        raise ValueError(f"the box from {list(low)} to {list(high)} is empty, or resolution < 1")
    middles = torch.arange(resolution, dtype=torch.float64) + 0.5
    sides = [a + (b - a) / resolution * middles for a, b in zip(low, high, strict=True)]
    grid = torch.stack(torch.meshgrid(*sides, indexing="ij"), -1).reshape(-1, len(sides))
    with torch.no_grad():
        logs = -torch.cat([energy(part).double().reshape(-1) for part in grid.split(AT_ONCE)])
    total = float(logs.logsumexp(0))
    if not total < float("inf") or total == float("-inf"):
        raise ValueError("the energy gives no finite log Z on this box")
    cell = sum(log((b - a) / resolution) for a, b in zip(low, high, strict=True))
    return total + cell


def energy_log_likelihood(
    energy: Energy,
    points: Values,
    low: Sequence[float],
    high: Sequence[float],
    resolution: int = 512,
) -> EnergyLogLikelihood:
    """The log-likelihood of points (N, D), D = 1 or 2, under exp(−U(x))/Z on the box.

    A point of infinite energy has density 0: mean is −∞ then, and standard_error infinite.
    Raises ValueError for points outside the box, fewer than two, or of an energy that is no number,
    a resolution below 2, which has no coarser grid, and what `log_partition` refuses.
    """
    if resolution < 2:
        raise ValueError(f"resolution must be at least 2, not {resolution}")
    x = torch.as_tensor(points).detach().double()
    if x.dim() != 2 or len(x) < 2 or x.shape[1] != len(low):
        raise ValueError(f"points must be (N, {len(low)}), at least two: they are {tuple(x.shape)}")
    ends = (x.new_tensor(list(low)), x.new_tensor(list(high)))
    if not bool(((x >= ends[0]) & (x <= ends[1])).all()):
        raise ValueError("points lie outside the box, where the density is 0")
    log_z = log_partition(energy, low, high, resolution)
    coarse = log_partition(energy, low, high, resolution // 2)
    with torch.no_grad():
        values = -torch.cat([energy(part).double().reshape(-1) for part in x.split(AT_ONCE)])
    if not (values < float("inf")).all():  # −U of −∞, or NaN
        raise ValueError("the energy of a point is NaN, or −∞")
    finite = bool(values.isfinite().all())
    spread = float(values.std()) / len(values) ** 0.5 if finite else float("inf")
    return EnergyLogLikelihood(float(values.mean()) - log_z, spread, log_z, abs(log_z - coarse))
