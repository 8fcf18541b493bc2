"""How much samples differ from one another, beside real events, without a feature network."""

from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

Values = Tensor | NDArray[Any]

MOST = 500
"""Events whose distances are taken, all to all: more cost much and show no more."""


def variance_ratio(samples: Values, real: Values) -> float:
    """Σ var(samples) / Σ var(real) over the numbers of an event (N, *event), (M, *event): ≥ 0.

    1 where samples vary as much as real events, 0 where all are the same one. It sees a generator
    that draws one event, not one that draws a few very different ones.
    Raises ValueError for events of different shapes, fewer than two, values that are not finite, or
    real events that do not vary.
    """
    a, b = _rows(samples, real)
    of_real = float(b.var(0).sum())
    if of_real == 0:
        raise ValueError("the real events are all the same: there is no variance to compare with")
    return float(a.var(0).sum()) / of_real


def near_copies(samples: Values, real: Values, within: float = 0.05) -> float:
    """The share, in [0, 1], of samples (N, *event) that nearly repeat another one of them.

    Near is closer than `within` times the median distance from a real event (M, *event) to its
    nearest neighbour. Distances to neighbours shrink with the count, so the first min(N, M) of
    both are compared, 500 at most. It sees a generator that draws a few events, however different
    they are; real events most of which repeat give no ruler, and then the share is 0.
    Raises ValueError for events of different shapes, fewer than two, values that are not finite.
    """
    a, b = _rows(samples, real)
    count = min(len(a), len(b), MOST)
    ruler = _to_nearest(b[:count]).median()
    return float((_to_nearest(a[:count]) < within * ruler).double().mean())


def _to_nearest(rows: Tensor) -> Tensor:
    """The distance from each of rows (N, D) to the nearest other one, (N,)."""
    # The product is twelve times faster than the differences; what float64 loses by it is far
    # below any distance that counts as near.
    rows = rows - rows.mean(0)
    distances = torch.cdist(rows, rows, compute_mode="use_mm_for_euclid_dist")
    return distances.fill_diagonal_(torch.inf).min(1).values


def _rows(samples: Values, real: Values) -> tuple[Tensor, Tensor]:
    """Both as float64 (N, D) on the CPU."""
    a, b = (torch.as_tensor(v).detach() for v in (samples, real))
    if a.dim() < 2 or a.shape[1:] != b.shape[1:]:
        raise ValueError(f"events must share a shape: {tuple(a.shape)} and {tuple(b.shape)}")
    if len(a) < 2 or len(b) < 2:
        raise ValueError(f"both sets need at least two events: they have {len(a)} and {len(b)}")
    rows = a.flatten(1).to("cpu", torch.float64), b.flatten(1).to("cpu", torch.float64)
    if not all(bool(r.isfinite().all()) for r in rows):
        raise ValueError("events must be finite")
    return rows
