"""How far two sets of events lie apart, without a feature network."""

import torch
from torch import Tensor

from energan.metrics.arrays import Values

BLOCK = 16  # directions at a time: their projections, not the events, are what takes memory


def sliced_wasserstein(a: Values, b: Values, projections: int = 128, seed: int = 0) -> float:
    """The sliced Wasserstein-1 distance of events a (N, *event) and b (M, *event), ≥ 0.

    The mean over `projections` random unit directions of the exact 1-D distance ∫|F⁻¹ − G⁻¹| of the
    two projected samples (Rabin et al. 2012), in the events' own units; N and M may differ. The
    directions depend on `seed` and the size of an event alone, so equal seeds compare.
    Raises ValueError for events of different shapes, empty or non-finite sets, projections < 1.
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
