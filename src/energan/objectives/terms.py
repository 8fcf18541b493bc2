"""Terms that several objectives share."""

import torch
from torch import Tensor

from energan.core import full_precision


def pull_away(codes: Tensor, eps: float = 1e-8) -> Tensor:
    """The pulling-away term f_PT of codes (..., N, S) -> (...), in [0, 1].

    f_PT = 1/(N(N−1)) Σ_i Σ_{j≠i} (S_iᵀS_j / (‖S_i‖‖S_j‖))² (Zhao et al. 2017, eq. 14): the mean
    squared cosine of all pairs of different samples. Two parallel or opposite codes score 1,
    orthogonal ones 0. A norm under `eps` counts as `eps`, so a zero code scores 0, not NaN.

    Raises ValueError for fewer than two codes.
    """
    n = codes.shape[-2]
    if n < 2:
        raise ValueError(
            f"the pulling-away term compares pairs of codes and got {n}: use a batch of at least 2"
        )
    # Unit rows without a root at 0: the gradient of a norm there is not finite.
    squares = codes.square().sum(-1, keepdim=True)
    unit = codes * torch.rsqrt(squares.clamp_min(eps * eps))
    with full_precision(codes):  # cosines are never in half precision
        cosines = unit @ unit.transpose(-2, -1)  # (..., N, S) -> (..., N, N)
    squared = cosines.square()
    off_diagonal = squared.sum((-2, -1)) - squared.diagonal(dim1=-2, dim2=-1).sum(-1)
    return off_diagonal / (n * (n - 1))


def absolute_difference(made: Tensor, real: Tensor) -> Tensor:
    """E |G(source) − x|, the L1 term of Isola et al. 2016 (eq. 3): values (..., N), twice -> (...).

    The mean over all values, not their sum: its weight of 100 is for that.
    """
    return (made - real).abs().mean(-1)
