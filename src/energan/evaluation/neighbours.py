"""Which training events lie nearest to some given ones."""

import torch
from torch import Tensor

from energan.data import DataSet
from energan.data.sources.splits import fixed_sample
from energan.metrics.neighbours import nearest

SEARCHED = 200_000
"""Training events that are searched, drawn from the set where it has more."""
NUMBERS = 2**24
"""Numbers of training events that are looked at together."""


def nearest_events(queries: Tensor, data: DataSet, k: int) -> tuple[Tensor, Tensor]:
    """Euclidean distances (N, k) to the nearest events of `data`, and their rows in it (N, k)."""
    searched = fixed_sample(len(data), SEARCHED)
    best, rows = torch.empty(len(queries), 0), torch.empty(len(queries), 0, dtype=torch.long)
    size = max(k, NUMBERS // max(1, data.domain.size))
    for chunk in searched.split(size):
        real = data.gather(chunk).x.float().cpu()
        distances, indices = nearest(queries.flatten(1), real.flatten(1), min(k, len(real)))
        best = torch.cat([best, torch.as_tensor(distances).float()], 1)
        rows = torch.cat([rows, chunk[torch.as_tensor(indices)]], 1)
        best, order = best.sort(dim=1, stable=True)
        best, rows = best[:, :k], rows.gather(1, order)[:, :k]
    return best, rows
