"""How far two sets of events lie apart, without a feature network."""

import torch
from torch import Tensor

from energan.metrics.arrays import Values

BLOCK = 16  # directions at a time: their projections, not the events, are what takes memory


def sliced_wasserstein(a: Values, b: Values, projections: int = 128, seed: int = 0) -> float:
    """Sliced Wasserstein-1 distance between two sets (Rabin et al. 2012).

    The mean, over random unit directions, of the exact 1-D distance ∫|F⁻¹ − G⁻¹| between the
    projected sets. The directions depend only on `seed` and the size of an example, so values
    with the same seed compare.

    Args:
        a: (N, *event).
        b: (M, *event); N and M may differ.
        projections: number of directions, at least 1.
        seed: seed of the directions.

    Returns:
        ≥ 0, in the units of the data; lower is better.

    Raises:
        ValueError: if shapes differ, or a set is empty or not finite.
    """
    a, b = torch.as_tensor(a).detach(), torch.as_tensor(b).detach()
    if a.dim() < 2 or a.shape[1:] != b.shape[1:]:
        raise ValueError(f"examples must share a shape: {tuple(a.shape)} and {tuple(b.shape)}")
    if a.numel() == 0 or b.numel() == 0 or projections < 1:
        raise ValueError("both sets need examples, and projections must be at least 1")
    rows = [v.flatten(1).to("cpu", torch.float64) for v in (a, b)]
    if not all(r.isfinite().all() for r in rows):
        raise ValueError("examples must be finite")
    generator = torch.Generator().manual_seed(seed)
    size = rows[0].shape[1]
    directions = torch.randn(projections, size, generator=generator, dtype=torch.float64)
    directions /= directions.norm(dim=1, keepdim=True)
    in_a, in_b, widths = _steps(len(a), len(b))
    total = 0.0
    for block in directions.split(BLOCK):
        quantiles_a, quantiles_b = ((block @ r.T).sort(1).values for r in rows)  # (P, N), (P, M)
        gaps = (quantiles_a[:, in_a] - quantiles_b[:, in_b]).abs_()
        total += float((gaps @ widths).sum())
    return total / projections


def _steps(n: int, m: int) -> tuple[Tensor, Tensor, Tensor]:
    """Where two empirical quantile functions of n and m points are both constant.

    For each such interval: the index of the point in either sample, and the width; the widths sum
    to 1. In units of 1/(n·m), so that the edges i/n and j/m compare exactly.
    """
    edges = torch.cat([torch.arange(n + 1) * m, torch.arange(m + 1) * n]).unique()
    starts = edges[:-1]
    return starts // m, starts // n, edges.diff().double() / (n * m)
