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
    """Log-likelihood of points under an energy.

    Attributes:
        mean: mean of log q(x) over the points, in nats.
        standard_error: standard error of the mean.
        log_z: log Z.
        error: change of log Z on a grid that is twice as coarse; it should be well below the
            standard error.
    """

    mean: float
    standard_error: float
    log_z: float
    error: float


def log_partition(
    energy: Energy, low: Sequence[float], high: Sequence[float], resolution: int = 512
) -> float:
    """Compute log Z = log ∫ exp(−U(x)) dx over a box of one or two dimensions, by the midpoint
    rule.

    Args:
        energy: function from (B, D) to U (B,).
        low: lower corner of the box, D numbers.
        high: upper corner of the box, D numbers.
        resolution: cells per side.

    Raises:
        ValueError: for a box of another dimension or with low above high, or an energy that is
            NaN, or infinite everywhere.
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
    """Log-likelihood of points under the density exp(−U(x))/Z on a box.

    Args:
        energy: function from (B, D) to U (B,).
        points: (N, D), N ≥ 2, D = 1 or 2, inside the box.
        low: lower corner of the box, D numbers.
        high: upper corner of the box, D numbers.
        resolution: cells per side of the grid for Z, at least 2.

    Returns:
        Mean and standard error; −∞ and ∞ if a point has infinite energy.

    Raises:
        ValueError: for points outside the box, fewer than two points, an energy that is NaN, or
            arguments that `log_partition` refuses.
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
