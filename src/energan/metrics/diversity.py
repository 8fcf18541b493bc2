"""How much samples vary, beside data."""

import torch

from energan.metrics.arrays import Values


def variance_ratio(samples: Values, real: Values) -> float:
    """Total variance of samples divided by that of real examples: the sum of the variances of all
    values.

    About 1 if samples vary as data does, near 0 if a generator has collapsed.

    Args:
        samples: (N, *event), N ≥ 2.
        real: (M, *event), M ≥ 2.

    Returns:
        ≥ 0.

    Raises:
        ValueError: if shapes differ, a set has fewer than two examples, or the real ones do not
            vary.
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
