"""How much samples vary, beside data."""

import torch

from energan.metrics.arrays import Values


def variance_ratio(samples: Values, real: Values) -> float:
    """The total variance of samples (N, *event) over that of real events (M, *event), ≥ 0.

    About 1 where samples vary as data does, near 0 where G makes one thing. Variances are those of
    each number of an event, summed. Raises ValueError for events of different shapes, fewer than
    two of either, or data that does not vary.
    """
    rows = [torch.as_tensor(v).detach().flatten(1).double() for v in (samples, real)]
    if rows[0].shape[1] != rows[1].shape[1]:
        raise ValueError("samples and real examples must share a shape")
    if min(map(len, rows)) < 2:
        raise ValueError("a variance needs at least two examples")
    ours, theirs = (float(r.var(0).sum()) for r in rows)
    if theirs == 0:
        raise ValueError("the real examples do not vary")
    return ours / theirs
